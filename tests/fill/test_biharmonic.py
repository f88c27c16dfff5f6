"""The biharmonic fill against scikit-image's, and what its equation promises."""

import numpy as np
import pytest
from skimage.restoration import inpaint_biharmonic

from cleanplate.fill.biharmonic import biharmonic


def _waves(height=48, width=60):
    y, x = np.mgrid[0:height, 0:width]
    waves = [110 + 60 * np.sin(x / 9.0) * np.cos(y / 7.0), 90 + y, 150 - x + 20 * np.sin(y / 5.0)]
    return np.clip(np.stack(waves, axis=2), 0, 255).astype(np.uint8)


@pytest.fixture
def strokes():
    hole = np.zeros((48, 60), np.uint8)
    hole[10:30, 20:24] = 1
    hole[18:22, 20:44] = 1
    hole[36:38, 8:12] = 1
    return hole


def test_agrees_with_scikit_image_away_from_the_border(strokes):
    picture = _waves()
    own = biharmonic(picture, strokes)
    other = inpaint_biharmonic(picture.astype(np.float64), strokes > 0, channel_axis=-1)
    assert own.dtype == np.float32
    assert np.abs(own - other)[strokes > 0].max() < 0.5
    assert np.array_equal(own[strokes == 0], picture[strokes == 0])


def test_a_slope_goes_on(strokes):
    y, x = np.mgrid[0:48, 0:60]
    slope = np.stack([20 + 2 * x, 10 + 3 * y, x + y], axis=2).astype(np.uint8)
    assert np.abs(biharmonic(slope, strokes) - slope).max() < 0.01


def test_parts_far_apart_are_filled_as_if_alone(strokes):
    picture = _waves()
    first, second = strokes.copy(), strokes.copy()
    first[33:], second[:33] = 0, 0
    both = biharmonic(picture, strokes)
    assert np.allclose(both[:33], biharmonic(picture, first)[:33], atol=1e-3)
    assert np.allclose(both[33:], biharmonic(picture, second)[33:], atol=1e-3)


def test_under_tension_a_slope_fades_within_its_length():
    """Along a line the fourth derivative is the second over l^2: a slope of s rises by s times l and no more."""
    x = np.minimum(np.arange(240), 60)
    ramp = np.broadcast_to((40 + 2 * x)[None, :, None], (9, 240, 3)).astype(np.uint8)
    hole = np.zeros((9, 240), np.uint8)
    hole[:, 61:] = 1
    for length_px in (2.0, 5.0):
        rise = biharmonic(ramp, hole, length_px)[4, 180, 0] - 160
        assert rise == pytest.approx(2 * length_px, abs=1.0)
    assert biharmonic(ramp, hole)[4, 180, 0] - 160 > 100


def test_tension_keeps_noise_of_the_rim_out_of_a_wide_hole():
    flat = np.clip(np.rint(120 + np.random.default_rng(0).normal(0, 4, (80, 80, 3))), 0, 255).astype(np.uint8)
    hole = np.zeros((80, 80), np.uint8)
    hole[20:60, 20:60] = 1
    free, tense = (np.abs(biharmonic(flat, hole, tension) - 120)[30:50, 30:50].mean() for tension in (None, 2.0))
    assert tense < 0.7 * free


PLACES = [np.s_[0:6, 0:9], np.s_[20:48, 50:60], np.s_[0:48, 3:5]]


@pytest.mark.parametrize("place", PLACES)
def test_a_hole_at_the_border_is_filled_from_the_inside(place):
    flat = np.full((48, 60, 3), (40, 120, 200), np.uint8)
    hole = np.zeros((48, 60), np.uint8)
    hole[place] = 1
    assert np.abs(biharmonic(np.where(hole[..., None] > 0, np.uint8(0), flat), hole) - flat).max() < 0.01


def test_a_single_row_is_a_picture_too():
    row = np.tile(np.arange(0, 60, dtype=np.uint8)[None, :, None], (1, 1, 3))
    hole = np.zeros((1, 60), np.uint8)
    hole[0, 20:25] = 1
    assert np.abs(biharmonic(row, hole) - row).max() < 0.01
