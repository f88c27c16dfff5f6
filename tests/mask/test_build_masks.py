"""Masks of strokes, silhouettes and given masks: soft, tight, complete."""

from dataclasses import replace

import numpy as np
import pytest

from cleanplate.config import MaskConfig
from cleanplate.image import Carried, Image
from cleanplate.mask import build_masks
from cleanplate.records import Box, Detection

STYLES = {
    "white": {"fill": (255, 255, 255)},
    "black": {"fill": (5, 5, 5)},
    "red": {"fill": (210, 20, 30)},
    "outlined": {"fill": (255, 255, 255), "stroke": (0, 0, 0), "stroke_width": 2},
    "yellow on red": {"fill": (255, 220, 0), "stroke": (120, 0, 0), "stroke_width": 1},
    "small": {"fill": (255, 255, 255), "size": 14},
}


def _alpha(regions, shape):
    alpha = np.zeros(shape, np.float32)
    for region in regions:
        np.maximum(alpha[region.box.slices], region.alpha, out=alpha[region.box.slices])
    return alpha


@pytest.mark.parametrize("style", STYLES)
def test_a_stroke_mask_covers_what_was_drawn_and_little_more(letters, job_of, style):
    _, drawn, influence, line = letters(**STYLES[style])
    regions = build_masks([job_of(drawn)], [[line]], MaskConfig())[0]
    alpha = _alpha(regions, influence.shape)
    assert (alpha[influence] > 0.9).mean() > 0.985
    dilated = 3.2 if style == "small" else 2.4  # thin strokes grow most
    assert (alpha > 0.5).sum() < dilated * influence.sum()
    assert not any(region.source.endswith("/box") for region in regions)


def test_rims_belong_to_the_strokes_without_any_dilation(letters, job_of):
    _, drawn, influence, line = letters((255, 255, 255))
    config = MaskConfig(min_dilation_px=0, dilation_share=0, feather_sigma_px=0)
    alpha = _alpha(build_masks([job_of(drawn)], [[line]], config)[0], influence.shape)
    assert (alpha[influence] == 1).mean() > 0.93
    assert (alpha > 0).sum() < 1.2 * influence.sum()


def test_counters_of_large_letters_stay_open(letters, job_of):
    _, drawn, influence, line = letters((255, 255, 255), size=60, text="OOO")
    alpha = _alpha(build_masks([job_of(drawn)], [[line]], MaskConfig())[0], influence.shape)
    columns = np.flatnonzero(influence.any(axis=0))
    rows = np.flatnonzero(influence.any(axis=1))
    middle_row = (rows[0] + rows[-1]) // 2
    inside_first_o = int(columns[0] + (columns[-1] - columns[0]) / 6)
    assert alpha[middle_row, inside_first_o] == 0
    assert alpha[influence].min() > 0


def test_text_that_cannot_be_told_from_its_background_gets_the_maps_shape(letters, job_of):
    clean, _, _, line = letters((255, 255, 255))
    region = build_masks([job_of(clean)], [[line]], MaskConfig())[0][0]
    assert region.source == "ppocr/box"
    assert region.core.sum() >= line.box.area_px


def test_wider_dilation_and_feather_widen_the_mask(letters, job_of):
    _, drawn, _, line = letters((255, 255, 255))
    job = job_of(drawn)

    def area(config, **fields):
        return float(build_masks([job_of(drawn, **fields) if fields else job], [[line]], config)[0][0].alpha.sum())

    usual = area(MaskConfig())
    assert area(MaskConfig(min_dilation_px=4)) > 1.2 * usual
    assert area(MaskConfig(feather_sigma_px=0)) < usual < area(MaskConfig(feather_sigma_px=3))
    assert area(MaskConfig(), mask_sigma=3.0) == area(MaskConfig(feather_sigma_px=3))
    narrow, wide = (MaskConfig(dilation_share=2, max_dilation_px=most) for most in (2, 6))
    assert area(narrow) < area(wide)


def test_core_is_the_threshold_of_alpha(letters, job_of):
    _, drawn, _, line = letters((255, 255, 255))
    region = build_masks([job_of(drawn)], [[line]], MaskConfig(feather_sigma_px=2, core_threshold=0.3))[0][0]
    assert np.array_equal(region.core, (region.alpha >= 0.3).astype(np.uint8))
    assert region.core.dtype == np.uint8
    assert region.alpha.dtype == np.float32
    assert region.alpha.max() == 1
    assert (region.alpha > 0).any(axis=0)[[0, -1]].all()
    assert (region.alpha > 0).any(axis=1)[[0, -1]].all()


def _given(kind, box, confidence, source="given_mask"):
    return Detection(kind, 1.0, box, confidence, source)


