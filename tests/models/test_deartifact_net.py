"""The deartifact network: its transform, where it starts, and that what it is told counts."""

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cleanplate.errors import ModelError
from cleanplate.models.deartifact_net import BLIND, KNOTS, DeartifactNet, guided, knot_weights, load_deartifact_net
from cleanplate.models.sliding_dct import SlidingDct


@pytest.fixture
def network():
    torch.manual_seed(5)
    network = DeartifactNet((8, 12, 16)).eval()
    for name, parameter in network.named_parameters():
        if name.startswith("head") or "modulate" in name or "second" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    return network


def told(quality, grid=(0.0, 0.0), count=1):
    return torch.full((count,), float(quality)), torch.tensor([grid] * count)


def test_coefficients_are_those_of_an_independent_dct():
    plane = torch.rand(1, 1, 24, 16)
    found = SlidingDct().analyse(plane)
    block = plane[0, 0, 4:12, 2:10].numpy()
    assert np.allclose(found[0, :, 5, 4].reshape(8, 8).numpy(), cv2.dct(block), atol=1e-5)


@pytest.mark.parametrize("size", [(8, 8), (16, 24), (40, 10)])
def test_without_noise_the_sliding_dct_gives_back_what_it_got(size):
    planes = torch.rand(2, 3, *size)
    assert torch.allclose(SlidingDct()(planes, torch.zeros(2, 3, 64)), planes, atol=1e-3)


def test_the_sliding_dct_takes_noise_away():
    torch.manual_seed(0)
    clean = torch.linspace(0, 1, 64)[None, None, :, None].expand(1, 1, 64, 64)
    noisy = clean + 0.1 * torch.randn(1, 1, 64, 64)
    error = (SlidingDct()(noisy, torch.full((1, 1, 64), 0.2)) - clean).square().mean()
    assert error < 0.2 * (noisy - clean).square().mean()


def test_knots_count_linearly_and_the_unknown_stands_alone():
    weights = knot_weights(torch.tensor([7.5, 1.0, 100.0, 40.0, BLIND]))
    assert torch.allclose(weights.sum(dim=1), torch.ones(5))
    assert weights[0, :2].tolist() == [0.5, 0.5]
    assert weights[1, 0] == weights[2, len(KNOTS) - 1] == weights[3, KNOTS.index(40.0)] == weights[4, -1] == 1


def test_starts_from_the_sliding_dct_and_within_the_budget():
    fresh = DeartifactNet()
    picture, (quality, grid) = torch.rand(1, 3, 32, 40), told(30)
    with torch.inference_mode():
        fresh.log_noise.fill_(-12)
        assert torch.allclose(fresh(picture, quality, grid), picture, atol=2e-3)
        fresh.log_noise.fill_(0)
        assert fresh(picture, quality, grid).std() < 0.2 * picture.std()
    assert 200_000 < sum(value.numel() for value in fresh.parameters()) < 2_000_000


@pytest.mark.parametrize("other", [told(70), told(BLIND), told(20, (3.0, 0.0)), told(20, (-1.0, -1.0))])
def test_what_it_is_told_changes_the_result(network, other):
    with torch.no_grad():
        network.log_noise[:] = torch.linspace(-3, -6, len(KNOTS) + 1)[:, None, None]
    picture = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        assert (network(picture, *told(20)) - network(picture, *other)).abs().max() > 1e-3


def test_luma_guides_chroma_where_it_is_let(network):
    picture, condition = torch.rand(1, 3, 32, 32), told(20)
    with torch.inference_mode():
        free = network(picture, *condition)
        network.guidance.fill_(1.0)
        led = network(picture, *condition)
        before, after = (torch.nn.functional.conv2d(each - 0.5, network.to_ycc) for each in (free, led))
    assert (free - led).abs().max() > 0.01
    assert torch.allclose(after[:, :1], before[:, :1], atol=1e-5)
    assert torch.allclose(after[:, 1:], guided(before[:, :1], before[:, 1:]), atol=1e-5)


def test_chroma_that_follows_luma_is_kept_and_noise_that_does_not_is_smoothed():
    torch.manual_seed(0)
    luma = torch.rand(1, 1, 40, 40)
    follows = torch.cat([0.4 * luma - 0.1, 0.2 - 0.3 * luma], dim=1)
    assert torch.allclose(guided(luma, follows), follows, atol=2e-3)
    noise = 0.1 * torch.randn(1, 2, 40, 40)
    assert guided(luma, noise).std() < 0.4 * noise.std()


def test_pictures_of_a_batch_do_not_see_each_other(network):
    pictures = torch.rand(2, 3, 32, 32)
    quality, grid = torch.tensor([20.0, BLIND]), torch.tensor([[0.0, 2.0], [-1.0, -1.0]])
    with torch.inference_mode():
        both = network(pictures, quality, grid)
        alone = network(pictures[1:], quality[1:], grid[1:])
    assert torch.allclose(both[1:], alone, atol=1e-5)


def test_weights_of_something_else_are_refused(tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(ModelError, match="deartifact network"):
        load_deartifact_net(tmp_path / "x.safetensors")
