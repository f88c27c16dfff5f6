"""JPEG: what an edit may not touch, read by libjpeg's own coefficients."""

from __future__ import annotations

import io

import jpeglib
import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import ImageCms, ImageOps

from cleanplate.codec import changed_coefficients, decode, encode, rewrite
from cleanplate.errors import DecodeError, RefusedError

KINDS = [(s, False) for s in ("4:4:4", "4:2:2", "4:2:0", "4:4:0", "4:1:1")]
KINDS += [(s, True) for s in ("4:4:4", "4:2:2", "4:2:0")]  # the tests' writers make no others progressive
CUTS = [(share, closing) for share in (0.02, 0.2, 0.5, 0.9) for closing in (b"", b"\xff\xd9")] + [(0.999, b"")]


@pytest.fixture
def make_jpeg(scene, tmp_path):
    def make(sampling="4:2:0", size=(75, 109), quality=85, **options):
        if sampling in ("4:4:0", "4:1:1"):  # Pillow cannot write these
            picture = jpeglib.from_spatial(scene(*size))
            picture.samp_factor = sampling
            picture.write_spatial(str(tmp_path / "made.jpg"), qt=quality)
            return (tmp_path / "made.jpg").read_bytes()
        buffer = io.BytesIO()
        PillowImage.fromarray(scene(*size)).save(
            buffer, "JPEG", quality=quality, subsampling=sampling, **options
        )
        return buffer.getvalue()

    return make


@pytest.fixture
def coefficients(tmp_path):
    """Reads (planes, sampling factors, tables by component, is progressive) with jpeglib."""

    def read(data):
        path = tmp_path / "read.jpg"
        path.write_bytes(data)
        jpeglib.version.set("9f")  # another library than the one that writes
        jpeg = jpeglib.read_dct(str(path))
        planes = [jpeg.Y] if not jpeg.has_chrominance else [jpeg.Y, jpeg.Cb, jpeg.Cr]
        tables = [jpeg.qt[jpeg.quant_tbl_no[i]] for i in range(len(planes))]
        return planes, np.array(jpeg.samp_factor), tables, jpeg.progressive_mode

    return read


def touched_blocks(touched, factors, index, shape):
    """Which blocks of a component lie in an MCU with a touched pixel; the plain definition, by loops."""
    if len(factors) == 1:
        factors = np.array([[1, 1]])
    high, wide = factors.max(axis=0)
    vertical, horizontal = factors[index]
    found = np.zeros(shape[:2], bool)
    for row in range(shape[0]):
        for column in range(shape[1]):
            top, left = row // vertical * 8 * high, column // horizontal * 8 * wide
            found[row, column] = touched[top : top + 8 * high, left : left + 8 * wide].any()
    return found


def check_coefficients(before, after, touched, coefficients):
    old_planes, factors, old_tables, old_kind = coefficients(before)
    new_planes, new_factors, new_tables, new_kind = coefficients(after)
    assert np.array_equal(factors, new_factors)
    assert old_kind == new_kind
    for index, (old, new) in enumerate(zip(old_planes, new_planes, strict=True)):
        assert np.array_equal(old_tables[index], new_tables[index])
        outside = ~touched_blocks(touched, factors, index, old.shape)
        assert outside.any()
        assert np.count_nonzero(old[outside] != new[outside]) == 0
    assert (old_planes[0] != new_planes[0]).any()


@pytest.mark.parametrize(("sampling", "progressive"), KINDS)
def test_no_coefficient_outside_the_touched_mcus_changes(
    make_jpeg, sampling, progressive, coefficients, limits, edit
):
    data = make_jpeg(sampling, progressive=progressive) if progressive else make_jpeg(sampling)
    image = decode(data, limits)
    rgb, touched = edit(image, (19, 37, 31, 60))
    result = encode(image, rgb, touched)
    check_coefficients(data, result, touched, coefficients)
    assert changed_coefficients(image, result, touched) == 0
    pairs = zip(coefficients(data)[0], coefficients(result)[0], strict=True)
    everywhere = sum(np.count_nonzero(old != new) for old, new in pairs)
    assert changed_coefficients(image, result, np.zeros_like(touched)) == everywhere > 0
    again = decode(result, limits)
    error = np.abs(again.rgb[22:28, 40:56].astype(int) - rgb[22:28, 40:56])
    assert error.mean() < 8  # flat colour at quality 85


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (16, 16), (17, 33), (40, 8)])
@pytest.mark.parametrize("corner", ["first", "last"])
def test_odd_sizes_and_edges(make_jpeg, size, corner, coefficients, limits, edit):
    data = make_jpeg("4:2:0", size=size, quality=95)
    image = decode(data, limits)
    box = (0, 0, 1, 1) if corner == "first" else (size[0] - 1, size[1] - 1, size[0], size[1])
    rgb, touched = edit(image, box)
    result = encode(image, rgb, touched)
    old, factors, _, _ = coefficients(data)
    new, _, _, _ = coefficients(result)
    for index in range(3):
        outside = ~touched_blocks(touched, factors, index, old[index].shape)
        assert np.array_equal(old[index][outside], new[index][outside])
    assert decode(result, limits).rgb.shape == image.rgb.shape


