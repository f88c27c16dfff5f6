"""The example photographs are what their page says, and their script still draws them."""

import importlib.util
import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFont, JpegImagePlugin

from cleanplate.batch.listing import list_pictures, read_notes
from cleanplate.records import KINDS

EXAMPLES = Path(__file__).parents[2] / "examples"
PHOTOS = EXAMPLES / "photos"
SOURCES = (
    "aitzgorri", "bridge", "brook", "brushes", "clock", "dandelion", "dogs", "fig", "kleiber", "picos-de-europa",
    "sunset", "wooden-bird",
)  # fmt: skip


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("make_photos", EXAMPLES / "make_photos.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def studio(script, tmp_path_factory):
    """A studio with ramps for photographs and Pillow's own font, so that neither need be installed."""

    class BuiltIn(script.Studio):
        def font(self, style, size_px):
            return ImageFont.load_default(size_px)

    folder = tmp_path_factory.mktemp("photographs")
    ramp = np.linspace(60, 200, 400).astype(np.uint8)
    for name in SOURCES:
        Image.fromarray(np.repeat(np.tile(ramp, (300, 1))[:, :, None], 3, axis=2)).save(folder / f"lomiri-{name}.webp")
    return BuiltIn(folder, {})


def test_there_are_twelve_under_three_megabytes(script):
    files = sorted(PHOTOS.iterdir())
    assert [path.name for path in files] == sorted(script.RECIPES)
    assert len(files) == 12
    assert sum(path.stat().st_size for path in files) < 3_000_000


def test_every_photograph_has_its_author_and_licence_on_the_page(script):
    rows = [line.split("|") for line in (EXAMPLES / "README.md").read_text().splitlines() if line.startswith("| ")]
    licences = {row[1].strip(): row[5].strip() for row in rows}
    assert all(licences[name].startswith("CC") for name in script.RECIPES)
    for name in script.RECIPES:
        if name.endswith(".jpg") and name != "broken.jpg":
            notice = Image.open(PHOTOS / name).getexif()[script.EXIF_COPYRIGHT]
            assert notice.endswith(licences[name]), name


def test_the_manifest_names_every_photograph_and_boxes_inside_them():
    notes = read_notes(str(EXAMPLES / "manifest.csv"))
    assert sorted(notes) == [Path(uri).name for uri in list_pictures(str(PHOTOS))]
    assert [name for name, note in notes.items() if note["rights"] == "unknown"] == ["watermark.jpg"]
    for name, note in notes.items():
        for region in note.get("regions", ()):
            left, top, right, bottom = region["box"]
            width, height = Image.open(PHOTOS / name).size
            assert 0 <= left < right <= width
            assert 0 <= top < bottom <= height
            assert region["kind"] in KINDS
    assert notes["watermark.jpg"]["regions"][0]["kind"] == "watermark", "else the rights gate has nothing to hold"


def test_the_portrait_lies_on_its_side_and_carries_a_profile():
    picture = Image.open(PHOTOS / "portrait-exif6.jpg")
    assert picture.getexif()[0x0112] == 6
    assert picture.width > picture.height
    assert picture.info["progressive"]
    assert JpegImagePlugin.get_sampling(picture) == 2, "4:2:0"
    assert len(picture.info["icc_profile"]) > 128


def test_the_other_containers():
    assert Image.open(PHOTOS / "transparent.png").mode == "RGBA"
    alpha = np.asarray(Image.open(PHOTOS / "transparent.png"))[:, :, 3]
    assert (alpha.min(), alpha.max()) == (0, 255)
    grey = np.asarray(Image.open(PHOTOS / "grey16.png"))
    assert grey.dtype == np.uint16
    assert len(np.unique(grey)) > 10_000, "not eight bits in sixteen"
    assert b"VP8L" in (PHOTOS / "cjk.webp").read_bytes()[:64]


def test_the_broken_one_is_cut_off():
    data = (PHOTOS / "broken.jpg").read_bytes()
    assert data[:2] == b"\xff\xd8"
    assert b"\xff\xd9" not in data[-2:]
    with pytest.raises(OSError, match="truncated"):
        Image.open(PHOTOS / "broken.jpg").load()


def test_all_recipes_draw_the_same_twice(script, studio):
    for name, draw in script.RECIPES.items():
        assert draw(studio) == draw(studio), name


@pytest.mark.parametrize("name", ["caption.jpg", "cjk.webp", "handwriting.jpg", "price-list.jpg", "stamp.jpg"])
def test_a_recipe_leaves_a_mark_and_most_of_the_photograph(script, studio, name):
    drawn = np.asarray(Image.open(io.BytesIO(script.RECIPES[name](studio))).convert("RGB")).astype(int)
    grey_ramp = np.abs(drawn - np.median(drawn, axis=0)).max(axis=2)
    assert 0.001 < (grey_ramp > 40).mean() < 0.2


def test_a_missing_font_is_named(script, tmp_path):
    with pytest.raises(SystemExit, match=r"Lato-Bold\.ttf not found"):
        script.Studio(tmp_path, {}).font("bold", 20)


def test_a_worn_stamp_loses_its_share(script):
    solid = Image.new("L", (200, 200), 255)
    kept = np.asarray(script.worn(solid, 1, 0.2)).mean() / 255
    assert 0.7 < kept < 0.9
    assert np.array_equal(script.worn(solid, 1, 0.2), script.worn(solid, 1, 0.2))


def test_slanted_text_is_the_upright_text_turned(script):
    font = ImageFont.load_default(30)
    upright = np.asarray(script.slanted((200, 200), (100, 100), "turn", font, 0)).astype(float)
    quarter = np.asarray(script.slanted((200, 200), (100, 100), "turn", font, 90)).astype(float)
    assert upright.sum() > 0
    assert np.abs(np.rot90(upright) - quarter).mean() < 1
