"""Dilation by context: stroke widths against shapes of known width, more on flat ground, less in texture."""

import numpy as np
import pytest

from cleanplate.config import MaskConfig
from cleanplate.mask.dilation import dilation_px, stroke_width_px, texture_level


@pytest.mark.parametrize("width", [2, 5, 12])
def test_the_width_of_bars_and_rings_is_found(width):
    bar = np.zeros((60, 220), np.uint8)
    bar[20 : 20 + width, 10:210] = 1
    y, x = np.mgrid[0:200, 0:200] - 100
    ring = (np.abs(np.hypot(x, y) - 70) < width / 2).astype(np.uint8)
    assert stroke_width_px(bar) == pytest.approx(width, abs=1.2)
    assert stroke_width_px(ring) == pytest.approx(width, abs=1.5)
    assert stroke_width_px(np.zeros((9, 9), np.uint8)) == 0.0


def test_texture_is_seen_in_the_ring_and_not_under_the_strokes_or_other_text():
    rng = np.random.default_rng(2)
    crop = np.full((80, 120, 3), 128, np.uint8)
    hard = np.zeros((80, 120), np.uint8)
    hard[36:44, 30:90] = 1
    crop[36:44, 30:90] = rng.integers(0, 255, (8, 60, 3), dtype=np.uint8)
    nothing = np.zeros_like(hard)
    assert texture_level(crop, hard, nothing) == 0
    rough = rng.integers(0, 255, crop.shape, dtype=np.uint8)
    assert texture_level(rough, hard, nothing) > 50
    crop[46:54] = rough[46:54]
    taken = np.zeros_like(hard)
    taken[45:56] = 1
    assert texture_level(crop, hard, taken) == 0


def test_wide_strokes_on_flat_ground_are_dilated_most():
    config = MaskConfig(dilation_share=0.2, min_dilation_px=1, max_dilation_px=6)
    assert dilation_px(10, 0, config) == 3
    assert dilation_px(10, 30, config) == 1
    assert dilation_px(1, 0, config) == 1
    assert dilation_px(90, 0, config) == 6
