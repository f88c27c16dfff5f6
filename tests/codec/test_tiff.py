"""TIFF: layouts and compressions, written and read back by tifffile and Pillow."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tifffile
from PIL import Image as PillowImage
from PIL import ImageCms

from cleanplate.codec import decode, encode
from cleanplate.errors import DecodeError, RefusedError

LAYOUTS = [
    {},
    {"compression": "zlib"},
    {"compression": "zlib", "predictor": True},
    {"rowsperstrip": 7},
    {"compression": "zlib", "rowsperstrip": 7, "predictor": True},
    {"tile": (32, 48)},
    {"tile": (32, 48), "compression": "zlib", "predictor": True},
    {"planarconfig": "separate", "rowsperstrip": 16},
    {"byteorder": ">"},
    {"byteorder": ">", "compression": "zlib", "predictor": True},
    {"bigtiff": True, "compression": "zlib", "rowsperstrip": 9},
]


def write(samples, **options):
    buffer = io.BytesIO()
    byteorder, big = options.pop("byteorder", "<"), options.pop("bigtiff", False)
    options.setdefault("photometric", "rgb" if samples.ndim == 3 else "minisblack")
    if options.get("planarconfig") == "separate":
        samples = np.moveaxis(samples, 2, 0)
    with tifffile.TiffWriter(buffer, byteorder=byteorder, bigtiff=big) as writer:
        writer.write(samples, metadata=None, **options)
    return buffer.getvalue()


def read(data):
    picture = tifffile.imread(io.BytesIO(data))
    return np.moveaxis(picture, 0, 2) if picture.ndim == 3 and picture.shape[0] in (3, 4) else picture


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("options", LAYOUTS, ids=str)
def test_every_layout_keeps_what_is_not_touched(scene, depth, options, limits, edit):
    samples = scene(75, 101).astype(np.uint16) * 257 + 3 if depth == 16 else scene(75, 101)
    data = write(samples, **options)
    image = decode(data, limits)
    assert np.array_equal(image.native, samples)
    rgb, touched = edit(image, (12, 40, 21, 70))
    again = read(encode(image, rgb, touched))
    assert again.dtype == samples.dtype
    assert np.array_equal(again[~touched], samples[~touched])
    assert (again[touched] == np.array([200, 40, 90]) * (257 if depth == 16 else 1)).all()


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_adobe_deflate"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "I;16"])
def test_compressions_by_libtiff(scene, compression, mode, limits, edit):
    if mode == "I;16":
        picture = PillowImage.fromarray(scene(60, 44)[..., 0].astype(np.uint16) * 200)
    else:
        picture = PillowImage.fromarray(scene(60, 44)).convert(mode)
    buffer = io.BytesIO()
    picture.save(buffer, "TIFF", compression=compression)
    image = decode(buffer.getvalue(), limits)
    assert np.array_equal(image.native, np.array(picture))
    rgb, touched = edit(image, (5, 5, 30, 30), (230, 230, 230))  # no level of the scene
    result = encode(image, rgb, touched)
    with PillowImage.open(io.BytesIO(result)) as again:
        assert again.mode == picture.mode
        assert again.info["compression"] == compression
        pixels = np.array(again)
    assert np.array_equal(pixels[~touched], np.array(picture)[~touched])
    colours = pixels[touched][..., :3] if pixels.ndim == 3 else pixels[touched]
    assert (colours == (230 * 257 if mode == "I;16" else 230)).all()


def test_tags_profile_and_resolution_stay(scene, limits, edit):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    private = (65000, "s", 0, "a private note", True)
    data = write(
        scene(64, 64), compression="zlib", iccprofile=profile, resolution=(300, 200), description="a picture",
        extratags=[private, (700, 7, 5, b"<x/>\0", True), (274, "H", 1, 6, True)],
    )  # fmt: skip
    image = decode(data, limits)
    assert image.carried.icc == profile
    assert image.carried.xmp == b"<x/>\0"
    assert image.carried.dpi == (300, 200)
    assert image.carried.orientation == 6
    rgb, touched = edit(image, (5, 5, 30, 30))
    rgb[touched] = np.random.default_rng(0).integers(0, 256, (touched.sum(), 3))  # larger than before: moves the strips
    result = encode(image, rgb, touched)
    with tifffile.TiffFile(io.BytesIO(data)) as before, tifffile.TiffFile(io.BytesIO(result)) as after:
        old = {tag.code: tag.value for tag in before.pages[0].tags if tag.code not in (273, 279)}
        new = {tag.code: tag.value for tag in after.pages[0].tags if tag.code not in (273, 279)}
    assert old == new
    again = decode(result, limits)
    assert np.array_equal(again.rgb[touched], rgb[touched])
    assert np.array_equal(again.rgb[~touched], image.rgb[~touched])


def test_what_was_removed_is_not_left_in_the_file(scene, limits, edit):
    samples = scene(64, 64)
    image = decode(write(samples, compression="zlib"), limits)
    rgb, touched = edit(image, (5, 5, 60, 60))
    rgb[touched] = np.random.default_rng(0).integers(0, 256, (touched.sum(), 3))
    with tifffile.TiffFile(io.BytesIO(image.data)) as file:
        page = file.pages[0]
        old = image.data[page.dataoffsets[0] : page.dataoffsets[0] + page.databytecounts[0]]
    result = encode(image, rgb, touched)
    assert len(result) > len(image.data)
    assert old[100:164] in image.data
    assert old[100:164] not in result


@pytest.mark.parametrize("kind", ["palette", "bilevel", "bilevel fax", "white is zero"])
def test_palette_and_bilevel_files_become_deflated_rgb_or_grey(scene, kind, limits, edit):
    colours = PillowImage.fromarray(scene(50, 61))
    buffer = io.BytesIO()
    if kind == "palette":
        picture = colours.quantize(64)
        picture.save(buffer, "TIFF", dpi=(100, 100))
        data = buffer.getvalue()
    elif kind == "white is zero":
        data = write(np.asarray(colours.convert("L")), photometric="miniswhite")
        picture = PillowImage.fromarray(255 - np.asarray(colours.convert("L")))
    else:
        picture = colours.convert("1")
        picture.save(buffer, "TIFF", compression="group4" if "fax" in kind else None, dpi=(100, 100))
        data = buffer.getvalue()
    image = decode(data, limits)
    expected = np.array(picture.convert("RGB"))
    assert np.array_equal(image.rgb, expected)
    rgb, touched = edit(image, (5, 5, 20, 20), (120, 120, 120))
    result = encode(image, rgb, touched)
    with PillowImage.open(io.BytesIO(result)) as again:
        assert again.mode == ("RGB" if kind == "palette" else "L")
        pixels = np.array(again.convert("RGB"))
    assert np.array_equal(pixels[~touched], expected[~touched])
    assert (pixels[touched] == 120).all()
    assert decode(result, limits).carried.dpi == image.carried.dpi


def test_what_cannot_be_kept_is_refused(scene, limits):
    def check(data, message):
        with pytest.raises(RefusedError, match=message):
            decode(data, limits)

    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(scene(16, 16))
        writer.write(scene(16, 16))
    check(buffer.getvalue(), "several pages")
    check(write(scene(16, 16).astype(np.float32)), "floating-point")
    for mode, compression, message in (("CMYK", None, "CMYK"), ("LAB", None, "Lab"), ("RGB", "jpeg", "YCbCr|JPEG")):
        buffer = io.BytesIO()
        PillowImage.new(mode, (16, 16)).save(buffer, "TIFF", compression=compression)
        check(buffer.getvalue(), message)


def test_cut_files(scene, limits):
    data = write(scene(32, 32), compression="zlib")
    for share in (0.01, 0.05, 0.3, 0.9):
        with pytest.raises(DecodeError, match=r"cut off|damaged"):
            decode(data[: max(6, int(len(data) * share))], limits)
