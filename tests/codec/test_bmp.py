"""BMP: edits patched into the file, or written with 24 bits; read back by Pillow."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from cleanplate.codec import decode, encode
from cleanplate.errors import DecodeError

IN_PLACE = ["rgb24.bmp", "rgb32.bmp", "rgb16.bmp", "rgb16-565.bmp", "rgb24prof.bmp", "rgba32.bmp"]
IMAGES = Path(__file__).parents[1] / "data/formats/image-rs/bmp/images"


def save(picture, **options):
    buffer = io.BytesIO()
    picture.save(buffer, "BMP", **options)
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_only_touched_pixels_change(scene, mode, limits, edit):
    picture = PillowImage.fromarray(scene(37, 51))
    picture = picture.quantize(40) if mode == "P" else picture.convert(mode)
    data = save(picture, dpi=(300, 300))
    image = decode(data, limits)
    assert np.array_equal(image.native, np.array(picture.convert("RGB")))
    rgb, touched = edit(image, (4, 6, 20, 30), (13, 130, 240))
    result = encode(image, rgb, touched)
    with PillowImage.open(io.BytesIO(result)) as again:
        assert again.format == "BMP"
        pixels = np.array(again.convert("RGB"))
        assert again.info["dpi"] == pytest.approx((300, 300), abs=0.01)
    assert np.array_equal(pixels[~touched], image.native[~touched])
    assert (pixels[touched] == (13, 130, 240)).all()
    if mode == "RGBA":  # the fourth byte means nothing here, and stays
        assert result[57::4] == data[57::4]


def test_colours_of_the_palette_are_patched_in_place(scene, limits, edit):
    data = save(PillowImage.fromarray(scene(37, 51)).quantize(40))
    image = decode(data, limits)
    rgb, touched = edit(image, (4, 6, 20, 30), tuple(int(v) for v in image.rgb[30, 40]))
    result = encode(image, rgb, touched)
    assert len(result) == len(data)
    assert result[:1078] == data[:1078]


@pytest.mark.parametrize("name", IN_PLACE)
def test_direct_colours_are_patched_in_place(name, limits, edit):
    data = (IMAGES / name).read_bytes()
    image = decode(data, limits)
    rgb, touched = edit(image, (0, 0, 1, 1))
    result = encode(image, rgb, touched)
    assert len(result) == len(data)
    assert 1 <= sum(a != b for a, b in zip(data, result, strict=True)) <= 4
    assert np.abs(decode(result, limits).rgb[0, 0].astype(int) - rgb[0, 0]).max() <= 4  # half a step of 5 bits


def test_an_embedded_profile_survives_a_change_of_layout(limits, edit):
    image = decode(_with_profile(), limits)
    assert image.carried.icc == b"a profile"
    rgb, touched = edit(image, (0, 0, 2, 2), (1, 2, 3))
    result = encode(image, rgb, touched)
    assert struct.unpack_from("<H", result, 28)[0] == 24
    assert decode(result, limits).carried.icc == b"a profile"


def _with_profile():
    pixels, palette = bytes([0, 1, 0, 0] * 3), bytes([9, 9, 9, 0, 200, 100, 50, 0])
    header = bytearray(124)
    offset = 124 + len(palette) + len(pixels)
    struct.pack_into("<IiiHHIIiiII", header, 0, 124, 3, 3, 1, 8, 0, len(pixels), 2835, 2835, 2, 2)
    header[56:60] = b"DEBM"
    struct.pack_into("<II", header, 112, offset, 9)
    body = bytes(header) + palette + pixels + b"a profile"
    return b"BM" + struct.pack("<IHHI", 14 + len(body), 0, 0, 14 + 124 + len(palette)) + body


def test_run_lengths_agree_with_pillow(limits):
    for name in ("pal8rle.bmp", "pal4rle.bmp"):
        with PillowImage.open(IMAGES / name) as picture:
            expected = np.array(picture.convert("RGB"))
        assert np.array_equal(decode((IMAGES / name).read_bytes(), limits).rgb, expected)


def test_cut_files(limits):
    for name in ("rgb24.bmp", "pal8rle.bmp", "pal2.bmp"):
        data = (IMAGES / name).read_bytes()
        for share in (0.001, 0.005, 0.3, 0.99):
            with pytest.raises(DecodeError, match=r"cut off|palette|invalid"):
                decode(data[: max(3, int(len(data) * share))], limits)
