"""Strokes sharpened by colour: halos on the ground go, faint ink comes, and where nothing is sure nothing changes."""

import numpy as np
import pytest

from cleanplate.detect.inks import sharpened
from cleanplate.records import Box

HEIGHT, WIDTH = 80, 120
BOX = Box(20, 20, 100, 60)
INK, GROUND = (30, 40, 120), (200, 190, 160)
BAR = (slice(30, 50), slice(40, 60))
HALO = (slice(24, 56), slice(34, 66))


def scene(seed=3, ground=GROUND):
    """A picture with a bar of ink on a noisy ground, and a network's map: sure in its middle, a halo around it."""
    rng = np.random.default_rng(seed)
    picture = np.clip(np.array(ground) + rng.normal(0, 4, (HEIGHT, WIDTH, 3)), 0, 255).astype(np.uint8)
    picture[BAR] = np.clip(np.array(INK) + rng.normal(0, 4, (20, 20, 3)), 0, 255).astype(np.uint8)
    stroke_map = np.zeros((HEIGHT, WIDTH), np.float32)
    stroke_map[HALO] = 0.45
    stroke_map[32:48, 42:58] = 0.9
    return picture, stroke_map


def inside(found, where):
    values, box = found
    whole = np.zeros((HEIGHT, WIDTH), np.float32)
    whole[box.slices] = values
    return whole[where]


def test_a_halo_goes_and_the_rim_of_the_ink_stays():
    picture, stroke_map = scene()
    found = sharpened(picture, stroke_map[BOX.slices], BOX, stroke_map)
    values, box = found
    assert values.shape == (box.height, box.width)
    assert values.dtype == np.float32
    assert inside(found, BAR).min() > 0.5
    halo = np.ones((HEIGHT, WIDTH), bool)
    halo[BAR] = False
    assert inside(found, halo).max() < 0.28


def test_what_the_network_rules_out_stays_out_whatever_its_colour_unless_it_is_near():
    picture, stroke_map = scene()
    far, near = (slice(22, 26), slice(80, 95)), (slice(51, 53), slice(60, 66))
    picture[far] = picture[near] = INK
    stroke_map[near] = 0
    found = sharpened(picture, stroke_map[BOX.slices], BOX, stroke_map)
    assert inside(found, far).max() == 0
    assert inside(found, near).min() > 0.5


def test_ink_beyond_the_box_of_the_group_comes_along_as_far_as_it_hangs_together():
    picture, stroke_map = scene()
    tight = Box(40, 30, 60, 50)
    tail, beyond = (slice(50, 74), slice(48, 52)), (slice(40, 44), slice(76, 80))
    picture[tail] = picture[beyond] = INK
    values, box = sharpened(picture, stroke_map[tight.slices], tight, stroke_map)
    assert box.bottom == 74
    assert inside((values, box), tail).min() > 0.5
    assert box.right == 60


def test_ink_of_the_colour_of_the_ground_is_left_to_the_network():
    picture, stroke_map = scene(ground=INK)
    found = sharpened(picture, stroke_map[BOX.slices], BOX, stroke_map)
    assert inside(found, (slice(32, 48), slice(42, 58))).mean() > 0.55
    assert inside(found, HALO).min() > 0.15


@pytest.mark.parametrize("ink", [0.0, 0.5])
def test_nothing_sure_nothing_changed(ink):
    picture, stroke_map = scene()
    stroke_map[:] = np.where(stroke_map > 0, ink, 0)
    strokes = stroke_map[BOX.slices]
    assert sharpened(picture, strokes, BOX, stroke_map)[0] is strokes


def test_a_mark_that_fills_the_picture_has_no_ground():
    picture, _ = scene()
    strokes = np.full((HEIGHT, WIDTH), 0.9, np.float32)
    assert sharpened(picture, strokes, Box(0, 0, WIDTH, HEIGHT), strokes)[0] is strokes


def test_another_mark_is_no_ground():
    """Beside black letters white ones: the white must not count as the ground that a white halo lies on."""
    picture, stroke_map = scene()
    alone = sharpened(picture, stroke_map[BOX.slices], BOX, stroke_map)
    picture[66:78, 20:100] = INK
    other = stroke_map.copy()
    other[64:80, 18:102] = 0.9
    beside = sharpened(picture, stroke_map[BOX.slices], BOX, other)
    assert np.allclose(inside(alone, BAR), inside(beside, BAR), atol=0.05)
    unknown = sharpened(picture, stroke_map[BOX.slices], BOX, stroke_map)
    assert inside(unknown, BAR).mean() < inside(beside, BAR).mean()
