"""The codec's door: formats, limits, probing, the contract of an edit."""

from __future__ import annotations

import io
import os
import random
import struct
import subprocess
import sys
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image as PillowImage

from cleanplate.codec import decode, encode, probe
from cleanplate.codec.orientation import to_stored, to_upright
from cleanplate.config import SourceConfig
from cleanplate.errors import ContractError, DecodeError, RefusedError

FORMATS = ["JPEG", "PNG", "WEBP", "TIFF", "BMP"]


def save(pixels, name, **options):
    buffer = io.BytesIO()
    PillowImage.fromarray(pixels).save(buffer, name, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("name", FORMATS)
def test_probe_reads_the_upright_size(scene, name, limits):
    data = save(scene(20, 33), name)
    found = probe(data, limits)
    assert (found.width, found.height, found.format) == (33, 20, name)
    assert found.media_type == PillowImage.MIME[name]
    if name != "BMP":
        exif = PillowImage.Exif()
        exif[0x0112] = 6
        turned = probe(save(scene(20, 33), name, exif=exif), limits)
        assert (turned.width, turned.height) == (20, 33)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    ("setting", "value"), [("max_bytes", 100), ("max_pixels", 500), ("max_side_px", 32)]
)
def test_limits_name_setting_and_value(scene, name, setting, value):
    with pytest.raises(DecodeError, match=rf"source\.{setting}={value}"):
        decode(save(scene(20, 33), name), SourceConfig(**{setting: value}))


def test_a_bomb_is_stopped_at_its_header(limits):
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    crc = struct.pack(">I", zlib.crc32(b"IHDR" + header))
    end = b"\0\0\0\0IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + header + crc + end
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DecodeError, match="60000 x 60000"):
            decode(bomb, limits)


def test_a_wide_picture_within_the_limits_is_decoded(limits):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Pillow's bomb warning must not leak
        assert decode(save(np.zeros((1, 20_000, 3), np.uint8), "PNG"), limits).width == 20_000
        assert decode(save(np.zeros((9500, 9500), np.uint8), "PNG"), limits).height == 9500


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"hello, this is no picture", "no picture of a known format"),
        (b"\x89PNG\r\n\x1a\n", "does not begin with an IHDR"),
        (b"\xff\xd8\xff", "cut off"),
        (b"BM", "cut off"),
        (b"II*\0", "cut off"),
        (b"RIFF\0\0\0\0WEBP", "no picture"),
        (b"\0" * 50, "no picture of a known format"),
    ],
)
def test_no_picture(data, message, limits):
    with pytest.raises(DecodeError, match=message):
        decode(data, limits)


@pytest.mark.parametrize("name", ["PNG", "BMP", "JPEG", "TIFF"])
def test_zero_size(scene, name, limits):
    data = bytearray(save(scene(16, 16), name))
    if name == "PNG":
        data[16:20] = bytes(4)
        data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    elif name == "BMP":
        data[18:22] = bytes(4)
    elif name == "JPEG":
        at = data.index(b"\xff\xc0") + 7
        data[at : at + 2] = bytes(2)
    else:
        at = data.index(struct.pack("<HHI", 256, 4, 1)) if struct.pack("<HHI", 256, 4, 1) in data else 0
        at = at or data.index(struct.pack("<HHI", 256, 3, 1))
        data[at + 8 : at + 12] = bytes(4)
    with pytest.raises(DecodeError, match=r"0 x 16|16 x 0"):
        decode(bytes(data), limits)


@pytest.mark.parametrize("name", ["GIF", "ICO", "PPM", "JPEG2000", "AVIF"])
def test_other_formats_are_refused(scene, name, limits):
    with pytest.raises(RefusedError, match="not supported for editing"):
        decode(save(scene(32, 32), name), limits)


@pytest.mark.parametrize("name", FORMATS)
def test_one_pixel(name, limits):
    image = decode(save(np.full((1, 1, 3), 90, np.uint8), name), limits)
    result = encode(image, np.full((1, 1, 3), 200, np.uint8), np.ones((1, 1), bool))
    assert np.abs(decode(result, limits).rgb.astype(int) - 200).max() <= 3


@pytest.mark.parametrize("name", FORMATS)
def test_an_image_is_not_mutated_and_equal_edits_give_equal_bytes(scene, name, limits, edit):
    image = decode(save(scene(40, 40), name), limits)
    before = image.rgb.copy(), image.native.copy()
    rgb, touched = edit(image, (3, 3, 17, 29))
    rgb.setflags(write=False)
    assert encode(image, rgb, touched) == encode(image, rgb, touched)
    assert np.array_equal(image.rgb, before[0])
    assert np.array_equal(image.native, before[1])
    with pytest.raises(ValueError, match="read-only"):
        image.rgb[0, 0] = 0


def test_an_edit_of_another_shape_breaks_the_contract(scene, limits):
    image = decode(save(scene(20, 30), "PNG"), limits)
    touched = np.ones((20, 30), bool)
    with pytest.raises(ContractError, match="rgb must be uint8"):
        encode(image, image.rgb[:10], touched)
    with pytest.raises(ContractError, match="rgb must be uint8"):
        encode(image, image.rgb.astype(np.float32), touched)
    with pytest.raises(ContractError, match="touched must be bool"):
        encode(image, image.rgb, touched.astype(np.uint8))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientations_are_inverted(orientation):
    stored = np.arange(3 * 5 * 2).reshape(3, 5, 2)
    assert np.array_equal(to_stored(to_upright(stored, orientation), orientation), stored)


@pytest.mark.parametrize("name", FORMATS)
def test_damage_is_an_error_of_ours(scene, name, limits, capfd):
    """Random damage: every outcome is a picture, DecodeError or RefusedError."""
    data, chance = save(scene(24, 24), name), random.Random(4412)
    failed = 0
    for _ in range(200):
        damaged = bytearray(data)
        for _ in range(chance.choice((1, 3, 12))):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            decode(bytes(damaged), limits)
        except (DecodeError, RefusedError):
            failed += 1
    assert failed > 5


def test_the_codec_imports_neither_torch_nor_opencv():
    heavy = "[name for name in ('torch', 'cv2', 'scipy') if name in sys.modules]"
    code = f"import sys, cleanplate.codec, cleanplate.guard; print({heavy})"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert result.stdout.strip() == "[]"
