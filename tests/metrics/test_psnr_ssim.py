"""PSNR and SSIM against scikit-image."""

import math

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from cleanplate.metrics.psnr import psnr
from cleanplate.metrics.ssim import ssim, ssim_map


def _pair(shape, seed, noise):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 256, shape).astype(np.uint8)
    truth = np.clip(np.cumsum(truth.astype(np.int32) - 128, axis=1) // 4 + 128, 0, 255).astype(np.uint8)
    result = np.clip(truth + rng.normal(0, noise, shape), 0, 255).astype(np.uint8)
    return result, truth


@pytest.mark.parametrize("shape", [(40, 56, 3), (33, 31), (64, 17, 3)])
@pytest.mark.parametrize("noise", [2, 25])
def test_equal_to_scikit_image(shape, noise):
    result, truth = _pair(shape, 1, noise)
    channel = -1 if len(shape) == 3 else None
    assert psnr(result, truth) == pytest.approx(peak_signal_noise_ratio(truth, result), abs=1e-9)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    expected = structural_similarity(truth, result, channel_axis=channel, **options)
    assert ssim(result, truth) == pytest.approx(expected, abs=1e-6)


def test_a_mask_limits_both():
    result, truth = _pair((40, 40, 3), 3, 20)
    mask = np.zeros((40, 40), np.uint8)
    mask[10:20, 5:30] = 1
    expected = peak_signal_noise_ratio(truth[10:20, 5:30], result[10:20, 5:30])
    assert psnr(result, truth, mask) == pytest.approx(expected)
    assert ssim(result, truth, mask) == pytest.approx(ssim_map(result, truth)[10:20, 5:30].mean())
    nothing = np.zeros_like(mask)
    assert psnr(result, truth, nothing) == math.inf
    assert ssim(result, truth, nothing) == 1.0


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_sizes_must_agree(metric):
    with pytest.raises(ValueError, match="cannot be compared"):
        metric(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8))
