"""A picture that changed as a whole, in its own format: sizes, tables, sampling, alpha, and what the file carried."""

import io

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image as PillowImage

from cleanplate.codec import decode, rewrite
from cleanplate.codec.metadata import with_size
from cleanplate.errors import RefusedError
from cleanplate.metrics.psnr import psnr

PROFILE = b"an ICC profile would stand here"


@pytest.fixture
def write():
    """A picture in a format: write("PNG", pixels, ...)."""

    def make(kind, pixels, **options):
        buffer = io.BytesIO()
        picture = PillowImage.fromarray(pixels)
        if kind == "PALETTE":
            kind, picture = "PNG", picture.quantize(64)
        picture.save(buffer, kind, **options)
        return buffer.getvalue()

    return make


def _double(image):
    return cv2.resize(image.rgb, (2 * image.width, 2 * image.height), interpolation=cv2.INTER_CUBIC)


def _tables(data):
    return PillowImage.open(io.BytesIO(data)).quantization


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "PALETTE", "WEBP", "TIFF", "BMP"])
@pytest.mark.parametrize("scale", [1, 2])
def test_the_picture_comes_back_in_its_format_and_size(write, scene, limits, kind, scale):
    extras = {"JPEG": {"quality": 95}, "WEBP": {"lossless": True}}.get(kind, {})
    image = decode(write(kind, scene(41, 58), **extras), limits)
    wanted = _double(image) if scale == 2 else np.clip(image.rgb.astype(int) + 9, 0, 255).astype(np.uint8)
    again = decode(rewrite(image, wanted, 92), limits)
    assert again.carried.format == image.carried.format
    assert again.rgb.shape == wanted.shape
    if kind == "JPEG":
        assert psnr(again.rgb, wanted) > 32
    else:
        np.testing.assert_array_equal(again.rgb, wanted)


def test_what_a_jpeg_carried_stays(write, scene, limits):
    exif = PillowImage.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"
    data = write("JPEG", scene(40, 64), quality=40, exif=exif, icc_profile=PROFILE, comment=b"kept", dpi=(300, 300))
    image = decode(data, limits)
    again = decode(rewrite(image, _double(image), 92), limits)
    assert (again.width, again.height) == (80, 128), "stored on its side as the source is"
    for name in ("exif", "icc", "dpi", "orientation"):
        assert getattr(again.carried, name) == getattr(image.carried, name)
    assert again.carried.details["segments"] == image.carried.details["segments"]
    assert PillowImage.open(io.BytesIO(again.data)).info["comment"] == b"kept"


def test_exif_says_the_new_size_and_damage_does_no_harm(write, scene, limits):
    exif = PillowImage.Exif()
    exif.get_ifd(0x8769).update({0xA002: 64, 0xA003: 40, 0x9286: b"a comment"})
    image = decode(write("JPEG", scene(40, 64), exif=exif), limits)
    again = PillowImage.open(io.BytesIO(rewrite(image, _double(image), 92))).getexif().get_ifd(0x8769)
    assert (again[0xA002], again[0xA003], again[0x9286]) == (128, 80, b"a comment")
    for damaged in (b"", b"II", b"II*\0\xff\xff\xff\xff", b"no EXIF at all"):
        assert with_size(damaged, 1, 2) == damaged


@pytest.mark.parametrize(("sampling", "factors"), [(0, (1, 1)), (1, (2, 1)), (2, (2, 2))])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_keeps_sampling_and_process(write, scene, limits, sampling, factors, progressive):
    image = decode(write("JPEG", scene(33, 50), quality=80, subsampling=sampling, progressive=progressive), limits)
    again = decode(rewrite(image, 255 - image.rgb, 92), limits)
    assert again.carried.details["sampling"][0] == factors
    assert again.carried.details["process"] == image.carried.details["process"]


def test_fine_tables_stay_and_coarse_ones_give_way(write, scene, limits):
    fine, coarse = (decode(write("JPEG", scene(32, 32), quality=quality), limits) for quality in (97, 20))
    assert _tables(rewrite(fine, 255 - fine.rgb, 92)) == _tables(fine.data)
    ninety_two = _tables(write("JPEG", scene(32, 32), quality=92))
    assert _tables(rewrite(coarse, 255 - coarse.rgb, 92)) == ninety_two
    assert _tables(rewrite(coarse, 255 - coarse.rgb, 10)) == _tables(coarse.data)


def test_grey_stays_grey_and_rgb_stays_rgb(write, scene, limits):
    grey = decode(write("JPEG", scene(40, 40)[..., 0], quality=90), limits)
    again = decode(rewrite(grey, _double(grey), 92), limits)
    assert (again.carried.mode, again.native.shape) == ("L", (80, 80))
    plain = decode(write("JPEG", scene(40, 40), quality=95, keep_rgb=True), limits)
    assert psnr(decode(rewrite(plain, _double(plain), 92), limits).rgb, _double(plain)) > 32


def test_alpha_is_interpolated_and_16_bits_stay(write, scene, limits):
    pixels = np.dstack([scene(20, 30), np.tile(np.linspace(0, 255, 30).astype(np.uint8), (20, 1))])
    for kind, options in (("PNG", {}), ("WEBP", {"lossless": True}), ("WEBP", {"quality": 80}), ("TIFF", {})):
        image = decode(write(kind, pixels, **options), limits)
        again = decode(rewrite(image, _double(image), 92), limits)
        assert again.native.shape == (40, 60, 4), kind
        assert np.abs(again.native[..., 3] - np.linspace(0, 255, 60)).max() < 6, kind
    deep = decode(write("PNG", scene(20, 30)[..., 0].astype(np.uint16) * 257), limits)
    again = decode(rewrite(deep, _double(deep), 92), limits)
    assert (again.native.dtype, again.native.shape) == (np.uint16, (40, 60))


def test_a_lossy_webp_stays_lossy(write, scene, limits):
    image = decode(write("WEBP", scene(40, 40), quality=80, icc_profile=PROFILE), limits)
    again = decode(rewrite(image, 255 - image.rgb, 92), limits)
    assert not again.carried.details["lossless"]
    assert again.carried.icc == PROFILE


def test_a_tiff_of_tiles_becomes_strips(scene, limits):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, scene(48, 64), tile=(16, 16), photometric="rgb", compression="zlib")
    image = decode(buffer.getvalue(), limits)
    again = decode(rewrite(image, _double(image), 92), limits)
    np.testing.assert_array_equal(again.rgb, _double(image))
    np.testing.assert_array_equal(tifffile.imread(io.BytesIO(again.data)), _double(image))


def test_the_same_picture_keeps_its_bytes_where_nothing_is_lost(write, scene, limits):
    image = decode(write("PNG", scene(16, 16)), limits)
    assert rewrite(image, image.rgb, 92) == image.data


def test_what_a_format_cannot_hold_is_refused(write, scene, limits):
    wide = np.zeros((2, 16_400, 3), np.uint8)
    with pytest.raises(RefusedError, match="WebP holds no picture of 16400 x 2"):
        rewrite(decode(write("WEBP", scene(16, 16), lossless=True), limits), wide, 92)
    with pytest.raises(RefusedError, match="JPEG holds no picture"):
        rewrite(decode(write("JPEG", scene(16, 16)), limits), np.zeros((2, 65_501, 3), np.uint8), 92)
    keyed = decode(write("PNG", scene(16, 16), transparency=(1, 2, 3)), limits)
    with pytest.raises(RefusedError, match="transparent colour"):
        rewrite(keyed, _double(keyed), 92)
