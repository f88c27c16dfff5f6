"""Silhouettes from boxes, brushes and points, against shapes that were drawn; shadows only where there are any."""

import cv2
import numpy as np
import pytest

from cleanplate.config import MaskConfig
from cleanplate.mask import build_masks, objects
from cleanplate.records import Box, Detection

HEIGHT, WIDTH = 240, 320
OBJECT = Box(110, 60, 190, 150)


def scene(shadow=0.0):
    """An orange ellipse on a grey-green, slightly noisy ground; its shadow falls to the lower right."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    ground = np.stack([90 + x / 8, 110 + y / 8, 80 + x / 16], axis=2)
    ground += np.random.default_rng(5).normal(0, 2, ground.shape)
    inside = ((x - 150) / 40) ** 2 + ((y - 105) / 45) ** 2 <= 1
    shade = (((x - 172) / 40) ** 2 + ((y - 122) / 45) ** 2 <= 1) & ~inside
    ground[shade] *= 1 - shadow
    ground[inside] = (220, 120, 30)
    blurred = cv2.GaussianBlur(np.clip(ground, 0, 255).astype(np.uint8), (0, 0), 0.7)
    return blurred, inside, shade if shadow else np.zeros_like(inside)


def mask_of(job_of, picture, detection, config=None):
    regions = build_masks([job_of(picture)], [[detection]], config or MaskConfig(given="refine"))[0]
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
def test_a_silhouette_is_found_from_every_hint(job_of, hint):
    picture, inside, _ = scene()
    hints = {
        "box": given(OBJECT.expand(6, WIDTH, HEIGHT)),
        "brush": brush_around(inside),
        "point": given(Box(150, 105, 151, 106)),
    }
    assert overlap(mask_of(job_of, picture, hints[hint]), inside) > 0.9


def test_the_shadow_goes_with_the_object_and_a_picture_without_has_none(job_of):
    box = given(OBJECT.expand(6, WIDTH, HEIGHT))
    picture, inside, shade = scene(shadow=0.4)
    mask = mask_of(job_of, picture, box)
    assert mask[shade].mean() > 0.8
    assert overlap(mask, inside | shade) > 0.85
    bare, _, _ = scene()
    assert mask_of(job_of, bare, box)[shade].mean() < 0.25


def test_ground_that_is_dark_in_places_casts_no_shadow():
    picture, inside, _ = scene()
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    patches = (np.sin(x / 9) * np.sin(y / 7) > 0.3) & ~inside
    picture[patches] = (picture[patches] * 0.6).astype(np.uint8)
    shade = objects.cast_shadow(picture, inside.astype(np.uint8), inside.astype(np.uint8))
    assert shade.sum() < 0.3 * inside.sum()


def test_used_exactly_a_box_is_whole_but_a_point_is_still_a_point(job_of):
    picture, inside, _ = scene()
    box = OBJECT.expand(6, WIDTH, HEIGHT)
    exact = mask_of(job_of, picture, given(box), MaskConfig(feather_sigma_px=0))
    assert exact.sum() == box.area_px
    assert overlap(mask_of(job_of, picture, given(Box(150, 105, 151, 106)), MaskConfig()), inside) > 0.9


def test_where_nothing_stands_out_the_hint_is_the_mask(job_of):
    flat = np.full((60, 80, 3), 128, np.uint8)
    box = Box(0, 0, 80, 60)
    assert mask_of(job_of, flat, given(box)).all()


def test_the_same_picture_gives_the_same_mask(job_of):
    picture, _, _ = scene(shadow=0.3)
    box = given(OBJECT.expand(4, WIDTH, HEIGHT))
    assert np.array_equal(mask_of(job_of, picture, box), mask_of(job_of, picture, box))


def test_snapping_moves_an_edge_to_the_picture_s():
    picture, inside, _ = scene()
    off = np.roll(inside, 2, axis=1).astype(np.float32)
    snapped = objects.snap(picture, off) >= 0.5
    assert (snapped ^ inside).sum() < 0.6 * ((off >= 0.5) ^ inside).sum()
