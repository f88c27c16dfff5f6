"""Regrain: the ring's noise, no more, only inside, and the same for the same seed."""

import numpy as np
import pytest

from cleanplate.config import RegrainConfig
from cleanplate.enhance.regrain import regrain
from cleanplate.ring import noise_sigma


def _scene(sigma, colour=True, fill_sigma=0.0):
    rng = np.random.default_rng(3)
    shape = (120, 140, 3 if colour else 1)
    crop = 110 + rng.normal(0, sigma, shape) if sigma else np.full(shape, 110.0)
    mask = np.zeros((120, 140), np.uint8)
    mask[35:85, 40:100] = 1
    crop = np.where(mask[:, :, None] > 0, 110 + rng.normal(0, fill_sigma, shape), crop)
    return np.clip(np.rint(np.broadcast_to(crop, (120, 140, 3))), 0, 255).astype(np.uint8), mask


@pytest.mark.parametrize("sigma", [2.0, 5.0, 10.0])
def test_the_fill_gets_the_rings_noise(sigma):
    crop, mask = _scene(sigma)
    out = regrain(crop, mask.astype(np.float32), mask, 7, RegrainConfig())
    inside = noise_sigma(out, mask)
    assert inside == pytest.approx(np.full(3, sigma), rel=0.2)
    assert abs(float(out[mask > 0].mean()) - 110) < 0.6
    assert np.array_equal(out[mask == 0], crop[mask == 0])


def test_grey_grain_stays_grey():
    crop, mask = _scene(6.0, colour=False)
    out = regrain(crop, mask.astype(np.float32), mask, 7, RegrainConfig())
    inside = out[mask > 0].astype(float)
    assert np.corrcoef(inside[:, 0], inside[:, 2])[0, 1] > 0.8
    colour, mask = _scene(6.0)
    inside = regrain(colour, mask.astype(np.float32), mask, 7, RegrainConfig())[mask > 0].astype(float)
    assert abs(np.corrcoef(inside[:, 0], inside[:, 2])[0, 1]) < 0.3


def test_only_what_is_lacking_is_added():
    noisy, mask = _scene(5.0, fill_sigma=5.0)
    assert np.array_equal(regrain(noisy, mask.astype(np.float32), mask, 7, RegrainConfig()), noisy) or (
        noise_sigma(regrain(noisy, mask.astype(np.float32), mask, 7, RegrainConfig()), mask).max() < 5.8
    )
    half, mask = _scene(5.0, fill_sigma=3.0)
    out = regrain(half, mask.astype(np.float32), mask, 7, RegrainConfig())
    assert noise_sigma(out, mask) == pytest.approx(np.full(3, 5.0), rel=0.2)


def test_a_clean_photograph_gets_no_grain():
    crop, mask = _scene(0.0)
    assert np.array_equal(regrain(crop, mask.astype(np.float32), mask, 7, RegrainConfig()), crop)


def test_seed_switch_and_scale():
    crop, mask = _scene(5.0)
    alpha = mask.astype(np.float32)
    first = regrain(crop, alpha, mask, 7, RegrainConfig())
    assert np.array_equal(first, regrain(crop, alpha, mask, 7, RegrainConfig()))
    assert not np.array_equal(first, regrain(crop, alpha, mask, 8, RegrainConfig()))
    assert np.array_equal(regrain(crop, alpha, mask, 7, RegrainConfig(enabled=False)), crop)
    weak = regrain(crop, alpha, mask, 7, RegrainConfig(scale=0.5))
    assert noise_sigma(weak, mask).max() < 0.7 * noise_sigma(first, mask).max()


def test_edges_in_the_ring_are_no_grain():
    crop, mask = _scene(0.0)
    crop = crop.copy()
    crop[:, 20::12] = 160
    crop[mask > 0] = 110
    out = regrain(crop, mask.astype(np.float32), mask, 7, RegrainConfig())
    assert noise_sigma(out, mask).max() < 1.5


def test_a_crowded_hole_gets_noise_by_its_spectrum():
    noisy, _ = _scene(6.0)
    bars = np.zeros((120, 140), np.uint8)
    bars[:, ::12] = bars[:, 1::12] = bars[:, 2::12] = 1
    crop = np.where(bars[:, :, None] > 0, 110, noisy).astype(np.uint8)
    out = regrain(crop, bars.astype(np.float32), bars, 7, RegrainConfig())
    assert out[bars > 0].std() == pytest.approx(6.0, rel=0.2)


@pytest.mark.parametrize("sigma", [0.35, 0.6])
def test_faint_noise_survives_rounding(sigma):
    crop, mask = _scene(sigma)
    out = regrain(crop, mask.astype(np.float32), mask, 7, RegrainConfig())
    assert out[mask > 0].std() == pytest.approx(crop[mask == 0].std(), rel=0.25)


def test_texture_is_no_noise_for_a_fill_that_has_its_own():
    """Leaves all round the hole, and sky in a corner: the picture's noise is the sky's."""
    rng = np.random.default_rng(5)
    crop = np.clip(np.rint(110 + rng.normal(0, 1.0, (160, 200, 3))), 0, 255).astype(np.uint8)
    crop[:, :150] = np.clip(np.rint(110 + rng.normal(0, 25, (160, 150, 3))), 0, 255)
    mask = np.zeros((160, 200), np.uint8)
    mask[50:110, 40:100] = 1
    crop[mask > 0] = 110
    given = {
        smooth: regrain(crop, mask.astype(np.float32), mask, 7, RegrainConfig(), smooth=smooth)[mask > 0].std()
        for smooth in (True, False)
    }
    assert given[True] > 10
    assert given[False] == pytest.approx(1.5, abs=0.6)


def test_plain_noise_is_given_to_every_fill():
    crop, mask = _scene(5.0)
    out = regrain(crop, mask.astype(np.float32), mask, 7, RegrainConfig(), smooth=False)
    assert noise_sigma(out, mask) == pytest.approx(np.full(3, 5.0), rel=0.2)
