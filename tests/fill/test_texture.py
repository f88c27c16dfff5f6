"""The network's colours with the exemplars' detail, by engines whose answers are known."""

import cv2
import numpy as np
import pytest

from cleanplate.fill.base import EngineSpec, FillRequest
from cleanplate.fill.texture import TextureEngine


class Answers:
    """An engine that gives what it was told, and keeps what it was asked."""

    spec = EngineSpec("answers", "none", 1.0)

    def __init__(self, *pictures):
        self.pictures = pictures

    def fill(self, requests):
        return [np.where(r.hole[..., None] > 0, p, r.crop) for r, p in zip(requests, self.pictures, strict=True)]


@pytest.fixture
def case():
    hole = np.zeros((80, 90), np.uint8)
    hole[20:60, 20:70] = 1
    shade = np.linspace(60, 180, 90, dtype=np.float32)[None, :, None].repeat(80, 0).repeat(3, 2)
    grain = np.random.default_rng(0).normal(0, 12, (80, 90, 3)).astype(np.float32)
    grain -= cv2.GaussianBlur(grain, (0, 0), 3)
    return hole, shade, grain


def _request(hole, shade, grain):
    crop = np.clip(shade + grain, 0, 255).astype(np.uint8)
    return FillRequest(np.where(hole[..., None] > 0, np.uint8(255), crop), hole.astype(np.float32), hole, hole)


def test_shading_comes_from_one_and_grain_from_the_other(case):
    hole, shade, grain = case
    smooth = shade.astype(np.uint8)
    rough = np.clip(130 + grain, 0, 255).astype(np.uint8)  # the right grain on the wrong ground
    request = _request(*case)
    filled = TextureEngine(Answers(smooth), Answers(rough)).fill([request])[0]
    inner = cv2.erode(hole, np.ones((25, 25), np.uint8)) > 0
    assert np.abs(filled[inner].astype(float) - (shade + grain)[inner]).mean() < 2
    assert np.array_equal(filled[hole == 0], request.crop[hole == 0])


def test_near_the_rim_the_network_has_a_share_in_the_detail(case):
    hole, shade, grain = case
    rough = np.clip(130 + grain, 0, 255).astype(np.uint8)
    filled = TextureEngine(Answers(shade.astype(np.uint8)), Answers(rough)).fill([_request(*case)])[0].astype(float)
    detail = filled - cv2.GaussianBlur(filled, (0, 0), 3)
    depth = cv2.distanceTransform(hole, cv2.DIST_L2, 5)
    near, deep = (detail[(depth > low) & (depth <= high)].std() for low, high in ((3, 5), (17, 99)))
    assert 0.6 < near / deep < 0.85


def test_engines_that_agree_are_followed(case):
    hole, shade, grain = case
    answer = np.clip(shade + grain, 0, 255).astype(np.uint8)
    filled = TextureEngine(Answers(answer), Answers(answer)).fill([_request(*case)])[0]
    assert np.abs(filled.astype(int) - answer)[hole > 0].max() <= 1


def test_each_request_gets_its_own(case):
    dark, bright = (np.full((80, 90, 3), value, np.uint8) for value in (30, 220))
    request = _request(*case)
    one, other = TextureEngine(Answers(dark, bright), Answers(dark, bright)).fill([request, request])
    assert one[40, 45].max() < 40
    assert other[40, 45].min() > 210
    assert TextureEngine(Answers(), Answers()).fill([]) == []