def test_a_given_mask_is_taken_exactly(job_of):
    alpha = np.random.default_rng(1).uniform(0.1, 1, (6, 8)).astype(np.float32)
    job = job_of(np.zeros((40, 40, 3), np.uint8))
    region = build_masks([job], [[_given("object", Box(4, 5, 12, 11), alpha)]], MaskConfig())[0][0]
    assert region.box == Box(4, 5, 12, 11)
    assert np.array_equal(region.alpha, alpha)
    assert region.dilation_px == 0
    assert region.source == "given_mask"


def test_a_given_mask_is_feathered_only_where_the_row_asks(job_of):
    alpha = np.ones((6, 8), np.float32)
    job = job_of(np.zeros((40, 40, 3), np.uint8), mask_sigma=2.0)
    region = build_masks([job], [[_given("object", Box(14, 15, 22, 21), alpha)]], MaskConfig())[0][0]
    assert region.box.width > 8
    assert (region.alpha == 1).sum() == 48


def test_an_object_box_is_whole_and_feathered_outward(job_of):
    job = job_of(np.zeros((40, 40, 3), np.uint8))
    whole = np.ones((10, 10), np.float32)
    region = build_masks([job], [[_given("object", Box(20, 20, 30, 30), whole, "given_box")]], MaskConfig())[0][0]
    assert (region.alpha == 1).sum() == 100
    assert region.alpha.shape > (10, 10)
    edge = build_masks([job], [[_given("object", Box(30, 30, 40, 40), whole, "given_box")]], MaskConfig())[0][0]
    assert edge.box.right == edge.box.bottom == 40


def test_a_given_mask_may_be_refined_to_strokes(letters, job_of):
    _, drawn, influence, line = letters((255, 255, 255))
    given = Detection("overlay_text", 1.0, line.box, np.ones_like(line.confidence), "given_mask", height_px=40.0)
    exact = build_masks([job_of(drawn)], [[given]], MaskConfig())[0][0]
    refined = build_masks([job_of(drawn)], [[given]], MaskConfig(given="refine"))[0][0]
    assert exact.core.sum() == line.box.area_px
    assert influence.sum() <= refined.core.sum() < 0.8 * line.box.area_px


def test_inputs_are_left_alone(letters, job_of):
    _, drawn, _, line = letters((255, 255, 255))
    picture, confidence = drawn.copy(), line.confidence.copy()
    build_masks([job_of(drawn)], [[line]], MaskConfig())
    assert np.array_equal(picture, drawn)
    assert np.array_equal(confidence, line.confidence)


@pytest.mark.parametrize("shape", [(1, 1), (2, 50), (50, 2)])
def test_text_that_fills_a_tiny_picture(job_of, shape):
    box = Box(0, 0, shape[1], shape[0])
    line = Detection("overlay_text", 1.0, box, np.ones(shape, np.float32), "ppocr", height_px=float(min(shape)))
    region = build_masks([job_of(np.full((*shape, 3), 9, np.uint8))], [[line]], MaskConfig())[0][0]
    assert region.box == box
    assert region.alpha.min() == 1


def test_no_detections_no_regions(job_of):
    assert build_masks([job_of(np.zeros((4, 4, 3), np.uint8))], [[]], MaskConfig()) == [[]]


def test_strokes_that_the_detector_knows_are_the_mask(job_of):
    rng = np.random.default_rng(4)
    picture = rng.integers(90, 110, (80, 120, 3), dtype=np.uint8)
    strokes = np.zeros((20, 60), np.float32)
    strokes[4:16:6, 5:55] = 0.9
    strokes[5:17:6, 5:55] = 0.25  # less sure, right beside
    strokes[1, 1] = 0.25  # less sure, alone
    known = Detection("handwriting", 0.9, Box(30, 30, 90, 50), strokes, "text", height_px=16.0, strokes=strokes)
    config = MaskConfig(min_dilation_px=0, dilation_share=0, feather_sigma_px=0)
    region = build_masks([job_of(picture)], [[known]], config)[0][0]
    assert region.core.sum() == 2 * 2 * 50
    assert (region.box.left, region.box.top) == (35, 34)
    wider = build_masks([job_of(picture)], [[known]], MaskConfig(min_dilation_px=2))[0][0]
    assert wider.core.sum() > 1.5 * region.core.sum()


def test_strokes_in_a_file_with_losses_are_covered_one_pixel_further(job_of):
    picture = np.full((80, 120, 3), 100, np.uint8)
    strokes = np.zeros((20, 60), np.float32)
    strokes[8:12, 5:55] = 0.9
    known = Detection("stamp", 0.9, Box(30, 30, 90, 50), strokes, "text", height_px=16.0, strokes=strokes)
    lossless = job_of(picture)
    lossy = replace(lossless, image=Image(picture, picture, Carried("JPEG", "image/jpeg", "RGB"), b""))
    config = MaskConfig(min_dilation_px=1, dilation_share=0, feather_sigma_px=0)
    heights = [build_masks([job], [[known]], config)[0][0].box.height for job in (lossless, lossy)]
    assert heights == [4 + 2, 4 + 4]
