"""Joining, dropping and numbering of regions, and widening of one."""

from dataclasses import replace

import numpy as np
from scipy import ndimage

from cleanplate.mask.merge import tidy
from cleanplate.mask.soft import feather
from cleanplate.mask.widen import widen
from cleanplate.records import Box, KnownMark, Region, Template

_GROUND = np.full((200, 300, 3), 128, np.uint8)


def _tidy(regions, gap_px, picture=_GROUND):
    return tidy(regions, gap_px, picture)


def _region(left, top, right, bottom, kind="overlay_text", source="ppocr", alpha=1.0):
    shape = (bottom - top, right - left)
    soft = np.full(shape, alpha, np.float32)
    core = (soft >= 0.5).astype(np.uint8)
    return Region(0, kind, 0.9, Box(left, top, right, bottom), soft, core, soft, source=source, height_px=10.0)


def test_near_regions_of_one_kind_are_joined_and_keep_their_pixels():
    first, second = _region(0, 0, 10, 10), _region(13, 2, 20, 12, alpha=0.4)
    joined = _tidy([first, second], 4)
    assert len(joined) == 1
    region = joined[0]
    assert region.box == Box(0, 0, 20, 12)
    assert np.all(region.alpha[0:10, 0:10] == 1)
    assert np.all(region.alpha[2:12, 13:20] == np.float32(0.4))
    assert region.alpha[:, 10:13].max() == 0
    assert region.core.sum() == 100
    assert len(_tidy([first, second], 2)) == 2


def _known(left, top, right, bottom, kind="watermark"):
    shape = (bottom - top, right - left)
    template = Template(np.full(shape, 0.4, np.float32), np.zeros((*shape, 3), np.float32), np.zeros(shape, np.float32))
    box = Box(left, top, right, bottom)
    return replace(_region(left, top, right, bottom, kind, "recurring"), known=KnownMark("m-1", template, box))


def test_a_known_mark_stays_alone_and_what_was_found_of_it_goes():
    mark = _known(40, 40, 90, 60)
    again, beside = _region(38, 38, 92, 61, "watermark"), _region(93, 40, 130, 60, "watermark")
    kept = _tidy([again, mark, beside, _region(42, 42, 60, 50, "scene_text")], 4)
    assert [(region.box, region.known is not None) for region in kept] == [(mark.box, True), (beside.box, False)]


def test_what_lies_on_a_known_mark_in_part_stays_beside_it():
    mark = _known(40, 40, 90, 60)
    kept = _tidy([mark, _region(70, 30, 140, 70, "overlay_text")], 4)
    assert len(kept) == 2
    (other,) = (region for region in kept if region.known is None)
    assert other.core.sum() == 70 * 40 - 20 * 20
    assert not other.alpha[10:30, :20].any()


def test_a_known_caption_hides_no_watermark_from_the_rights_gate():
    caption = _known(40, 40, 90, 60, "overlay_text")
    kept = _tidy([caption, _region(42, 42, 88, 58, "watermark")], 4)
    assert {region.kind for region in kept} == {"overlay_text", "watermark"}
    assert all(region.core.any() for region in kept)


def test_a_given_mask_is_before_a_known_mark():
    kept = _tidy([_known(40, 40, 90, 60), _region(30, 30, 100, 70, "object", "given_mask")], 4)
    assert [region.source for region in kept] == ["given_mask"]


def test_regions_of_two_kinds_stay_apart():
    assert len(_tidy([_region(0, 0, 10, 10), _region(5, 5, 15, 15, kind="stamp")], 4)) == 2


def test_a_bridge_joins_both_sides():
    assert len(_tidy([_region(0, 0, 10, 10), _region(30, 0, 40, 10), _region(12, 0, 28, 10)], 4)) == 1


def _hooked(ink, other_ink, gap_px=4, kind="overlay_text", bar_px=4):
    """An L whose box holds a bar that its mask does not touch; both in inks of their own."""
    picture = _GROUND.copy()
    elbow = np.zeros((60, 60), np.float32)
    elbow[:, :6] = elbow[-6:] = 1
    first = replace(_region(20, 20, 80, 80, kind), alpha=elbow, core=elbow.astype(np.uint8), confidence=elbow)
    picture[20:80, 20:80][elbow > 0] = ink
    picture[30 : 30 + bar_px, 40:70] = other_ink
    return tidy([first, _region(40, 30, 70, 30 + bar_px, kind)], gap_px, picture)


def test_lines_of_two_inks_stay_apart_where_only_their_boxes_overlap():
    assert len(_hooked((0, 0, 0), (0, 160, 0))) == 2
    assert len(_hooked((0, 0, 0), (40, 40, 40))) == 1
    assert len(_hooked((0, 0, 0), (0, 160, 0), kind="watermark")) == 1


def test_an_ink_is_the_strokes_and_not_the_ground_that_a_mask_reaches_over():
    picture = _GROUND.copy()
    picture[33, 40:70] = 255
    picture[20:80, 20:26] = picture[74:80, 20:80] = 255
    elbow = np.zeros((60, 60), np.float32)
    elbow[:, :6] = elbow[-6:] = 1
    first = replace(_region(20, 20, 80, 80), alpha=elbow, core=elbow.astype(np.uint8), confidence=elbow)
    second = replace(_region(40, 30, 70, 37), dilation_px=3)
    assert len(tidy([first, second], 4, picture)) == 1
    assert len(tidy([first, replace(second, dilation_px=0)], 4, picture)) == 2


def test_lines_of_two_inks_whose_masks_meet_are_one():
    assert len(_hooked((0, 0, 0), (0, 160, 0), bar_px=42)) == 1
    assert len(_hooked((0, 0, 0), (0, 160, 0), gap_px=20)) == 1


def test_what_a_given_region_covers_is_dropped():
    given = _region(0, 0, 30, 30, kind="object", source="given_mask")
    assert [region.source for region in _tidy([_region(5, 5, 15, 15), given], 4)] == ["given_mask"]
    assert len(_tidy([_region(25, 5, 60, 15), given], 4)) == 2


def test_reading_order():
    regions = [_region(200, 4, 220, 14), _region(5, 100, 60, 110), _region(0, 0, 50, 12), _region(80, 98, 120, 111)]
    ordered = _tidy(regions, 4)
    assert [region.region_id for region in ordered] == [0, 1, 2, 3]
    assert [region.box.left for region in ordered] == [0, 200, 5, 80]


def test_feather_is_a_gaussian_of_the_distance():
    hard = np.zeros((31, 31), np.uint8)
    hard[14:17, 14:17] = 1
    alpha = feather(hard, 2.0)
    distance = ndimage.distance_transform_edt(1 - hard)
    near = distance <= 4.5
    assert np.abs(alpha - np.exp(-(distance**2) / 8))[near].max() < 0.03
    assert alpha[distance > 5.2].max() == 0
    assert np.array_equal(feather(hard, 0), hard.astype(np.float32))


def test_widening_grows_alpha_and_core_inside_the_image():
    wide = widen(_region(0, 5, 10, 15), 2, 100, 16)
    assert wide.box == Box(0, 3, 12, 16)
    assert wide.core[2:12, 0:10].all()
    assert wide.core.sum() > 100
    assert wide.dilation_px == 2
    assert wide.confidence.shape == wide.alpha.shape == wide.core.shape
