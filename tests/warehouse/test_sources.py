"""Sources: what may be read, and what is said of the rest."""

from __future__ import annotations

import os

import pytest

from cleanplate.config import SourceConfig
from cleanplate.errors import StorageError
from cleanplate.warehouse.sources import read_source, resolve


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a b.png").write_bytes(b"inside")
    (tmp_path / "secret.png").write_bytes(b"outside")
    (tmp_path / "photosecret").mkdir()
    (tmp_path / "photosecret" / "c.png").write_bytes(b"beside")
    return folder


def test_paths_and_file_uris(photos):
    assert read_source(str(photos / "a b.png"), SourceConfig()) == b"inside"
    assert read_source(f"file://{photos}/a%20b.png", SourceConfig()) == b"inside"
    assert read_source(f"file:{photos}/a%20b.png", SourceConfig(allowed_roots=(str(photos),))) == b"inside"


@pytest.mark.parametrize("way", ["plain", "dots", "link", "folder link", "sibling", "file uri"])
def test_nothing_outside_the_roots_is_read(photos, way):
    outside = photos.parent / "secret.png"
    (photos / "link.png").symlink_to(outside)
    (photos / "up").symlink_to(photos.parent)
    uri = {
        "plain": str(outside),
        "dots": f"{photos}/../secret.png",
        "link": f"{photos}/link.png",
        "folder link": f"{photos}/up/secret.png",
        "sibling": f"{photos.parent}/photosecret/c.png",
        "file uri": f"file://{photos}/%2E%2E/secret.png",
    }[way]
    with pytest.raises(StorageError, match="outside the allowed roots"):
        read_source(uri, SourceConfig(allowed_roots=(str(photos),)))


def test_a_linked_root_means_the_folder_behind_it(photos):
    link = photos.parent / "linked"
    link.symlink_to(photos)
    limits = SourceConfig(allowed_roots=(str(link),))
    assert read_source(f"{link}/a b.png", limits) == read_source(f"{photos}/a b.png", limits) == b"inside"


@pytest.mark.parametrize(
    ("uri", "fits"),
    [("s3a://bucket/in/x.png", True), ("s3://bucket/inside/x.png", False), ("s3://other/in/x.png", False),
     ("s3://bucket/in/../x.png", None), ("s3://bucket/in/%2e%2e/x.png", None), ("abfss://bucket/in/x.png", False)],
)  # fmt: skip
def test_remote_roots(uri, fits):
    if fits:
        assert resolve(uri, ("s3://bucket/in",)) == "s3://bucket/in/x.png"
        return
    with pytest.raises(StorageError, match="outside the allowed roots" if fits is False else "climbs"):
        resolve(uri, ("s3://bucket/in",))


def test_size_is_checked_before_reading(photos, monkeypatch):
    path = photos / "big.png"
    path.write_bytes(b"12345")
    assert read_source(str(path), SourceConfig(max_bytes=5)) == b"12345"
    monkeypatch.setattr("builtins.open", lambda *_: pytest.fail("it was opened"))
    with pytest.raises(StorageError, match=r"has 5 bytes, more than source.max_bytes = 4"):
        read_source(str(path), SourceConfig(max_bytes=4))


def test_what_cannot_be_read_is_told_not_waited_for(photos):
    os.mkfifo(photos / "pipe")
    for uri, words in (
        (f"{photos}/none.png", "No such file"),
        (str(photos), "not a regular file"),
        (f"{photos}/pipe", "not a regular file"),
        ("", "no path or URI"),
        ("a\0b", "no path or URI"),
        ("s3:///key", "names no bucket"),
        ("wxyz://host/file", "cannot read"),
        ("x" * 5000, "cannot read"),
    ):
        with pytest.raises(StorageError, match=words):
            read_source(uri, SourceConfig())
