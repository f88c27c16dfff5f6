"""The noise profile: level, colour, coarseness, and dependence on light."""

import cv2
import numpy as np
import pytest

from cleanplate.enhance.noise_profile import profile


def _noisy(photo, noise):
    return np.clip(np.rint(photo.astype(np.float32) * 0.7 + 30 + noise), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("sigma", [5.0, 12.0, 25.0])
def test_white_noise_is_measured(photo, sigma):
    found = profile(_noisy(photo, np.random.default_rng(1).normal(0, sigma, photo.shape)))
    assert found.rgb == pytest.approx(sigma, rel=0.1)
    assert found.luma == pytest.approx(0.668 * sigma, rel=0.12)
    assert abs(found.correlation) < 0.2


def test_grey_noise_has_no_chroma(photo):
    grey = np.random.default_rng(1).normal(0, 10, (*photo.shape[:2], 1))
    found = profile(_noisy(photo, grey))
    assert found.luma == pytest.approx(10, rel=0.12)
    assert found.chroma < 1.5


def test_coarse_noise_is_correlated(photo):
    white = np.random.default_rng(1).normal(0, 1, photo.shape).astype(np.float32)
    coarse = cv2.GaussianBlur(white, (0, 0), 0.8)
    found = profile(_noisy(photo, 10 * coarse / coarse.std()))
    assert found.correlation > 0.35
    assert found.rgb == pytest.approx(10, rel=0.25)


def test_noise_that_grows_with_light_has_a_slope(photo):
    rng = np.random.default_rng(1)
    light = np.broadcast_to(np.linspace(20, 230, 192, dtype=np.float32)[:, None, None], photo.shape)
    shot = rng.normal(0, 1, photo.shape) * np.sqrt(0.5 * light)
    even = rng.normal(0, 7, photo.shape)
    assert profile(np.clip(light + shot, 0, 255).astype(np.uint8)).slope == pytest.approx(0.5 * 0.447, rel=0.35)
    assert abs(profile(np.clip(light + even, 0, 255).astype(np.uint8)).slope) < 0.04


def test_nothing_to_measure_is_no_noise():
    assert profile(np.full((64, 64, 3), 90, np.uint8)).rgb < 0.1
    assert profile(np.zeros((4, 4, 3), np.uint8)).rgb == 0.0


def test_only_what_counts_is_measured(photo):
    noisy = _noisy(photo, np.random.default_rng(1).normal(0, 8, photo.shape))
    where = np.ones(photo.shape[:2], np.uint8)
    rows, columns = slice(40, 104), slice(48, 144)
    noisy[rows, columns] = 128  # a fill, flatter than all else
    where[rows, columns] = 0
    assert profile(noisy, where).rgb == pytest.approx(8, rel=0.12)
    assert profile(noisy, np.zeros_like(where)).rgb == 0
