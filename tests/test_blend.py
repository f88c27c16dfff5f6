"""The composite: identical outside, mixed in the feather, colours continued."""

import numpy as np
import pytest

from cleanplate.blend import composite
from cleanplate.config import BlendConfig
from cleanplate.mask.soft import feather


@pytest.fixture
def scene():
    rng = np.random.default_rng(6)
    crop = rng.integers(80, 120, (60, 70, 3)).astype(np.uint8)
    hard = np.zeros((60, 70), np.uint8)
    hard[20:40, 20:50] = 1
    return crop, hard


def test_pixels_outside_the_mask_are_identical(scene):
    crop, hard = scene
    alpha = feather(hard, 2.0)
    out = composite(crop, np.full_like(crop, 255), alpha, BlendConfig())
    assert np.array_equal(out[alpha == 0], crop[alpha == 0])
    assert out.dtype == np.uint8


def test_alpha_mixes_linearly(scene):
    crop, hard = scene
    alpha = feather(hard, 2.0)
    filled = np.random.default_rng(7).integers(0, 256, crop.shape).astype(np.uint8)
    out = composite(crop, filled, alpha, BlendConfig(match_colour=False))
    expected = crop + alpha[:, :, None] * (filled.astype(np.float64) - crop)
    assert np.abs(out - expected).max() <= 0.5 + 1e-3
    assert np.array_equal(out[alpha == 1], filled[alpha == 1])


def test_an_offset_of_colour_vanishes_at_the_seam(scene):
    _, hard = scene
    crop = np.full((60, 70, 3), 100, np.uint8)
    filled = np.full_like(crop, 110)
    alpha = feather(hard, 2.0)
    border = (alpha > 0.5) & (feather(1 - hard, 2.0) > 0.6)
    matched = composite(crop, filled, alpha, BlendConfig())
    plain = composite(crop, filled, alpha, BlendConfig(match_colour=False))
    assert np.abs(matched[border].astype(int) - 100).mean() < 1
    assert np.abs(plain[border].astype(int) - 100).mean() > 5


def test_a_hard_mask_has_no_feather_to_match_in(scene):
    crop, hard = scene
    out = composite(crop, np.full_like(crop, 200), hard.astype(np.float32), BlendConfig())
    assert np.all(out[hard > 0] == 200)
    assert np.array_equal(out[hard == 0], crop[hard == 0])


def test_inputs_are_left_alone_and_an_empty_mask_changes_nothing(scene):
    crop, _ = scene
    kept = crop.copy()
    out = composite(crop, np.zeros_like(crop), np.zeros(crop.shape[:2], np.float32), BlendConfig())
    assert np.array_equal(out, crop)
    assert np.array_equal(kept, crop)
