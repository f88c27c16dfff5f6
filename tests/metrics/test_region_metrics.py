"""Metrics of a filled region: each moves the right way, and stands still where nothing changed."""

import numpy as np
import pytest

from cleanplate.metrics.changed import changed_inside, changed_outside, changed_share
from cleanplate.metrics.noise import noise_level, noise_ratio
from cleanplate.metrics.residual import residual_text
from cleanplate.metrics.seam import seam_error
from cleanplate.metrics.texture import texture_ratio


@pytest.fixture
def noisy():
    rng = np.random.default_rng(2)
    return np.clip(rng.normal(120, 6, (80, 80, 3)), 0, 255).astype(np.uint8)


@pytest.fixture
def mask():
    mask = np.zeros((80, 80), np.uint8)
    mask[30:50, 30:50] = 1
    return mask


def test_noise_level_is_the_sigma_that_was_drawn():
    for sigma in (2.0, 6.0, 12.0):
        rng = np.random.default_rng(int(sigma))
        image = np.clip(np.rint(rng.normal(120, sigma, (200, 200, 3))), 0, 255).astype(np.uint8)
        assert noise_level(image) == pytest.approx(sigma, rel=0.08)


def test_noise_level_ignores_a_ramp_of_brightness():
    ramp = np.repeat(np.linspace(20, 220, 128)[None, :, None], 64, axis=0).repeat(3, axis=2).astype(np.uint8)
    assert noise_level(ramp) < 0.5


def test_noise_and_texture_ratio_tell_a_clean_fill(noisy, mask):
    assert noise_ratio(noisy, mask, mask) == pytest.approx(1, abs=0.2)
    assert texture_ratio(noisy, mask, mask) == pytest.approx(1, abs=0.2)
    clean = noisy.copy()
    clean[mask > 0] = 120
    assert noise_ratio(clean, mask, mask) < 0.2
    assert texture_ratio(clean, mask, mask) < 0.5


def test_seam_grows_with_the_step(noisy, mask):
    errors = []
    for step in (0, 30, 60):
        stepped = noisy.copy()
        stepped[mask > 0] += np.uint8(step)
        errors.append(seam_error(stepped, mask, mask))
    assert errors[0] == pytest.approx(1, abs=0.4)
    assert errors[0] < errors[1] < errors[2]
    assert errors[2] > 2


def test_seam_leaves_out_what_is_invalid(mask):
    image = np.full((80, 80, 3), 100, np.uint8)
    image[mask > 0] = 130
    image[20:28, 20:60] = np.arange(40, dtype=np.uint8)[None, :, None] * 6  # rough, beside the mask
    invalid = mask.copy()
    invalid[20:28, 20:60] = 1
    assert seam_error(image, mask, invalid) > seam_error(image, mask, mask)


def test_residual_sees_one_word_of_a_paragraph_but_no_stray_pixel():
    mask = np.ones((100, 100), np.uint8)
    confidence = np.zeros((100, 100), np.float32)
    confidence[0, :50] = 0.9  # half a percent
    assert residual_text(confidence, mask) == 0
    confidence[:4] = 0.9
    assert residual_text(confidence, mask) == pytest.approx(0.9)
    assert residual_text(confidence, np.zeros_like(mask)) == 0


def test_changed_share_inside_and_outside():
    before = np.zeros((10, 10, 3), np.uint8)
    after = before.copy()
    after[0, 0] = 1
    after[5, 5, 2] = 50
    alpha = np.zeros((10, 10), np.float32)
    alpha[5, 5:7] = 0.3
    assert changed_share(before, after) == pytest.approx(0.02)
    assert changed_inside(before, after, alpha) == pytest.approx(0.5)
    assert changed_outside(before, after, alpha) == pytest.approx(1 / 98)
    assert changed_outside(before, after, alpha, tolerance=1) == 0
    assert changed_share(before, after, np.zeros((10, 10), np.uint8)) == 0
    with pytest.raises(ValueError, match="cannot be compared"):
        changed_share(before, after[:5])
