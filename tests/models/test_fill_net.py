"""The fill network: where it starts, what it leaves alone, and what it says of weights that are not its own."""

import pytest
import torch
from safetensors.torch import save_file

from cleanplate.errors import ModelError
from cleanplate.models.fill_net import FILLS, FillNet, load_fill_net


@pytest.fixture
def network():
    torch.manual_seed(5)
    network = FillNet().eval()
    for parameter in network.head.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return network


def _batch(count=2, height=32, width=48):
    fills = torch.rand(count, FILLS, 3, height, width)
    hole = torch.zeros(count, 1, height, width)
    hole[..., 8:20, 10:30] = 1
    return torch.where(hole[:, None] > 0, fills, fills[:, :1]), hole


def test_starts_from_the_mean_of_the_fills_and_within_the_budget():
    fresh = FillNet()
    fills, hole = _batch()
    with torch.inference_mode():
        filled = fresh(fills, hole)
    assert torch.allclose(filled, torch.where(hole > 0, fills.mean(dim=1), fills[:, 0]), atol=1e-6)
    assert sum(value.numel() for value in fresh.parameters()) < 3_000_000


def test_only_the_hole_changes(network):
    fills, hole = _batch()
    with torch.inference_mode():
        filled = network(fills, hole)
    known = (hole == 0).expand_as(filled)
    assert torch.equal(filled[known], fills[:, 0][known])
    assert not torch.allclose(filled[~known], fills.mean(dim=1)[~known], atol=1e-3)


def test_a_brighter_picture_is_filled_brighter(network):
    """The mean is taken away first, so a constant more or less changes nothing else."""
    fills, hole = _batch()
    with torch.inference_mode():
        first, second = network(fills * 0.5, hole), network(fills * 0.5 + 0.25, hole)
    assert torch.allclose(first + 0.25, second, atol=1e-4)


def test_is_the_same_after_saving_and_loading(network, tmp_path):
    path = tmp_path / "fill.safetensors"
    save_file(network.state_dict(), path)
    fills, hole = _batch()
    with torch.inference_mode():
        assert torch.allclose(load_fill_net(path)(fills, hole), network(fills, hole), atol=1e-5)


def test_weights_of_something_else_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(ModelError, match="does not hold the weights of the fill network"):
        load_fill_net(path)
