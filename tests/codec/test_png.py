"""PNG: every type, depth and interlacing, read back by OpenCV and Pillow."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as PillowImage

from cleanplate.codec import decode, encode
from cleanplate.errors import DecodeError, RefusedError

SUITE = Path(__file__).parents[1] / "data/formats/pngsuite"
BASIC = sorted(path.name for path in SUITE.glob("bas[ni]*.png"))


def chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def names_and_contents(data):
    found, at = [], 8
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def rebuild(chunks):
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(name, content) for name, content in chunks)


def opencv(data):
    """All samples by another decoder (libpng): RGB order, 16 bits kept."""
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED | cv2.IMREAD_ANYDEPTH)
    if picture.ndim == 2:
        return picture
    order = [2, 1, 0, 3] if picture.shape[2] == 4 else [2, 1, 0]
    return picture[..., order]


def as_opencv(native):
    """OpenCV shows grey with alpha as RGBA."""
    if native.ndim == 3 and native.shape[2] == 2:
        return native[..., [0, 0, 0, 1]]
    return native


@pytest.mark.parametrize("name", BASIC)
def test_samples_agree_with_libpng(name, limits):
    data = (SUITE / name).read_bytes()
    native, reference = decode(data, limits).native, opencv(data)
    expanded = as_opencv(native)
    if expanded.ndim == 2 and reference.ndim == 3:
        expanded = np.repeat(expanded[..., None], 3, axis=2)
    assert expanded.dtype == reference.dtype
    assert np.array_equal(expanded, reference)


@pytest.mark.parametrize("name", BASIC)
def test_only_touched_samples_change_and_alpha_never(name, limits, edit):
    image = decode((SUITE / name).read_bytes(), limits)
    rgb, touched = edit(image, (5, 7, 12, 20), (201, 203, 7))
    if image.native.ndim == 2 or image.native.shape[2] == 2:
        rgb[touched] = 77
    result = encode(image, rgb, touched)
    again = decode(result, limits)
    assert again.native.shape == image.native.shape
    assert again.native.dtype == image.native.dtype
    assert np.array_equal(again.native[~touched], image.native[~touched])
    assert np.array_equal(again.rgb[touched], rgb[touched])
    if image.native.ndim == 3 and image.native.shape[2] in (2, 4):
        assert np.array_equal(again.native[..., -1], image.native[..., -1])
    reference = opencv(result)
    expanded = as_opencv(again.native)
    if expanded.ndim == 2 and reference.ndim == 3:
        expanded = np.repeat(expanded[..., None], 3, axis=2)
    assert np.array_equal(expanded, reference)
    header, kept = names_and_contents(result)[0][1], names_and_contents(image.data)[0][1]
    assert header[12] == kept[12]  # interlacing


def test_sixteen_bits_stay_in_what_was_not_touched(limits, edit):
    image = decode((SUITE / "basn2c16.png").read_bytes(), limits)
    assert (image.native & 255 != image.native >> 8).any()  # it needs its 16 bits
    rgb, touched = edit(image, (0, 0, 4, 4), (1, 2, 3))
    again = decode(encode(image, rgb, touched), limits)
    assert (again.native[:4, :4] == np.array([1, 2, 3]) * 257).all()


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_shallow_grey_keeps_its_depth_where_it_can(depth, limits, edit):
    image = decode((SUITE / f"basn0g0{depth}.png").read_bytes(), limits)
    for level, expected in ((255, depth), (100, 8)):
        rgb, touched = edit(image, (4, 4, 9, 9), (level,) * 3)
        result = encode(image, rgb, touched)
        assert result[24] == expected
        assert np.array_equal(decode(result, limits).native[~touched], image.native[~touched])


def test_palette_stays_palette_where_it_has_room(limits, edit):
    image = decode((SUITE / "basn3p08.png").read_bytes(), limits)
    rgb, touched = edit(image, (3, 3, 9, 9), tuple(int(v) for v in image.rgb[20, 20]))
    stays = encode(image, rgb, touched)
    assert stays[25] == 3
    assert dict(names_and_contents(stays))[b"PLTE"] == dict(names_and_contents(image.data))[b"PLTE"]
    rgb = np.random.default_rng(1).integers(0, 256, rgb.shape).astype(np.uint8)
    grown = encode(image, rgb, np.ones_like(touched))
    assert grown[25] == 2  # 1024 colours: truecolour
    assert np.array_equal(decode(grown, limits).rgb, rgb)


def test_equal_palette_entries_keep_their_own_index(limits, edit):
    packed = zlib.compress(b"\0\0\1\2" * 3)  # three rows of the indices 0, 1, 2
    palette = bytes([9, 9, 9, 9, 9, 9, 200, 0, 0])  # 0 and 1 are the same colour
    data = rebuild([
        (b"IHDR", struct.pack(">IIBBBBB", 3, 3, 8, 3, 0, 0, 0)), (b"PLTE", palette), (b"IDAT", packed), (b"IEND", b""),
    ])  # fmt: skip
    image = decode(data, limits)
    rgb, touched = edit(image, (0, 2, 1, 3), (9, 9, 9))
    with PillowImage.open(io.BytesIO(encode(image, rgb, touched))) as picture:
        assert np.array(picture).tolist() == [[0, 1, 0], [0, 1, 2], [0, 1, 2]]


def test_ancillary_chunks_are_carried_byte_for_byte(limits, edit):
    chunks = names_and_contents((SUITE / "basn6a08.png").read_bytes())
    exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    extra = [
        (b"cICP", b"\x01\x0d\0\x01"), (b"cHRM", bytes(32)), (b"sRGB", b"\0"),
        (b"iCCP", b"p\0\0" + zlib.compress(b"profile")), (b"pHYs", struct.pack(">IIB", 11811, 11811, 1)),
        (b"tEXt", b"Author\0me"), (b"zTXt", b"Note\0\0" + zlib.compress(b"x")),
        (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x/>"), (b"eXIf", exif), (b"tIME", bytes(7)), (b"prVt", b"private"),
    ]  # fmt: skip
    data = rebuild([chunks[0], *extra, *chunks[1:-1], (b"tEXt", b"After\0pixels"), chunks[-1]])
    image = decode(data, limits)
    assert (image.carried.icc, image.carried.xmp, image.carried.exif) == (b"profile", b"<x/>", exif)
    assert image.carried.dpi == pytest.approx((300, 300), abs=0.01)
    assert image.carried.orientation == 6
    rgb, touched = edit(image, (3, 3, 9, 9))
    result = encode(image, rgb, touched)
    kept = [c for c in names_and_contents(result) if c[0] != b"IDAT"]
    assert kept == [c for c in names_and_contents(data) if c[0] != b"IDAT"]
    again = decode(result, limits)
    assert np.array_equal(again.rgb[touched], rgb[touched])
    assert np.array_equal(again.rgb[~touched], image.rgb[~touched])


def test_a_fill_never_takes_the_transparent_colour(limits):
    image = decode((SUITE / "tbrn2c08.png").read_bytes(), limits)
    key = np.array(PillowImage.open(SUITE / "tbrn2c08.png").info["transparency"])
    transparent = (image.native == key).all(axis=2)
    rgb = np.broadcast_to(key.astype(np.uint8), image.rgb.shape).copy()
    result = encode(image, rgb, np.ones(transparent.shape, bool))
    with PillowImage.open(io.BytesIO(result)) as picture:
        alpha = np.array(picture.convert("RGBA"))[..., 3]
    assert np.array_equal(alpha == 0, transparent)


def test_animations_are_refused(limits):
    path = SUITE.parent / "image-rs/png/apng/ball.png"
    with pytest.raises(RefusedError, match="animation"):
        decode(path.read_bytes(), limits)


def test_cut_and_damaged_files(limits):
    data = (SUITE / "basn2c08.png").read_bytes()
    for length in (9, 20, 40, 60, len(data) - 12, len(data) - 1):
        with pytest.raises(DecodeError, match=r"cut off|damaged"):
            decode(data[:length], limits)
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 1
    with pytest.raises(DecodeError, match="checksum"):
        decode(bytes(flipped), limits)
    chunks = names_and_contents(data)
    short = [(n, zlib.compress(zlib.decompress(c)[:-40]) if n == b"IDAT" else c) for n, c in chunks]
    with pytest.raises(DecodeError, match="cannot be decoded"):
        decode(rebuild(short), limits)


def test_a_text_bomb_costs_nothing(limits):
    chunks = names_and_contents((SUITE / "basn2c08.png").read_bytes())
    bomb = b"p\0\0" + zlib.compress(bytes(100_000_000))
    image = decode(rebuild([chunks[0], (b"iCCP", bomb), *chunks[1:]]), limits)
    assert image.carried.icc is None
