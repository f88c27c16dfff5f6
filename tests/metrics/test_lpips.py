"""LPIPS against the lpips package and against torchvision's own layout of AlexNet."""

import lpips
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from cleanplate.config import ModelsConfig
from cleanplate.metrics.lpips import Lpips
from cleanplate.models.registry import Registry


@pytest.fixture(scope="module")
def registry():
    return Registry.load(ModelsConfig())


@pytest.fixture(scope="module")
def metric(registry):
    return Lpips.load(registry)


def _pictures():
    rng = np.random.default_rng(5)
    y, x = np.mgrid[0:72, 0:96]
    first = np.stack([128 + 90 * np.sin(x / 7), 128 + 90 * np.cos(y / 9), (x * 2 + y) % 256], axis=2).astype(np.uint8)
    second = np.clip(first + rng.normal(0, 30, first.shape), 0, 255).astype(np.uint8)
    return first, second


def _reference(registry, first, second):
    """LPIPS written out from the paper: unit-normalised features, squared difference, linear layers, mean, sum."""
    features = nn.Sequential(
        nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(),
        nn.MaxPool2d(3, 2), nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(),
    )  # fmt: skip
    values = load_file(str(registry.path("alexnet")))
    features.load_state_dict({name.removeprefix("features."): value for name, value in values.items()})
    linear = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    taps = []
    for picture in (first, second):
        x = torch.from_numpy(picture.astype(np.float32) / 127.5 - 1)
        x = ((x - shift) / scale).permute(2, 0, 1)[None]
        found = []
        for index, layer in enumerate(features):
            x = layer(x)
            if index in (1, 4, 7, 9, 11):
                found.append(x / (x.norm(dim=1, keepdim=True) + 1e-10))
        taps.append(found)
    with torch.no_grad():
        squared = [(a - b) ** 2 for a, b in zip(*taps, strict=True)]
        parts = [getattr(linear, f"lin{i}").model[-1](values).mean() for i, values in enumerate(squared)]
        return float(sum(parts))


def test_equals_the_paper_written_out(metric, registry):
    first, second = _pictures()
    value = metric.distance(first, second)
    assert value > 0.1
    with torch.no_grad():
        assert value == pytest.approx(_reference(registry, first, second), abs=1e-5)


def test_differences_outside_the_mask_do_not_count(metric):
    first, second = _pictures()
    mask = np.ones(first.shape[:2], np.uint8)
    changed = first.copy()
    changed[20:40, 20:40] = second[20:40, 20:40]
    assert metric.distance(first, changed, mask) > 0
    mask[20:40, 20:40] = 0
    assert metric.distance(first, changed, mask) == 0.0


def test_tiny_pictures_and_wrong_sizes(metric):
    assert metric.distance(np.zeros((1, 1, 3), np.uint8), np.full((1, 1, 3), 255, np.uint8)) > 0
    with pytest.raises(ValueError, match="cannot be compared"):
        metric.distance(np.zeros((4, 4, 3), np.uint8), np.zeros((5, 4, 3), np.uint8))
