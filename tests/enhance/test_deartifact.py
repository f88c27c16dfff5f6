"""The deartifact enhancer: tiles without seams, strength, what the analysis says counts."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from cleanplate.config import load_config
from cleanplate.enhance import build_enhancer
from cleanplate.enhance.analyse import Analysis
from cleanplate.enhance.deartifact import Deartifact, damped, quick_share
from cleanplate.metrics.psnr import psnr
from cleanplate.models.registry import Registry

ANALYSIS = Analysis(
    jpeg_quality=15.0, jpeg_evidence="tables", grid_offset=(0, 0), double_compressed=False, noise_luma=0,
    noise_chroma=0, noise_rgb=0, noise_correlation=0, noise_slope=0, blur=0, origin="social_jpeg",
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def enhancer():
    config = load_config()
    return build_enhancer("deartifact", config, Registry.load(config.models), "cpu")


def picture(height=150, width=190):
    """Smooth colour, edges and a little texture."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    planes = [120 + 60 * np.sin(x / 23 + k) + 40 * np.cos(y / (17 + 3 * k)) for k in range(3)]
    rgb = np.stack(planes, axis=2)
    rgb[40:90, 50:120] = (200, 60, 40)
    rgb[y + x > 260] *= 0.5
    return np.clip(rgb + np.random.default_rng(0).normal(0, 3, (height, width, 1)), 0, 255).astype(np.uint8)


def jpeg(rgb, quality):
    _, data = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])


@pytest.mark.parametrize("quality", [15, 40])
def test_brings_a_jpeg_nearer_to_its_original(enhancer, quality):
    truth = picture()
    seen = jpeg(truth, quality)
    kept = seen.copy()
    cleaned = enhancer.apply(seen, replace(ANALYSIS, jpeg_quality=float(quality)))
    assert cleaned.shape == truth.shape
    assert psnr(cleaned, truth) > psnr(seen, truth) + 0.4
    assert np.array_equal(seen, kept)


def test_tiles_leave_no_seam(enhancer):
    seen = jpeg(picture(230, 300), 15)
    tiled = Deartifact(enhancer._network, tile_px=176)
    whole = Deartifact(enhancer._network, tile_px=400)
    found, wanted = (each.apply(seen, ANALYSIS).astype(int) for each in (tiled, whole))
    assert np.abs(found - wanted).max() <= 1
    assert np.abs(wanted - seen).max() > 5


def test_the_same_picture_gives_the_same_bytes(enhancer):
    seen = jpeg(picture(64, 80), 15)
    assert np.array_equal(enhancer.apply(seen, ANALYSIS), enhancer.apply(seen, ANALYSIS))


@pytest.mark.parametrize(
    "other", [{"jpeg_quality": 60.0}, {"jpeg_quality": None}, {"jpeg_first_quality": 9.0}, {"grid_offset": (3, 5)}]
)
def test_what_the_analysis_says_counts(enhancer, other):
    seen = jpeg(picture(64, 80), 15)
    assert not np.array_equal(enhancer.apply(seen, ANALYSIS), enhancer.apply(seen, replace(ANALYSIS, **other)))


def test_every_tile_is_told_where_it_lies_in_the_grid():
    rows, columns = np.mgrid[:150, :230]
    seen = np.stack([(rows - 3) % 8, (columns - 5) % 8, 0 * rows], axis=2).astype(np.uint8)  # every pixel's own phase
    told = []

    def network(given, quality, grid):
        told.append(quality.tolist())
        assert grid.tolist()[0] == given[0, :2, 0, 0].mul(255).round().tolist()
        return given

    cleaned = Deartifact(network, tile_px=100).apply(seen, replace(ANALYSIS, grid_offset=(5, 3)))
    assert np.array_equal(cleaned, seen)
    assert len(told) > 4
    assert set(map(tuple, told)) == {(15.0,)}


@pytest.mark.parametrize("size", [(1, 1), (7, 30), (33, 9)])
def test_any_size_is_cleaned(enhancer, size):
    assert enhancer.apply(jpeg(picture(*size), 20), ANALYSIS).shape == (*size, 3)


def test_goes_less_far_where_there_is_less_to_mend(enhancer):
    seen = jpeg(picture(), 40)
    whole, usual = (enhancer.clean(seen, 40.0, (0, 0), share).astype(float) for share in (1.0, None))
    assert 0 < quick_share(40.0) < quick_share(20.0) < quick_share(10.0) < 1
    assert np.abs(usual - (seen + damped((whole - seen).astype(np.float32), quick_share(40.0)))).max() <= 1.5
    assert np.array_equal(enhancer.clean(seen, 40.0, (0, 0), 0.0), seen)


def test_grain_stays_and_slow_waves_and_colours_go():
    noise = np.random.default_rng(0).normal(0, 4, (64, 64, 1)).astype(np.float32)
    grain = np.broadcast_to(noise - cv2.GaussianBlur(noise, (0, 0), 2)[..., None], (64, 64, 3))
    assert 0.3 < damped(grain, 0.3).std() / grain.std() < 0.4
    slow = np.broadcast_to(8 * np.sin(np.arange(64, dtype=np.float32) / 8)[:, None, None], (64, 64, 3))
    assert np.abs(damped(slow, 0.3) - 0.9 * slow)[6:-6].max() < 0.3
    colour = noise * np.linalg.solve([[0.299, 0.587, 0.114], [1, 0, 0], [0, 0, 1]], [0, 1, -1]).astype(np.float32)
    assert np.allclose(damped(colour, 0.3), colour, atol=1e-4)
