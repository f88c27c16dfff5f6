"""The photographs that are trained on come back from clones, scaled as their sets say; the list itself is sound."""

import io
import subprocess
from dataclasses import replace

import gather
import numpy as np
import pytest
from PIL import Image

FREE = ("CC BY", "CC-BY", "CC0", "public", "Public", "No known restrictions", "Unsplash", "Pexels", "Pixabay")
SIZES = [
    ("streets", (700, 350), (500, 250)), ("streets", (400, 200), (400, 200)), ("streets", (4000, 1000), (1600, 400)),
    ("unseen", (480, 240), (300, 150)), ("further", (4000, 1000), (2048, 512)),
]  # fmt: skip


def encoded(size, how, **options):
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, how, **options)
    return stream.getvalue()


@pytest.fixture
def source(tmp_path):
    """A repository with a photograph and a lossless one."""
    folder = tmp_path / "clones" / "someone+photos"
    folder.mkdir(parents=True)
    (folder / "a b.jpg").write_bytes(encoded((1200, 600), "JPEG"))
    (folder / "c.png").write_bytes(encoded((640, 320), "PNG"))

    def git(*words):
        who = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
        return subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True, text=True)

    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "photographs")
    commit = git("rev-parse", "HEAD").stdout.strip()
    return gather.Source("unseen", "photos-1.webp", "someone/photos", commit, "a b.jpg", "CC0")


def test_a_photograph_comes_back_smaller(source, tmp_path):
    assert gather.gather([source], tmp_path / "clones", tmp_path / "out") == []
    with Image.open(tmp_path / "out/unseen/photos-1.webp") as picture:
        assert (picture.format, picture.size) == ("WEBP", (750, 375))


def test_a_lossless_one_of_the_set_further_keeps_its_pixels(source, tmp_path):
    lossless = replace(source, set="further", path="c.png")
    gather.gather([lossless], tmp_path / "clones", tmp_path / "out")
    with Image.open(tmp_path / "out/further/photos-1.webp") as picture:
        original = Image.open(tmp_path / "clones/someone+photos/c.png")
        assert np.array_equal(np.asarray(picture), np.asarray(original))


@pytest.mark.parametrize(("kept_in", "size", "wanted"), SIZES)
def test_small_ones_stay_large_enough_and_large_ones_get_small(source, kept_in, size, wanted):
    assert gather.scaled(Image.new("RGB", size), replace(source, set=kept_in)).size == wanted


def test_what_is_there_is_kept_and_what_is_missing_is_said(source, tmp_path):
    lost = replace(source, repository="someone/else", file="else-1.webp")
    (tmp_path / "out/unseen").mkdir(parents=True)
    (tmp_path / "out/unseen/photos-1.webp").write_bytes(b"kept")
    (failure,) = gather.gather([source, lost], tmp_path / "clones", tmp_path / "out")
    assert "git clone --mirror https://github.com/someone/else" in failure
    assert (tmp_path / "out/unseen/photos-1.webp").read_bytes() == b"kept"


def test_the_list_names_each_file_once_with_a_licence_that_allows_commercial_use():
    sources = gather.read_list()
    assert len(sources) == len({(source.set, source.file) for source in sources}) > 1000
    for source in sources:
        assert source.licence.startswith(FREE), source
        assert not {"NC", "ND"} & set(source.licence.replace("-", " ").split()), source
        assert len(source.commit) == 40
