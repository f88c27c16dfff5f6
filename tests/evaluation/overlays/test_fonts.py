"""The registry of fonts keeps training and held-out fonts apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import features

from cleanplate.errors import ConfigError
from cleanplate.evaluation.overlays.fonts import FontFamily, FontLibrary, open_font, read_registry
from cleanplate.evaluation.overlays.glyphs import render_lines

WRITTEN = ("latin", "cyrillic", "greek", "arabic", "han", "japanese", "korean")


def test_no_family_and_no_file_is_in_both_splits():
    registry = read_registry()
    for names in (lambda f: {f.family}, lambda f: set(f.files)):
        train = set().union(*(names(f) for f in registry if f.split == "train"))
        heldout = set().union(*(names(f) for f in registry if f.split == "heldout"))
        assert train
        assert heldout
        assert not train & heldout


@pytest.mark.parametrize("split", ["train", "heldout"])
@pytest.mark.parametrize("kind", ["printed", "handwriting"])
def test_every_script_can_be_written_in_both_splits(split, kind):
    scripts = {s for f in read_registry() if f.split == split and f.kind == kind for s in f.scripts}
    assert scripts >= set(WRITTEN)


def test_missing_fonts_are_named_with_the_line_that_installs_them(tmp_path):
    with pytest.raises(ConfigError, match=r"apt-get install -y --no-install-recommends .*fonts-dejavu-core"):
        FontLibrary.load("train", root=tmp_path)


def test_a_registry_that_lacks_a_field_or_is_not_there_is_refused(tmp_path):
    path = tmp_path / "fonts.yaml"
    path.write_text("families:\n  - family: X\n    package: p\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="needs family, package"):
        read_registry(path)
    with pytest.raises(ConfigError, match="cannot read"):
        read_registry(tmp_path / "none.yaml")
    path.write_text("families: []\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="no fonts of the split"):
        FontLibrary.load("heldout", registry=path)


def test_a_script_that_no_font_writes_is_refused():
    library = FontLibrary((FontFamily("A", "p", "train", "printed", ("latin",), ("a.ttf",)),), Path("/nowhere"))
    with pytest.raises(ConfigError, match="writes greek"):
        library.pick(np.random.default_rng(0), "printed", "greek")


def test_prices_and_digits_are_written_with_latin_fonts():
    library = FontLibrary((FontFamily("A", "p", "train", "printed", ("latin",), ("a.ttf",)),), Path("/nowhere"))
    assert library.pick(np.random.default_rng(0), "printed", "price") == ("A", Path("/nowhere/a.ttf"))


def test_a_file_that_is_no_font_is_refused(tmp_path):
    (tmp_path / "a.ttf").write_bytes(b"no font")
    with pytest.raises(ConfigError, match="cannot be opened as a font"):
        open_font(tmp_path / "a.ttf", 12)


def test_arabic_without_raqm_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(features, "check", lambda name: False)
    with pytest.raises(ConfigError, match="Raqm"):
        open_font(tmp_path / "b.ttf", 12, shaped=True)


LETTERS = dict(zip(WRITTEN, ("ag", "жи", "λω", "سم", "今国", "あカ", "한무"), strict=True))


def _cannot_write(path: Path, script: str) -> bool:
    """Letters that look all alike are the box of a missing glyph."""
    one, other = (render_lines([letter], path, 40, script) for letter in LETTERS[script])
    return one.shape == other.shape and np.array_equal(one, other)


def test_every_font_of_the_registry_writes_its_scripts():
    try:
        libraries = [FontLibrary.load("train"), FontLibrary.load("heldout")]
    except ConfigError as error:
        pytest.skip(str(error)[:80])
    wrong = [
        (name, script)
        for library in libraries
        for family in library.families
        for name in family.files
        for script in family.scripts
        if _cannot_write(library.root / name, script)
    ]
    assert not wrong
