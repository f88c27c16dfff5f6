"""The faithful upscaler: twice and four times, without seams, nearer to the truth than bicubic interpolation."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont

from cleanplate.config import load_config
from cleanplate.enhance import build_upscaler
from cleanplate.enhance.upscale_faithful import FaithfulUpscaler
from cleanplate.errors import ConfigError
from cleanplate.metrics.psnr import psnr
from cleanplate.models.registry import Registry


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def upscaler():
    config = load_config()
    return build_upscaler("faithful", 2, config, Registry.load(config.models), "cpu")


@pytest.fixture(scope="module")
def page():
    """Writing, slanted edges and a gradient, uint8 (160, 200, 3)."""
    image = Image.new("RGB", (200, 160), (235, 230, 220))
    pen = ImageDraw.Draw(image)
    pen.polygon([(10, 150), (90, 70), (150, 155)], fill=(60, 90, 160))
    pen.ellipse((120, 60, 190, 130), fill=(190, 70, 60))
    for row in range(3):
        pen.text((8, 5 + 22 * row), "Clean plates 4412", font=ImageFont.load_default(16 + row), fill=(20, 20, 30))
    return np.asarray(image).copy()


def resized(rgb, factor, method=Image.Resampling.BICUBIC):
    return np.asarray(Image.fromarray(rgb).resize((round(rgb.shape[1] * factor), round(rgb.shape[0] * factor)), method))


def test_is_nearer_to_the_truth_than_bicubic_interpolation(upscaler, page):
    small = resized(page, 0.5)
    kept = small.copy()
    found = upscaler.apply(small)
    assert found.shape == page.shape
    assert psnr(found, page) > psnr(resized(small, 2), page) + 1.0
    assert np.array_equal(small, kept)


def test_four_times_is_twice_in_turn(upscaler, page):
    small = resized(page, 0.25)
    four = FaithfulUpscaler(upscaler._network, 4)
    found = four.apply(small)
    assert (four.scale, found.shape) == (4, page.shape)
    assert np.array_equal(found, upscaler.apply(upscaler.apply(small)))
    assert psnr(found, page) > psnr(resized(small, 4), page)


def test_tiles_leave_no_seam(upscaler, page):
    tiled = FaithfulUpscaler(upscaler._network, 2, tile_px=64).apply(page).astype(int)
    whole = FaithfulUpscaler(upscaler._network, 2, tile_px=512).apply(page).astype(int)
    assert np.abs(tiled - whole).max() <= 1


def test_the_same_picture_gives_the_same_bytes(upscaler, page):
    assert np.array_equal(upscaler.apply(page[:40, :40]), upscaler.apply(page[:40, :40]))


def test_a_flat_picture_stays_flat(upscaler):
    grey = np.full((20, 30, 3), 120, np.uint8)
    assert np.abs(upscaler.apply(grey).astype(int) - 120).max() <= 2


def test_other_factors_are_refused(upscaler):
    with pytest.raises(ConfigError, match="not by 3"):
        FaithfulUpscaler(upscaler._network, 3)