def test_grey_stays_grey(scene, coefficients, limits, edit):
    buffer = io.BytesIO()
    PillowImage.fromarray(scene(61, 83)[..., 0]).save(buffer, "JPEG", quality=90)
    image = decode(buffer.getvalue(), limits)
    assert image.native.ndim == 2
    rgb, touched = edit(image, (8, 8, 24, 24), (50, 50, 50))
    result = encode(image, rgb, touched)
    check_coefficients(image.data, result, touched, coefficients)
    with PillowImage.open(io.BytesIO(result)) as picture:
        assert picture.mode == "L"
    assert np.abs(decode(result, limits).native[8:24, 8:24].astype(int) - 50).max() <= 2


def test_pixels_move_at_most_one_ring_beyond_the_mcus(make_jpeg, limits, edit):
    image = decode(make_jpeg("4:2:0", size=(160, 160)), limits)
    rgb, touched = edit(image, (66, 66, 78, 78))  # inside the MCU 64..80
    again = decode(encode(image, rgb, touched), limits)
    moved = (again.rgb != image.rgb).any(axis=2)
    moved[63:81, 63:81] = False
    assert not moved.any()


def test_untouched_pixels_of_touched_blocks_suffer_less_than_by_encoding_anew(make_jpeg, limits, edit):
    image = decode(make_jpeg("4:2:0", quality=75, size=(96, 96)), limits)
    rgb, touched = edit(image, (20, 20, 60, 60))
    checks = np.indices(touched.shape).sum(axis=0) % 24 < 3  # a grid of thin strokes
    touched &= checks
    rgb[~touched] = image.rgb[~touched]
    rgb[touched] = image.rgb[touched] // 2 + 60
    buffer = io.BytesIO()
    PillowImage.fromarray(rgb).save(buffer, "JPEG", quality=75, subsampling="4:2:0")
    errors = []
    for data in (encode(image, rgb, touched), buffer.getvalue()):
        rest = np.zeros_like(touched)
        rest[20:60, 20:60] = True
        rest &= ~touched
        errors.append(np.abs(decode(data, limits).rgb[rest].astype(int) - image.rgb[rest]).mean())
    assert errors[0] < errors[1]


def test_an_edit_that_changes_nothing_returns_the_bytes(make_jpeg, limits):
    data = make_jpeg()
    image = decode(data, limits)
    everything = np.ones(image.rgb.shape[:2], bool)
    assert encode(image, image.rgb.copy(), ~everything) is data
    assert encode(image, image.rgb.copy(), everything) is data
    elsewhere = image.rgb.copy()
    elsewhere[0, 0] ^= 255  # a difference that is not in the mask is none
    assert encode(image, elsewhere, ~everything) is data


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_honoured_and_kept(scene, orientation, coefficients, limits, edit):
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    PillowImage.fromarray(scene(48, 80)).save(buffer, "JPEG", quality=90, exif=exif)
    image = decode(buffer.getvalue(), limits)
    with PillowImage.open(buffer) as picture:
        assert np.array_equal(image.rgb, np.array(ImageOps.exif_transpose(picture)))
    rgb, touched = edit(image, (2, 17, 14, 30))
    result = encode(image, rgb, touched)
    with PillowImage.open(io.BytesIO(result)) as picture:
        assert picture.getexif()[0x0112] == orientation
        upright = np.array(ImageOps.exif_transpose(picture))
    assert np.abs(upright[4:12, 19:28].astype(int) - rgb[4:12, 19:28]).mean() < 12
    stored = np.zeros((48, 80), bool)
    marked = PillowImage.fromarray(touched)
    inverse = {5: 5, 6: 8, 7: 7, 8: 6}.get(orientation, orientation)
    marks = PillowImage.Exif()
    marks[0x0112] = inverse
    turned = marked.convert("L")
    turned.info["exif"] = marks.tobytes()
    turned.getexif()[0x0112] = inverse
    stored[:] = np.array(ImageOps.exif_transpose(turned)) > 0
    check_coefficients(image.data, result, stored, coefficients)


def marker_segments(data):
    """Application and comment segments, by a walk of its own."""
    found, at = [], 2
    while data[at + 1] != 0xDA:
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] >= 0xE0:
            found.append(data[at : at + 2 + length])
        at += 2 + length
    return found


