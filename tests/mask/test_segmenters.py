"""Silhouettes from boxes, brushes and points, against shapes that were drawn; shadows only where there are any."""

import cv2
import numpy as np
import pytest
import torch

from cleanplate.config import MaskConfig, load_config
from cleanplate.errors import ModelError
from cleanplate.mask import build_masks, hints
from cleanplate.mask.segmenters import ByNetwork, GrabCut, View, build_segmenter
from cleanplate.models.object_net import SIDE_PX, ObjectNet
from cleanplate.models.registry import Registry
from cleanplate.records import Box, Detection

HEIGHT, WIDTH = 240, 320
OBJECT = Box(110, 60, 190, 150)


@pytest.fixture(scope="module", params=["GrabCut", "network"])
def segmenter(request):
    if request.param == "GrabCut":
        return GrabCut()
    config = load_config(overrides=["models.device=cpu"])
    return build_segmenter(config, Registry.load(config.models), "cpu")


TIGHT = MaskConfig(given="refine", object_margin_share=0)


def mask_of(job_of, picture, detection, segmenter, config=TIGHT):
    regions = build_masks([job_of(picture)], [[detection]], config, segmenter)[0]
    mask = np.zeros(picture.shape[:2], bool)
    for region in regions:
        mask[region.box.slices] |= region.core > 0
    return mask


def given(box, source="given_box", confidence=None):
    values = np.ones((box.height, box.width), np.float32) if confidence is None else confidence
    return Detection("object", 1.0, box, values, source)


def overlap(mask, truth):
    return (mask & truth).sum() / (mask | truth).sum()


def brush_around(inside):
    rough = cv2.dilate(inside.astype(np.uint8), np.ones((13, 13), np.uint8)).astype(np.float32)
    box = Box(100, 50, 200, 160)
    return given(box, "given_mask", rough[box.slices])


@pytest.mark.parametrize("hint", ["box", "brush", "point"])
def test_a_silhouette_is_found_from_every_hint(job_of, scene, segmenter, hint):
    picture, inside, _ = scene()
    pointed = {
        "box": given(OBJECT.expand(6, WIDTH, HEIGHT)),
        "brush": brush_around(inside),
        "point": given(Box(150, 105, 151, 106)),
    }
    assert overlap(mask_of(job_of, picture, pointed[hint], segmenter), inside) > 0.9


def test_the_shadow_goes_with_the_object_and_a_picture_without_has_none(job_of, scene, segmenter):
    box = given(OBJECT.expand(6, WIDTH, HEIGHT))
    picture, inside, shade = scene(shadow=0.4)
    mask = mask_of(job_of, picture, box, segmenter)
    assert mask[shade].mean() > 0.8
    assert overlap(mask, inside | shade) > 0.85
    bare, _, _ = scene()
    assert mask_of(job_of, bare, box, segmenter)[shade].mean() < 0.25


def test_used_exactly_a_box_is_whole_but_a_point_is_still_a_point(job_of, scene, segmenter):
    picture, inside, _ = scene()
    box = OBJECT.expand(6, WIDTH, HEIGHT)
    exact = mask_of(job_of, picture, given(box), segmenter, MaskConfig(feather_sigma_px=0))
    assert exact.sum() == box.area_px
    point = given(Box(150, 105, 151, 106))
    assert overlap(mask_of(job_of, picture, point, segmenter, MaskConfig(object_margin_share=0)), inside) > 0.9


def test_where_nothing_stands_out_the_hint_is_the_mask(job_of):
    flat = np.full((60, 80, 3), 128, np.uint8)
    box = Box(0, 0, 80, 60)
    assert mask_of(job_of, flat, given(box), GrabCut()).all()


def test_a_mask_reaches_a_little_beyond_the_object_on_all_sides(job_of, scene, segmenter):
    picture, inside, _ = scene()
    box = given(OBJECT.expand(6, WIDTH, HEIGHT))
    tight, wide = (mask_of(job_of, picture, box, segmenter, MaskConfig(given="refine", object_margin_share=share))
                   for share in (0, 0.1))  # fmt: skip
    grown = cv2.dilate(tight.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (11, 11))) > 0
    assert wide[grown].all()
    assert wide.sum() < 1.7 * tight.sum()
    assert wide[inside].all()


def test_a_margin_ends_at_the_picture_s_border(job_of, scene, segmenter):
    picture, _, _ = scene()
    part = np.ascontiguousarray(picture[62:, 112:])  # the object touches two borders
    mask = mask_of(job_of, part, given(Box(0, 0, 82, 92)), segmenter, MaskConfig(given="refine"))
    assert mask[:60, :60].mean() > 0.9
    assert mask.shape == part.shape[:2]


def test_the_same_picture_gives_the_same_mask(job_of, scene, segmenter):
    picture, _, _ = scene(shadow=0.3)
    box = given(OBJECT.expand(4, WIDTH, HEIGHT))
    assert np.array_equal(mask_of(job_of, picture, box, segmenter), mask_of(job_of, picture, box, segmenter))


def test_a_large_object_is_found_as_a_small_one_is(job_of, scene, segmenter):
    picture, inside, _ = scene()
    large = cv2.resize(picture, None, fx=5, fy=5, interpolation=cv2.INTER_CUBIC)
    truth = cv2.resize(inside.astype(np.uint8), large.shape[1::-1], interpolation=cv2.INTER_NEAREST) > 0
    box = given(Box(*(5 * side for side in (104, 54, 196, 156))))
    assert overlap(mask_of(job_of, large, box, segmenter), truth) > 0.9


def test_the_network_sees_the_window_the_hint_and_grabcut_s_word(scene):
    picture, inside, _ = scene()
    window = hints.window_of(OBJECT, WIDTH, HEIGHT)
    view = View.of(picture[window.slices], hints.hint_of_box(OBJECT, window))
    truth = cv2.resize(inside[window.slices].astype(np.uint8), (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_NEAREST)
    assert view.picture.shape == (SIDE_PX, SIDE_PX, 3)
    assert overlap(view.grabbed > 0, truth > 0) > 0.9
    assert view.maybe.mean() == pytest.approx(OBJECT.area_px / window.area_px, rel=0.02)


def test_a_network_that_finds_nothing_leaves_the_hint(job_of, scene):
    network = ObjectNet().eval()
    torch.nn.init.constant_(network.head.bias, -9.0)
    picture, _, _ = scene()
    box = Box(200, 170, 300, 230)  # nothing is there
    assert mask_of(job_of, picture, given(box), ByNetwork(network))[box.slices].all()


def test_a_model_that_the_registry_does_not_know_is_named():
    config = load_config(overrides=["mask.segmenter=who"])
    with pytest.raises(ModelError, match="who"):
        build_segmenter(config, Registry.load(config.models), "cpu")
