"""What every engine must do, and what each is good for."""

import numpy as np
import pytest

from cleanplate.config import Config, FillConfig, ModelsConfig, RouteConfig, load_config
from cleanplate.errors import ConfigError
from cleanplate.fill import ENGINES, build_engines
from cleanplate.fill.base import FillRequest
from cleanplate.metrics.psnr import psnr
from cleanplate.models.registry import Registry


@pytest.fixture(params=["flat", "morphological", "pde telea", "pde navier_stokes", "pde biharmonic", "pde tension"])
def engine(request):
    name, _, method = request.param.partition(" ")
    config = Config(fill=FillConfig(pde_method=method or "telea"), route=RouteConfig(engines=(name,)))
    return build_engines(config, Registry.load(ModelsConfig()), "cpu")[name]


def _gradient(height=64, width=80):
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([60 + x, 200 - y, 90 + 0.5 * x + 0.5 * y], axis=2).astype(np.uint8)


def test_a_gradient_is_continued(engine, request_of, hole):
    clean = _gradient()
    filled = engine.fill([request_of(clean, hole)])[0]
    assert filled.dtype == np.uint8
    assert filled.shape == clean.shape
    assert psnr(filled, clean, hole) > 35


def test_invalid_pixels_never_leak_in(engine, request_of, hole):
    clean = _gradient()
    invalid = np.zeros_like(hole)
    invalid[16:50, 62:74] = 1  # another region's strokes, beside the hole
    invalid[10:19, 20:50] = 1
    request = request_of(clean, hole, invalid)
    other = request.crop.copy()
    other[(request.invalid > 0)] = (0, 255, 0)
    again = FillRequest(other, request.alpha, request.core, request.invalid, seed=1)
    first, second = engine.fill([request, again])
    assert np.array_equal(first[hole > 0], second[hole > 0])
    assert psnr(first, clean, hole) > 28


def test_odd_requests_do_not_crash(engine, request_of):
    clean = _gradient(5, 7)
    everything = np.ones((5, 7), np.uint8)
    nothing = np.zeros((5, 7), np.uint8)
    single = np.ones((1, 1), np.uint8)
    corner = nothing.copy()
    corner[0, 0] = 1
    requests = [request_of(clean, everything), request_of(clean, nothing), request_of(clean[:1, :1], single)]
    shapes = [filled.shape for filled in engine.fill([*requests, request_of(clean, corner)])]
    assert shapes == [(5, 7, 3), (5, 7, 3), (1, 1, 3), (5, 7, 3)]
    assert engine.fill([]) == []


def test_requests_are_left_alone_and_results_repeat(engine, request_of, hole):
    request = request_of(_gradient(), hole)
    before = [array.copy() for array in (request.crop, request.alpha, request.core, request.invalid)]
    first, second = engine.fill([request, request])
    assert np.array_equal(first, second)
    for old, new in zip(before, (request.crop, request.alpha, request.core, request.invalid), strict=True):
        assert np.array_equal(old, new)


def test_flat_takes_the_rings_median_against_outliers(request_of, hole):
    clean = np.full((64, 80, 3), (30, 140, 90), np.uint8)
    request = request_of(clean, hole)
    request.crop[24:30, 61:66] = 255  # a speck in the ring
    flat = build_engines(Config(), Registry.load(ModelsConfig()), "cpu")["flat"]
    filled = flat.fill([request])[0]
    assert np.abs(filled[hole > 0].astype(int) - (30, 140, 90)).max() <= 1


def test_morphological_keeps_an_edge_that_runs_under_a_stroke(request_of):
    clean = np.full((60, 80, 3), 60, np.uint8)
    clean[:, 40:] = 190
    hole = np.zeros((60, 80), np.uint8)
    hole[28:32, 10:70] = 1
    config = Config(route=RouteConfig(engines=("morphological", "pde")))
    engines = build_engines(config, Registry.load(ModelsConfig()), "cpu")
    request = request_of(clean, hole)
    medians, diffused = (engine.fill([request])[0] for engine in engines.values())
    assert psnr(medians, clean, hole) > psnr(diffused, clean, hole)
    assert set(np.unique(medians)) <= {60, 190, 125}


def test_morphological_is_the_median_of_the_known_disc(request_of, hole):
    clean = np.random.default_rng(3).integers(0, 256, (64, 80, 3), dtype=np.uint8)
    engine = build_engines(Config(route=RouteConfig(engines=("morphological",))), Registry.load(ModelsConfig()), "cpu")
    filled = engine["morphological"].fill([request_of(clean, hole)])[0]
    radius = 9  # the deepest pixel, where the two parts meet, lies 5.1 from the rim; and 3 beyond
    y, x = np.mgrid[0:64, 0:80]
    for row, column in ((20, 30), (35, 45), (30, 59)):
        near = (np.hypot(y - row, x - column) <= radius + 0.5) & (hole == 0)
        assert np.array_equal(filled[row, column], np.floor(np.median(clean[near], axis=0) + 0.5))


def test_a_big_hole_is_bounded_in_time_and_still_continuous():
    import time

    clean = _gradient(600, 190).repeat(3, axis=1)[:, :560]
    hole = np.zeros(clean.shape[:2], np.uint8)
    hole[60:540, 60:500] = 1
    crop = np.where(hole[:, :, None] > 0, np.uint8(255), clean)
    request = FillRequest(crop, hole.astype(np.float32), hole, hole)
    pde = build_engines(Config(), Registry.load(ModelsConfig()), "cpu")["pde"]
    start = time.process_time()
    filled = pde.fill([request])[0]
    assert time.process_time() - start < 3
    edge = np.zeros_like(hole)
    edge[60:66, 60:500] = 1
    assert psnr(filled, clean, edge) > 25
    assert np.array_equal(filled[hole == 0], clean[hole == 0])


def test_unknown_engine():
    with pytest.raises(ConfigError, match=f"unknown engine 'magic'; there are: {', '.join(sorted(ENGINES))}"):
        build_engines(Config(route=RouteConfig(engines=("magic",))), Registry.load(ModelsConfig()), "cpu")


def test_engines_come_in_the_order_of_cost():
    engines = build_engines(Config(), Registry.load(ModelsConfig()), "cpu")
    costs = [engine.spec.cost_units_per_mpx for engine in engines.values()]
    assert costs == sorted(costs)
    forensic = load_config(profile="forensic")
    engines = build_engines(forensic, Registry.load(forensic.models), "cpu")
    assert not any(engine.spec.generative for engine in engines.values())
