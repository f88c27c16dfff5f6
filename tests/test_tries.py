"""What an engine's answer becomes before it is judged: grain only where the photograph's own is not there."""

from dataclasses import replace

import cv2
import numpy as np

from cleanplate.config import Config
from cleanplate.fill.base import EngineSpec, FillRequest, Remark
from cleanplate.records import Box, Region
from cleanplate.tries import Filled, ask, finished


class Talker:
    """An engine that remarks on each fill."""

    spec = EngineSpec("talker", "MIT", 1.0)

    def fill(self, requests):
        self.remarks = [Remark(f"crop {number}") for number, _ in enumerate(requests)]
        return [request.crop for request in requests]


def _request():
    rng = np.random.default_rng(5)
    grain = cv2.GaussianBlur(rng.normal(0, 1, (96, 128, 3)).astype(np.float32), (0, 0), 0.8) * 12
    crop = np.clip(np.rint(120 + grain), 0, 255).astype(np.uint8)
    core = np.zeros((96, 128), np.uint8)
    core[30:66, 30:98] = 1
    return FillRequest(crop, core.astype(np.float32), core, core, 3, "watermark")


def test_what_is_left_of_the_photograph_gets_no_grain():
    request = _request()
    core = request.core
    region = Region(0, "watermark", 0.9, Box(0, 0, 128, 96), request.alpha, core, request.alpha)
    smooth = np.where(core[..., None] > 0, np.uint8(120), request.crop)
    kept = np.zeros(core.shape, np.float32)
    kept[:, :64] = 1
    painted, uncovered = (
        finished(region, request, Filled(smooth, Remark(kept=each)), Config(), smooth=True) for each in (None, kept)
    )
    left, right = core.copy(), core.copy()
    left[:, 64:], right[:, :64] = 0, 0
    assert not painted.uncovered
    assert uncovered.uncovered
    assert painted.after[left > 0].std() > 2
    assert np.array_equal(uncovered.after[left > 0], uncovered.grainless[left > 0])
    assert np.array_equal(uncovered.after[right > 0], painted.after[right > 0])
    assert np.array_equal(uncovered.after[core == 0], request.crop[core == 0])


def test_engines_are_asked_with_or_without_remarks():
    request, talker = _request(), Talker()
    assert [answer.remark.note for answer in ask(talker, [request, replace(request, seed=4)])] == ["crop 0", "crop 1"]
    silent = type("Silent", (), {"fill": lambda self, requests: [request.crop for request in requests]})()
    assert ask(silent, [request])[0].remark == Remark()
