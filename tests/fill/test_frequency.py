"""The frequency engine: against a slow model of one block, on waves and texture, and what must never change."""

import cv2
import numpy as np
import pytest
import torch

from cleanplate.config import Config, ModelsConfig
from cleanplate.fill.base import FillRequest
from cleanplate.fill.frequency import FrequencyEngine, Waves, approximate
from cleanplate.metrics.psnr import psnr
from cleanplate.models.registry import Registry


@pytest.fixture(scope="module")
def engine():
    return FrequencyEngine.build(Config(), Registry.load(ModelsConfig()), "cpu")


def _waves(height=72, width=88):
    y, x = np.mgrid[0:height, 0:width]
    red = 120 + 40 * np.sin(2 * np.pi * (x / 6.3 + y / 14)) + 20 * np.cos(2 * np.pi * (x / 9 - y / 7.5))
    green = 110 + 50 * np.sin(2 * np.pi * (x / 6.3 + y / 14) + 1)
    return np.rint(np.stack([red, green, 0.5 * red + 60], axis=2)).astype(np.uint8)


def _strokes(height=72, width=88):
    """Letters in strokes of about 5 px, some of which touch the border."""
    mask = np.zeros((height, width), np.uint8)
    cv2.putText(mask, "ETA", (8, 50), cv2.FONT_HERSHEY_SIMPLEX, 1.3, 1, 5)
    mask[:4, 30:60] = 1
    mask[60:, -5:] = 1
    return mask


def _slow_model(signal, weight, frequencies, period, iterations, step):
    """The same model of one window (L, L, C) by complex waves, one at a time, in double precision."""
    side = len(weight)
    place = np.arange(side) - (side - 1) / 2
    weight = weight / weight.sum()
    model = np.broadcast_to((weight[:, :, None] * signal).sum((0, 1)), signal.shape).copy()
    for _ in range(iterations):
        residual = weight[:, :, None] * (signal - model)
        found = []
        for down in frequencies:
            for right in frequencies:
                wave = np.exp(2j * np.pi / period * (down * place[:, None] + right * place[None]))
                coefficients = (residual * wave.conj()[:, :, None]).sum((0, 1))
                preference = max(0.05, 1 - np.hypot(down, right) / period / 0.5**0.5) ** 8
                found.append(((np.abs(coefficients) ** 2).sum() * preference, coefficients, wave))
        top = max(energy for energy, _, _ in found)
        direction = sum((energy / top) ** 2 * (c * wave[:, :, None]).real for energy, c, wave in found)
        best = (direction * residual).sum((0, 1)) / (weight[:, :, None] * direction**2).sum((0, 1))
        model += step * best * direction
    return model


@pytest.mark.parametrize(
    ("side", "period", "count", "frequencies"), [(11, 16, 5, range(-4, 5)), (8, 8, 5, range(-4, 4))]
)
def test_a_block_matches_a_slow_model(side, period, count, frequencies):
    rng = np.random.default_rng(3)
    signal = rng.normal(0, 50, (side, side, 2, 3)) + 20
    weight = rng.uniform(0, 1, (side, side, 1, 3)) * (rng.random((side, side, 1, 3)) > 0.3)
    waves = Waves.over(side, period, count, "cpu")
    fast = approximate(torch.from_numpy(signal).float(), torch.from_numpy(weight).float(), waves, 5, step=0.6).numpy()
    for number in range(3):
        slow = _slow_model(signal[..., number], weight[:, :, 0, number], frequencies, period, 5, 0.6)
        assert np.abs(fast[..., number] - slow).max() < 0.02
        assert np.abs(slow - slow.mean()).max() > 20  # there is something to match


def test_waves_continue_where_diffusion_fails(engine, request_of):
    clean, hole = _waves(), _strokes()
    request = request_of(clean, hole)
    filled = engine.fill([request])[0]
    diffused = cv2.inpaint(request.crop, hole, 4, cv2.INPAINT_TELEA)
    inner = hole.copy()
    inner[:5], inner[-13:] = 0, 0  # at the crop's border the waves are known from one side only
    error = np.abs(filled[inner > 0].astype(int) - clean[inner > 0])
    assert error.mean() < 3
    assert psnr(diffused, clean, inner) < 20
    assert psnr(filled, clean, hole) > psnr(diffused, clean, hole) + 8


