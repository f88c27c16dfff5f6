"""Every odd or broken file ends as the row that expected.csv pins, and none takes the codec down.

`python tests/formats/test_formats.py` writes the table anew; look at the difference before you commit it.
"""

from __future__ import annotations

import csv
from pathlib import Path

import jpeglib
import numpy as np
import pytest

from cleanplate.codec.orientation import to_stored
from cleanplate.config import SourceConfig
from cleanplate.errors import DecodeError, RefusedError
from cleanplate.guard import GuardedCodec

FILES = Path(__file__).parents[1] / "data/formats"
TABLE = Path(__file__).parent / "expected.csv"
COLUMNS = ("file", "outcome", "format", "mode", "bits", "width", "height", "message")
ROWS = list(csv.DictReader(TABLE.open(encoding="utf-8"))) if TABLE.exists() else []
EDITABLE = [row["file"] for row in ROWS if row["outcome"] == "ok"]


@pytest.fixture(scope="module")
def guarded():
    with GuardedCodec(SourceConfig(), max_workers=2) as made:
        yield made


def all_files():
    return sorted(str(path.relative_to(FILES)) for path in FILES.rglob("*") if path.is_file())


def describe(name, codec):
    """The row of one file."""
    try:
        image = codec.decode((FILES / name).read_bytes())
    except (DecodeError, RefusedError) as error:
        return dict.fromkeys(COLUMNS, "") | {"file": name, "outcome": type(error).__name__, "message": str(error)}
    carried = image.carried
    values = (name, "ok", carried.format, carried.mode, carried.bit_depth, image.width, image.height, "")
    return dict(zip(COLUMNS, (str(value) for value in values), strict=True))


def test_the_table_has_every_file():
    assert [row["file"] for row in ROWS] == all_files()
    assert len(ROWS) > 300


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["file"])
def test_outcome(row, guarded):
    assert describe(row["file"], guarded) == row


@pytest.mark.parametrize("name", EDITABLE)
def test_an_edit_changes_nothing_else(name, guarded, tmp_path):
    image = guarded.decode((FILES / name).read_bytes())
    height, width = image.rgb.shape[:2]
    touched = np.zeros((height, width), bool)
    touched[height // 2 : height // 2 + 3, width // 3 : width // 3 + 4] = True
    rgb = image.rgb.copy()
    rgb[touched] = (rgb[touched].astype(int) + 77) % 256
    stored = to_stored(touched, image.carried.orientation)
    result = guarded.encode(image, rgb, touched)
    again = guarded.decode(result)
    if image.carried.format == "JPEG":
        assert count_changed_coefficients(image.data, result, stored, tmp_path) == 0
        assert result != image.data
    else:
        assert np.array_equal(again.native[~stored], image.native[~stored])
    for field in ("format", "orientation", "icc", "exif", "xmp", "dpi"):
        assert getattr(again.carried, field) == getattr(image.carried, field)


def count_changed_coefficients(before, after, touched, folder):
    """Coefficients that differ in blocks of MCUs without a touched pixel."""
    jpeglib.version.set("9f")  # another library than the one that writes
    planes = []
    for number, data in enumerate((before, after)):
        (folder / f"{number}.jpg").write_bytes(data)
        jpeg = jpeglib.read_dct(str(folder / f"{number}.jpg"))
        planes.append([jpeg.Y, jpeg.Cb, jpeg.Cr] if jpeg.has_chrominance else [jpeg.Y])
    factors = np.array(jpeg.samp_factor)
    high, wide = 8 * factors.max(axis=0)
    padded = np.pad(touched, ((0, -touched.shape[0] % high), (0, -touched.shape[1] % wide)))
    units = padded.reshape(padded.shape[0] // high, high, padded.shape[1] // wide, wide).any(axis=(1, 3))
    changed = 0
    for old, new, (vertical, horizontal) in zip(*planes, factors, strict=True):
        hit = np.repeat(np.repeat(units, vertical, 0), horizontal, 1)[: old.shape[0], : old.shape[1]]
        changed += np.count_nonzero(old[~hit] != new[~hit])
    return changed


def write_table():
    """Writes what the codec does now."""
    with GuardedCodec(SourceConfig(), 2) as codec, TABLE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(describe(name, codec) for name in all_files())


if __name__ == "__main__":
    write_table()
