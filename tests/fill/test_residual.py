"""The residual engine around tiny random weights, and its own: seeds, steps, what changes and what does not."""

import cv2
import numpy as np
import pytest
import torch

from cleanplate.config import load_config
from cleanplate.fill.base import EngineSpec, FillRequest
from cleanplate.fill.residual import ResidualEngine
from cleanplate.models.registry import Registry
from cleanplate.models.residual_net import ResidualNet


class Smooth:
    """A pre-fill: the crop's mean colour with a slope."""

    spec = EngineSpec("smooth", "none", 1.0)

    def fill(self, requests):
        return [np.where(r.hole[..., None] > 0, _shade(*r.hole.shape), r.crop) for r in requests]


class Counted(torch.nn.Module):
    """Counts the calls of a network."""

    def __init__(self, network):
        super().__init__()
        self.network, self.calls = network, 0

    def forward(self, *arguments):
        self.calls += 1
        return self.network(*arguments)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(7)
    network = ResidualNet((8, 16, 16)).eval()
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)
    return network


@pytest.fixture
def engine(network):
    return ResidualEngine(Smooth(), network, steps=3)


def _shade(height, width):
    y, x = np.mgrid[0:height, 0:width]
    return np.repeat((90 + 0.6 * x + 0.3 * y)[..., None], 3, 2).astype(np.uint8)


def _request(height=70, width=90, seed=1):
    rng = np.random.default_rng(0)
    crop = np.clip(_shade(height, width) + rng.normal(0, 12, (height, width, 3)), 0, 255).astype(np.uint8)
    hole = np.zeros((height, width), np.uint8)
    hole[15:55, 20:70] = 1
    crop[hole > 0] = 255
    return FillRequest(crop, hole.astype(np.float32), hole, hole, seed)


def test_the_seed_decides(engine):
    first, again, other = (engine.fill([_request(seed=seed)])[0] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_colours_stay_the_prefills_and_the_picture_stays(engine):
    request = _request()
    filled = engine.fill([request])[0]
    inside = request.hole > 0
    assert np.array_equal(filled[~inside], request.crop[~inside])
    prefill = Smooth().fill([request])[0]
    change = filled.astype(np.float32) - prefill
    assert np.abs(change[inside]).mean() > 1
    assert np.abs(cv2.GaussianBlur(change, (0, 0), 5)).max() < 2.5


def test_steps_are_respected(network):
    for steps in (2, 5):
        counted = Counted(network)
        ResidualEngine(Smooth(), counted, steps).fill([_request()])
        assert counted.calls == steps


def test_what_lies_under_the_hole_is_never_seen(engine):
    request = _request()
    other = request.crop.copy()
    other[request.hole > 0] = (0, 255, 0)
    again = FillRequest(other, request.alpha, request.core, request.invalid, request.seed)
    first, second = engine.fill([request, again])
    assert np.array_equal(first, second)


def test_together_as_alone_and_odd_crops(engine):
    everything = np.ones((20, 30), np.uint8)
    crop = np.full((20, 30, 3), 7, np.uint8)
    requests = [_request(seed=1), _request(60, 90, 2), _request(seed=3)]
    requests.append(FillRequest(crop, everything.astype(np.float32), everything, everything))
    requests.append(FillRequest(crop, 0 * everything.astype(np.float32), 0 * everything, 0 * everything))
    for request, filled in zip(requests, engine.fill(requests), strict=True):
        assert np.abs(filled.astype(int) - engine.fill([request])[0]).max() <= 1
    assert engine.fill([]) == []


def test_each_step_costs_the_same(network):
    costs = [ResidualEngine(Smooth(), network, steps).spec.cost_units_per_mpx for steps in (0, 6, 25)]
    assert costs[0] == Smooth.spec.cost_units_per_mpx
    assert (costs[2] - costs[0]) / 25 == pytest.approx((costs[1] - costs[0]) / 6)


def test_the_same_network_over_another_prefill(engine, network):
    class Flat(Smooth):
        def fill(self, requests):
            return [np.where(r.hole[..., None] > 0, 128, r.crop).astype(np.uint8) for r in requests]

    changed = engine.changed(prefill=Flat(), steps=2)
    expected = ResidualEngine(Flat(), network, 2)
    assert changed.spec == expected.spec
    assert np.array_equal(changed.fill([_request()])[0], expected.fill([_request()])[0])


def test_the_packaged_weights_draw_the_texture_of_the_surroundings():
    config = load_config(overrides=["models.device=cpu", "models.threads=1"])
    engine = ResidualEngine.build(config, Registry.load(config.models), "cpu")
    rng = np.random.default_rng(4)
    rough = cv2.GaussianBlur(rng.normal(128, 60, (96, 96, 3)), (0, 0), 1)
    calm = np.full((96, 96, 3), 128.0)
    crop = np.clip(np.concatenate([rough, calm], axis=1), 0, 255).astype(np.uint8)
    hole = np.zeros((96, 192), np.uint8)
    hole[36:60, 30:54] = hole[36:60, 138:162] = 1
    filled = engine.fill([FillRequest(crop, hole.astype(np.float32), hole, hole, 3)])[0]
    detail = np.abs(cv2.Laplacian(filled, cv2.CV_32F))
    in_rough, in_calm = detail[38:58, 32:52].mean(), detail[38:58, 140:160].mean()
    assert in_rough > 0.4 * np.abs(cv2.Laplacian(crop, cv2.CV_32F))[20:30, 20:70].mean()
    assert in_calm < 0.2 * in_rough
