"""Lines that enter a fill: those that go on, those that end, and what is no line."""

import cv2
import numpy as np
import pytest

from cleanplate.metrics.blocking import blocking
from cleanplate.metrics.structure import broken_structure


@pytest.fixture
def mask():
    found = np.zeros((100, 120), np.uint8)
    found[35:65, 40:80] = 1
    return found


def _lines(angle_degrees, contrast=90):
    y, x = np.mgrid[0:100, 0:120].astype(np.float32)
    angle = np.deg2rad(angle_degrees)
    across = (x - 60) * np.sin(angle) - (y - 50) * np.cos(angle)
    bright = np.where(np.floor(across / 17) % 2 == 0, 100, 100 + contrast)
    return np.repeat(cv2.GaussianBlur(bright.astype(np.uint8), (0, 0), 0.7)[..., None], 3, 2)


@pytest.mark.parametrize("angle", [0, 25, 60, 90, 140])
def test_lines_that_go_on_are_whole_and_smeared_ones_are_broken(mask, angle):
    whole = _lines(angle)
    assert broken_structure(whole, mask, mask) < 0.25
    smeared = cv2.inpaint(whole, mask, 3, cv2.INPAINT_TELEA)
    flat = whole.copy()
    flat[mask > 0] = 145
    assert broken_structure(flat, mask, mask) > 0.8
    assert broken_structure(smeared, mask, mask) > broken_structure(whole, mask, mask)


def test_lines_that_are_shifted_do_not_go_on(mask):
    whole = _lines(0)
    shifted = whole.copy()
    shifted[mask > 0] = np.roll(whole, 9, axis=0)[mask > 0]
    assert broken_structure(shifted, mask, mask) > 0.6


def test_noise_and_plain_ground_have_no_lines(mask):
    noise = np.random.default_rng(3).normal(120, 12, (100, 120, 3)).clip(0, 255).astype(np.uint8)
    assert broken_structure(noise, mask, mask) == 0
    assert broken_structure(np.full((100, 120, 3), 90, np.uint8), mask, mask) == 0
    assert broken_structure(_lines(20), np.zeros_like(mask), mask) == 0


def test_edges_of_other_holes_are_no_lines(mask):
    picture = np.full((100, 120, 3), 90, np.uint8)
    picture[35:65, 20:37] = 255  # a neighbour's letters, still there
    invalid = mask.copy()
    invalid[33:67, 18:39] = 1
    assert broken_structure(picture, mask, invalid) == 0


def test_blocks_show_the_more_the_harder_a_picture_was_compressed():
    y, x = np.mgrid[0:160, 0:200].astype(np.float32)
    rng = np.random.default_rng(5)
    smooth = 120 + 50 * np.sin(x / 17) * np.cos(y / 23) + rng.normal(0, 3, (160, 200))
    picture = np.repeat(smooth.clip(0, 255).astype(np.uint8)[..., None], 3, 2)
    everywhere = np.ones((160, 200), np.uint8)
    found = [blocking(picture, everywhere)]
    for quality in (75, 40, 12):
        data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        found.append(blocking(np.ascontiguousarray(cv2.imdecode(data, 1)[3:, 5:]), everywhere[3:, 5:]))
    assert found == sorted(found)
    assert found[0] < 1.15
    assert found[-1] > 1.8


def test_too_little_to_tell_is_no_blocking():
    picture = np.random.default_rng(0).integers(0, 256, (12, 12, 3)).astype(np.uint8)
    assert blocking(picture, np.ones((12, 12), np.uint8)) == 1
    assert blocking(np.full((80, 80, 3), 7, np.uint8), np.zeros((80, 80), np.uint8)) == 1
