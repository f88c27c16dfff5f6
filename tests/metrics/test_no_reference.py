"""The score without a reference ranks known degradations as they were made."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from cleanplate.evaluation.photographs import list_photographs
from cleanplate.metrics.no_reference import blockiness, no_reference

EXAMPLES = Path(__file__).parents[2] / "examples" / "photos"


def _blurred(rgb, sigma):
    return cv2.GaussianBlur(rgb, (0, 0), sigma)


def _noisy(rgb, sigma):
    return np.clip(np.rint(rgb + np.random.default_rng(0).normal(0, sigma, rgb.shape)), 0, 255).astype(np.uint8)


def _compressed(rgb, quality):
    data = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])


@pytest.fixture(scope="module")
def photos():
    paths = [path for path in list_photographs([EXAMPLES]) if path.stem != "broken"]
    pictures = [cv2.imread(str(path)) for path in paths]
    halves = [cv2.resize(p, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for p in pictures if p is not None]
    return [np.ascontiguousarray(p[:320, :320, ::-1]) for p in halves][:6]


@pytest.mark.parametrize(
    ("degrade", "levels"), [(_blurred, (1.5, 2.5, 4)), (_noisy, (6, 12, 25)), (_compressed, (40, 20, 8))]
)
def test_worse_is_lower(photos, degrade, levels):
    for number, photo in enumerate(photos):
        scores = [no_reference(photo), *(no_reference(degrade(photo, level)) for level in levels)]
        assert scores == sorted(scores, reverse=True), (number, scores)
        assert 0 <= scores[-1] < scores[0] <= 100


@pytest.mark.parametrize("offset", [0, 3])
def test_block_edges_are_seen_wherever_the_grid_lies(photos, offset):
    blocky = _compressed(photos[0], 10)[offset:, offset:]
    assert blockiness(blocky) > 3 * blockiness(photos[0]) + 0.1


def test_tiny_pictures_do_no_harm():
    assert no_reference(np.zeros((1, 1, 3), np.uint8)) == 100