def test_every_metadata_segment_is_carried_byte_for_byte(scene, limits, edit):
    exif = PillowImage.Exif()
    exif[0x010E] = "a description"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes() + b"\0" * 90_000  # two segments
    buffer = io.BytesIO()
    PillowImage.fromarray(scene(64, 64)).save(
        buffer, "JPEG", exif=exif, icc_profile=profile, dpi=(300, 240), comment=b"hello", xmp=b"<x:xmpmeta/>"
    )
    iptc = b"\xff\xed" + (2 + 14 + 4).to_bytes(2, "big") + b"Photoshop 3.0\0" + b"8BIM"
    own = b"\xff\xeb\x00\x06\x01\x02\xff\xd9"  # an unknown segment that looks like an end marker
    data = buffer.getvalue()[:2] + iptc + own + buffer.getvalue()[2:] + b"trailing bytes of a phone"
    image = decode(data, limits)
    assert image.carried.icc == profile
    assert image.carried.xmp == b"<x:xmpmeta/>"
    assert image.carried.dpi == (300, 240)
    rgb, touched = edit(image, (10, 10, 20, 20))
    result = encode(image, rgb, touched)
    assert marker_segments(result) == marker_segments(data)
    assert len(marker_segments(result)) >= 7
    assert result.endswith(b"\xff\xd9trailing bytes of a phone")
    again = decode(result, limits).carried
    assert (again.icc, again.exif, again.xmp, again.dpi) == (
        image.carried.icc, image.carried.exif, image.carried.xmp, image.carried.dpi,
    )  # fmt: skip


def test_rgb_jpeg_without_colour_transform(scene, coefficients, limits, edit):
    buffer = io.BytesIO()
    PillowImage.fromarray(scene(48, 48)).save(buffer, "JPEG", quality=95, keep_rgb=True)
    image = decode(buffer.getvalue(), limits)
    rgb, touched = edit(image, (8, 8, 16, 16), (10, 200, 60))
    result = encode(image, rgb, touched)
    check_coefficients(image.data, result, touched, coefficients)
    assert np.abs(decode(result, limits).rgb[8:16, 8:16].astype(int) - rgb[8:16, 8:16]).max() <= 3


def test_restart_markers_are_read(scene, coefficients, limits, edit):
    buffer = io.BytesIO()
    PillowImage.fromarray(scene(64, 64)).save(buffer, "JPEG", restart_marker_rows=1)
    image = decode(buffer.getvalue(), limits)
    assert image.carried.details["restart_interval"] == 4
    rgb, touched = edit(image, (10, 10, 20, 20))
    check_coefficients(image.data, encode(image, rgb, touched), touched, coefficients)


def test_white_text_with_overshoot_is_replaced_exactly(limits):
    """Clipped pixels hide coefficients beyond white; the new colour must not inherit them."""
    picture = np.full((32, 32, 3), 60, np.uint8)
    picture[::3, 8:16] = 255
    buffer = io.BytesIO()
    PillowImage.fromarray(picture).save(buffer, "JPEG", quality=60, subsampling="4:4:4")
    image = decode(buffer.getvalue(), limits)
    rgb, touched = image.rgb.copy(), np.ones((32, 32), bool)
    rgb[:] = 61
    again = decode(encode(image, rgb, touched), limits)
    assert np.abs(again.rgb.astype(int) - 61).max() <= 3


def test_cmyk_is_refused(limits):
    buffer = io.BytesIO()
    PillowImage.new("CMYK", (16, 16), (10, 20, 30, 40)).save(buffer, "JPEG")
    with pytest.raises(RefusedError, match="CMYK"):
        decode(buffer.getvalue(), limits)


def test_several_pictures_in_one_file_are_refused(scene, limits):
    buffer = io.BytesIO()
    first, second = PillowImage.fromarray(scene(32, 32)), PillowImage.fromarray(scene(16, 16))
    first.save(buffer, "MPO", save_all=True, append_images=[second])
    with pytest.raises(RefusedError, match="several pictures"):
        decode(buffer.getvalue(), limits)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize(("share", "closing"), CUTS)
def test_a_cut_file_is_an_error_and_not_filled_with_grey(make_jpeg, progressive, share, closing, limits):
    data = make_jpeg("4:2:0", size=(120, 160), progressive=progressive)
    cut = data[: int(len(data) * share)].rstrip(b"\xff") + closing
    with pytest.raises(DecodeError, match=r"cut off|scan|SOF|shorter|damaged|cannot be decoded"):
        decode(cut, limits)


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_change_outside_the_mask_is_counted(make_jpeg, limits, edit, orientation):
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    image = decode(make_jpeg(exif=exif), limits)
    rgb, touched = edit(image, (19, 37, 31, 60))
    result = encode(image, rgb, touched)
    assert changed_coefficients(image, result, touched) == 0
    assert changed_coefficients(image, result, np.roll(touched, 48, axis=0)) > 0
    anew = rewrite(image, rgb, 100)
    assert changed_coefficients(image, anew, touched) > image.native.size / 2, "other tables: all count"


def test_other_formats_have_no_coefficients(scene, limits):
    buffer = io.BytesIO()
    PillowImage.fromarray(scene(20, 30)).save(buffer, "PNG")
    image = decode(buffer.getvalue(), limits)
    assert changed_coefficients(image, image.data, np.zeros((20, 30), np.bool_)) is None
