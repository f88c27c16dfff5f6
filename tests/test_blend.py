"""The composite: identical outside, mixed in the feather, colours continued by the method that shows least."""

import numpy as np
import pytest

from cleanplate.blend import composite, match_histogram, membrane_offset, mixed
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
    out, _ = composite(crop, np.full_like(crop, 255), alpha, hard, BlendConfig())
    assert np.array_equal(out[alpha == 0], crop[alpha == 0])
    assert out.dtype == np.uint8


def test_alpha_mixes_linearly(scene):
    crop, hard = scene
    alpha = feather(hard, 2.0)
    filled = np.random.default_rng(7).integers(0, 256, crop.shape).astype(np.uint8)
    out = mixed(crop, filled, alpha, "feather")
    expected = crop + alpha[:, :, None] * (filled.astype(np.float64) - crop)
    assert np.abs(out - expected).max() <= 0.5 + 1e-3
    assert np.array_equal(out[alpha == 1], filled[alpha == 1])


def test_an_offset_of_colour_vanishes_at_the_seam(scene):
    _, hard = scene
    crop = np.full((60, 70, 3), 100, np.uint8)
    filled = np.full_like(crop, 110)
    alpha = feather(hard, 2.0)
    border = (alpha > 0.5) & (feather(1 - hard, 2.0) > 0.6)
    matched, _ = composite(crop, filled, alpha, hard, BlendConfig())
    plain = mixed(crop, filled, alpha, "feather")
    assert np.abs(matched[border].astype(int) - 100).mean() < 1
    assert np.abs(plain[border].astype(int) - 100).mean() > 5


def test_a_hard_mask_has_no_feather_to_match_in(scene):
    crop, hard = scene
    out, _ = composite(crop, np.full_like(crop, 200), hard.astype(np.float32), hard, BlendConfig())
    assert np.all(out[hard > 0] == 200)
    assert np.array_equal(out[hard == 0], crop[hard == 0])


def test_inputs_are_left_alone_and_an_empty_mask_changes_nothing(scene):
    crop, _ = scene
    kept = crop.copy()
    nothing = np.zeros(crop.shape[:2], np.uint8)
    out, _ = composite(crop, np.zeros_like(crop), nothing.astype(np.float32), nothing, BlendConfig())
    assert np.array_equal(out, crop)
    assert np.array_equal(kept, crop)


def test_a_membrane_carries_an_offset_all_the_way_in():
    """Where a fill is off by a slope of colour, Laplace's equation knows the offset inside from that at the rim."""
    hard = np.zeros((90, 110), np.uint8)
    hard[20:70, 25:85] = 1
    alpha = feather(hard, 2.0)
    y, x = np.mgrid[0:90, 0:110].astype(np.float32)
    crop = np.full((90, 110, 3), 120, np.uint8)
    slope = (0.4 * (x - 55) + 0.3 * (y - 45))[..., None].repeat(3, 2)
    filled = np.clip(120 + slope, 0, 255).astype(np.uint8)
    offset = membrane_offset(crop, filled, alpha)
    assert np.abs(offset[hard > 0] + slope[hard > 0]).mean() < 2.5
    near, membrane = (mixed(crop, filled, alpha, name)[45, 30:80].astype(int) for name in ("near", "membrane"))
    assert np.abs(membrane - 120).mean() < 0.5 * np.abs(near - 120).mean()


def test_detail_survives_the_membrane(scene):
    crop, hard = scene
    alpha = feather(hard, 2.0)
    detail = np.random.default_rng(1).integers(-20, 21, crop.shape)
    filled = np.clip(150 + detail, 0, 255).astype(np.uint8)
    out = mixed(np.full_like(crop, 100), filled, alpha, "membrane")
    inner = np.s_[26:34, 28:42]
    assert np.corrcoef(out[inner].ravel(), detail[inner].ravel())[0, 1] > 0.97


def test_the_membrane_is_taken_where_its_seam_shows_less():
    hard = np.zeros((90, 110), np.uint8)
    hard[20:70, 25:85] = 1
    alpha = feather(hard, 2.0)
    crop = np.random.default_rng(2).integers(90, 110, (90, 110, 3)).astype(np.uint8)
    same = crop.copy()
    assert composite(crop, same, alpha, hard, BlendConfig())[1] == "near"
    for method in ("feather", "near", "membrane"):
        assert composite(crop, same, alpha, hard, BlendConfig(method=method))[1] == method


def test_matching_histograms_moves_the_rim_to_the_ring():
    hard = np.zeros((80, 80), np.uint8)
    hard[20:60, 20:60] = 1
    rng = np.random.default_rng(4)
    crop = np.clip(rng.normal([90, 120, 60], 12, (80, 80, 3)), 0, 255).astype(np.uint8)
    filled = np.clip(rng.normal([140, 100, 60], 5, (80, 80, 3)), 0, 255).astype(np.uint8)
    matched = match_histogram(crop, filled, hard.astype(np.float32), hard)[hard > 0].astype(float)
    assert np.abs(matched.mean(axis=0) - [90, 120, 60]).max() < 3
    assert np.abs(matched.std(axis=0) - 12).max() < 3
    assert np.array_equal(match_histogram(crop, filled, np.zeros((80, 80), np.float32), hard), filled)
