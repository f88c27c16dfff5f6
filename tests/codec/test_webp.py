"""WebP: lossless results, metadata kept, animations refused."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import ImageCms

from cleanplate.codec import decode, encode
from cleanplate.errors import DecodeError, RefusedError


def save(pixels, **options):
    buffer = io.BytesIO()
    PillowImage.fromarray(pixels).save(buffer, "WEBP", **options)
    return buffer.getvalue()


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("lossless", [False, True])
def test_only_touched_pixels_change(scene, alpha, lossless, limits, edit):
    pixels = scene(60, 81)
    if alpha:
        opacity = np.zeros((60, 81, 1), np.uint8)
        opacity[:, 30:] = np.linspace(0, 255, 51).astype(np.uint8)[None, :, None]
        pixels = np.concatenate([pixels, opacity], axis=2)
    image = decode(save(pixels, lossless=lossless, exact=True), limits)
    assert image.carried.details["lossless"] is lossless
    if lossless:
        assert np.array_equal(image.native, pixels)
    rgb, touched = edit(image, (9, 20, 33, 60))
    result = encode(image, rgb, touched)
    assert b"VP8L" in result
    with PillowImage.open(io.BytesIO(result)) as picture:
        again = np.array(picture)
    assert np.array_equal(again[~touched], image.native[~touched])
    assert (again[touched][:, :3] == (200, 40, 90)).all()
    if alpha:
        assert np.array_equal(again[..., 3], image.native[..., 3])


def test_metadata_is_kept(scene, limits, edit):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = PillowImage.Exif()
    exif[0x0112], exif[0x010E] = 8, "words"
    data = save(scene(40, 30), icc_profile=profile, exif=exif, xmp=b"<x/>")
    image = decode(data, limits)
    assert (image.width, image.height) == (40, 30)
    rgb, touched = edit(image, (3, 3, 20, 20))
    result = encode(image, rgb, touched)
    again = decode(result, limits)
    for name in ("icc", "exif", "xmp", "orientation", "dpi"):
        assert getattr(again.carried, name) == getattr(image.carried, name)
    assert again.carried.icc == profile
    assert again.carried.orientation == 8
    with PillowImage.open(io.BytesIO(result)) as picture:
        assert picture.info["icc_profile"] == profile
        assert picture.info["xmp"] == b"<x/>"
        assert picture.getexif()[0x010E] == "words"
    assert np.array_equal(again.rgb[touched], rgb[touched])


def test_animations_are_refused(scene, limits):
    data = save(scene(20, 20), save_all=True, append_images=[PillowImage.fromarray(scene(20, 20, seed=1))])
    with pytest.raises(RefusedError, match="animation"):
        decode(data, limits)


def test_cut_files_are_errors(scene, limits):
    data = save(scene(40, 40))
    for length in (13, 25, len(data) // 2, len(data) - 2):
        with pytest.raises(DecodeError, match=r"cut off|no picture"):
            decode(data[:length], limits)
    closed = bytearray(data[: len(data) // 2])  # cut, with lengths that fit
    closed[4:8] = (len(closed) - 8).to_bytes(4, "little")
    closed[16:20] = (len(closed) - 20).to_bytes(4, "little")
    with pytest.raises(DecodeError):
        decode(bytes(closed), limits)


def test_the_declared_canvas_counts_for_the_limits(scene, limits):
    data = bytearray(save(scene(20, 20), exif=PillowImage.Exif().tobytes() or b"Exif\0\0", xmp=b"<x/>"))
    at = data.index(b"VP8X") + 12
    data[at : at + 6] = b"\xff\x3f\0\xff\x3f\0"  # 16384 x 16384
    with pytest.raises(DecodeError, match="max_pixels"):
        decode(bytes(data), limits)