def test_edges_and_gradients_come_out_clean(engine, request_of, hole):
    y, x = np.mgrid[0:64, 0:80]
    gradient = np.stack([60 + x, 200 - y, 90 + 0.5 * x + 0.5 * y], axis=2).astype(np.uint8)
    assert psnr(engine.fill([request_of(gradient, hole)])[0], gradient, hole) > 38
    flat = np.full((64, 80, 3), (30, 140, 90), np.uint8)
    assert np.array_equal(engine.fill([request_of(flat, hole)])[0], flat)


def test_results_repeat_and_requests_are_left_alone(engine, request_of):
    request = request_of(_waves(), _strokes())
    before = [array.copy() for array in (request.crop, request.alpha, request.core, request.invalid)]
    first, again = engine.fill([request])[0], engine.fill([request])[0]
    assert np.array_equal(first, again)
    for old, new in zip(before, (request.crop, request.alpha, request.core, request.invalid), strict=True):
        assert np.array_equal(old, new)


def test_a_batch_equals_one_by_one(engine, request_of):
    small = (slice(5, 46), slice(7, 60))
    requests = [
        request_of(_waves(), _strokes()),
        request_of(_waves()[small], _strokes()[small]),
        request_of(_waves(30, 200), _strokes(30, 200)),
        request_of(_waves(), np.zeros((72, 88), np.uint8)),
    ]
    together = engine.fill(requests)
    for request, filled in zip(requests, together, strict=True):
        assert np.array_equal(engine.fill([request])[0], filled)
    assert engine.fill([]) == []


def test_invalid_pixels_never_influence(engine, request_of):
    clean, hole = _waves(), _strokes()
    other = np.zeros_like(hole)
    other[52:56, 5:80] = 1  # another region's stroke, right beside
    request = request_of(clean, hole, other)
    changed = request.crop.copy()
    changed[request.invalid > 0] = np.random.default_rng(5).integers(0, 256, (int(request.invalid.sum()), 3))
    again = FillRequest(changed, request.alpha, request.core, request.invalid)
    first, second = engine.fill([request, again])
    assert np.array_equal(first, second)
    assert psnr(first, clean, hole) > 25


def test_the_soft_rim_is_no_source_either(engine):
    clean, core = _waves(), _strokes()
    rim = cv2.dilate(core, np.ones((3, 3), np.uint8)) - core
    alpha = np.where(rim > 0, 0.2, core).astype(np.float32)
    bright, dark = clean.copy(), clean.copy()
    bright[rim > 0], dark[rim > 0] = 255, 0
    first, second = engine.fill([FillRequest(crop, alpha, core, core) for crop in (bright, dark)])
    assert np.array_equal(first, second)


def test_pixels_outside_are_untouched(engine, request_of):
    rng = np.random.default_rng(6)
    clean, hole = rng.integers(0, 256, (50, 61, 3), dtype=np.uint8), _strokes(50, 61)
    request = request_of(clean, hole)
    filled = engine.fill([request])[0]
    assert filled.dtype == np.uint8
    assert np.array_equal(filled[hole == 0], clean[hole == 0])
    assert not np.array_equal(filled[hole > 0], request.crop[hole > 0])


@pytest.mark.parametrize("size", [(5, 7), (1, 1), (1, 40), (40, 1), (2, 3)])
def test_tiny_and_hopeless_crops_do_not_crash(engine, request_of, size):
    clean = np.full((*size, 3), 77, np.uint8)
    everything, corner = np.ones(size, np.uint8), np.zeros(size, np.uint8)
    corner[-1, -1] = 1
    lost, found = engine.fill([request_of(clean, everything), request_of(clean, corner)])
    assert lost.shape == found.shape == clean.shape
    assert np.all(lost == 128)
    if clean[:, :, 0].size > 1:
        assert np.array_equal(found, clean)


@pytest.mark.parametrize("most_passes", [2, 36])
def test_a_hole_thicker_than_any_window_is_filled_to_its_middle(request_of, monkeypatch, most_passes):
    clean, hole = _waves(150, 150), np.zeros((150, 150), np.uint8)
    hole[35:115, 35:115] = 1
    thick = FrequencyEngine(most_passes=most_passes)
    diffuse, left_px = thick._deep.fill, []
    monkeypatch.setattr(thick._deep, "fill", lambda many: left_px.append(int(many[0].core.sum())) or diffuse(many))
    filled = thick.fill([request_of(clean, hole)])[0]
    assert bool(left_px) == (most_passes == 2)  # enough passes: what is reconstructed supports the next, to the end
    mean = clean.reshape(-1, 3).mean(axis=0)
    assert np.abs(filled[55:95, 55:95].reshape(-1, 3).mean(axis=0) - mean).max() < 45  # the garbage is 130 away
    assert psnr(filled, clean, hole) > 12
