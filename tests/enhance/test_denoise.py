"""Denoise: what the analysis measured is what goes; tiles leave no seam; the map follows the light."""

import numpy as np
import pytest
import torch

from cleanplate.config import Config, ModelsConfig
from cleanplate.enhance import build_enhancer
from cleanplate.enhance.analyse import analyse
from cleanplate.enhance.denoise import Denoise, noise_map
from cleanplate.metrics.psnr import psnr
from cleanplate.models.registry import Registry


@pytest.fixture(scope="module")
def registry():
    torch.set_num_threads(1)
    return Registry.load(ModelsConfig())


@pytest.fixture(scope="module")
def noisy(photo):
    noise = np.random.default_rng(1).normal(0, 15, photo.shape)
    return np.clip(np.rint(photo + noise), 0, 255).astype(np.uint8)


def test_measured_noise_goes(registry, photo, noisy, as_image):
    found = build_enhancer("denoise", Config(), registry, "cpu").apply(noisy, analyse(as_image(noisy)))
    assert found.dtype == np.uint8
    assert psnr(found, photo) > psnr(noisy, photo) + 6


def test_without_noise_little_moves(registry, photo, analysis_of):
    found = Denoise(registry).apply(photo, analysis_of())
    assert np.abs(found.astype(int) - photo).mean() < 1.0


def test_tiles_leave_no_seam(registry, noisy, analysis_of):
    analysis = analysis_of(noise_rgb=15.0, noise_luma=10.0, noise_slope=0.4)
    part = np.ascontiguousarray(noisy[:131, :150])
    whole, tiled = (Denoise(registry, tile_px=side).apply(part, analysis) for side in (512, 100))
    assert np.abs(whole.astype(int) - tiled).max() <= 1


def test_the_map_follows_the_light(analysis_of):
    ramp = np.repeat(np.linspace(0, 255, 256).astype(np.uint8)[None, :, None], 3, 2).repeat(64, 0)
    flat = noise_map(ramp, analysis_of(noise_rgb=6.0, noise_luma=4.0), 127.5)
    np.testing.assert_allclose(flat, 6.0, rtol=1e-6)
    steep = noise_map(ramp, analysis_of(noise_rgb=6.0, noise_luma=4.0, noise_slope=0.1), 127.5)[32]
    assert steep[128] == pytest.approx(6.0, abs=0.05)
    assert steep[200] == pytest.approx(6.0 * np.sqrt(1 + 0.1 / 16 * 72.5), rel=0.01)
    assert (np.diff(steep) >= -1e-4).all()
    assert noise_map(ramp, analysis_of(noise_rgb=200.0, noise_luma=99.0), 127.5).max() == 75
