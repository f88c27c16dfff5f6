"""The deartifact network: where it starts, and that what it is told counts."""

import pytest
import torch
from safetensors.torch import save_file

from cleanplate.errors import ModelError
from cleanplate.models.deartifact_net import (
    BLIND,
    KNOTS,
    RECEPTIVE_PX,
    DeartifactNet,
    knot_weights,
    load_deartifact_net,
)
from cleanplate.models.ffdnet import Ffdnet


@pytest.fixture
def network():
    torch.manual_seed(5)
    network = DeartifactNet(16, 12).eval()
    for layer in network.layers:
        torch.nn.init.kaiming_normal_(layer.weight)
    for modulate in network.modulate:
        torch.nn.init.normal_(modulate.weight)
    return network


def told(quality, grid=(0.0, 0.0), count=1):
    return torch.full((count,), float(quality)), torch.tensor([grid] * count)


def test_knots_count_linearly_and_the_unknown_stands_alone():
    weights = knot_weights(torch.tensor([7.5, 1.0, 100.0, 40.0, BLIND]))
    assert torch.allclose(weights.sum(dim=1), torch.ones(5))
    assert weights[0, :2].tolist() == [0.5, 0.5]
    assert weights[1, 0] == weights[2, len(KNOTS) - 1] == weights[3, KNOTS.index(40.0)] == weights[4, -1] == 1


def test_starts_as_the_denoiser_whatever_the_grid():
    torch.manual_seed(1)
    denoiser, fresh = Ffdnet(24, 5).eval(), DeartifactNet(24, 5).eval()
    fresh.start_from(denoiser)
    with torch.inference_mode():
        fresh.log_level[:] = torch.linspace(-2, -4, len(KNOTS) + 1)
        picture = torch.rand(1, 3, 24, 32)
        for place, quality in ((0, KNOTS[0]), (5, KNOTS[5]), (len(KNOTS), BLIND)):
            sigma = fresh.log_level[place].exp().expand(1, 1, 24, 32)
            found = fresh(picture, *told(quality, (2.0, 5.0)))
            assert torch.allclose(found, denoiser(picture, sigma), atol=1e-6)


def test_keeps_within_the_budget():
    assert 200_000 < sum(value.numel() for value in DeartifactNet().parameters()) < 2_000_000


@pytest.mark.parametrize("other", [told(70), told(BLIND), told(20, (3.0, 0.0)), told(20, (-1.0, -1.0))])
def test_what_it_is_told_changes_the_result(network, other):
    picture = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        assert (network(picture, *told(20)) - network(picture, *other)).abs().max() > 1e-3


def test_sees_no_further_than_it_says(network):
    one = torch.rand(1, 3, 80, 80)
    other = one.clone()
    other[:, :, : 80 - RECEPTIVE_PX - 4] = 0
    with torch.inference_mode():
        rows = (network(one, *told(20)) - network(other, *told(20))).abs().amax(dim=(0, 1, 3))
    assert rows[:30].min() > 0
    assert rows[-4:].max() == 0


def test_pictures_of_a_batch_do_not_see_each_other(network):
    pictures = torch.rand(2, 3, 32, 32)
    quality, grid = torch.tensor([20.0, BLIND]), torch.tensor([[0.0, 2.0], [-1.0, -1.0]])
    with torch.inference_mode():
        both = network(pictures, quality, grid)
        alone = network(pictures[1:], quality[1:], grid[1:])
    assert torch.allclose(both[1:], alone, atol=1e-4)


def test_weights_of_something_else_are_refused(tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(ModelError, match="deartifact network"):
        load_deartifact_net(tmp_path / "x.safetensors")
