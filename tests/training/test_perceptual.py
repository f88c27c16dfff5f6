"""The perceptual loss: zero where nothing differs, larger the more does, each crop by what it had."""

import perceptual
import pytest
import torch
from safetensors.torch import save_file


@pytest.fixture
def distance(tmp_path):
    torch.manual_seed(0)
    shapes = {0: (64, 3), 2: (64, 64), 5: (128, 64), 7: (128, 128)}
    weights = {f"features.{i}.weight": torch.randn(*s, 3, 3) * 0.05 for i, s in shapes.items()}
    weights |= {f"features.{i}.bias": torch.randn(s[0]) * 0.01 for i, s in shapes.items()}
    save_file(weights, tmp_path / "vgg.safetensors")
    return perceptual.Perceptual(tmp_path / "vgg.safetensors")


def noisy(picture, sigma):
    return (picture + sigma * torch.randn_like(picture)).clamp(0, 1)


def test_more_difference_is_more_distance(distance):
    picture = torch.rand(1, 3, 32, 32)
    assert float(distance(picture, picture)) == 0
    near, far = (float(distance(picture, noisy(picture, sigma))) for sigma in (0.01, 0.2))
    assert 0 < near < far


def test_each_crop_counts_by_the_distance_that_it_had(distance):
    truth = torch.rand(2, 3, 32, 32)
    seen = torch.stack([noisy(truth[0], 0.1), noisy(truth[1], 0.4)])
    assert float(distance.over_own(seen, seen, truth)) == pytest.approx(0.9, abs=0.1)
    first, second = torch.stack([truth[0], seen[1]]), torch.stack([seen[0], truth[1]])
    halves = [float(distance.over_own(found, seen, truth)) for found in (first, second)]
    assert halves[0] == pytest.approx(halves[1], rel=0.2), "the weaker noise counts as much as the stronger"
