"""The un-blending network: where it starts, what it leaves alone, and that it can only invert or leave the guess."""

import pytest
import torch
from safetensors.torch import save_file

from cleanplate.errors import ModelError
from cleanplate.models.unblend_net import UnblendNet, inverted, load_unblend_net


@pytest.fixture
def network():
    torch.manual_seed(5)
    network = UnblendNet().eval()
    for parameter in network.head.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return network


@pytest.fixture
def batch():
    torch.manual_seed(6)
    truth = 0.2 + 0.6 * torch.rand(2, 3, 32, 48)
    own = torch.zeros(2, 1, 32, 48)
    own[..., 8:20, 10:30] = 1
    opacity = 0.4 * own
    colour = torch.ones_like(truth)
    picture = (1 - opacity) * truth + opacity * colour
    guess = torch.where(own > 0, torch.full_like(truth, 0.5), truth)
    return truth, (picture, guess, colour, opacity, opacity, own)


def test_inverting_is_the_opposite_of_compositing(batch):
    truth, (picture, _, colour, opacity, *_) = batch
    assert torch.allclose(inverted(picture, opacity, colour), truth, atol=1e-5)


def test_starts_from_the_estimate_and_within_the_budget(batch):
    truth, given = batch
    fresh = UnblendNet()
    with torch.inference_mode():
        found = fresh(*given)
    own = given[-1] > 0
    assert torch.allclose(found.opacity[own], torch.tensor(0.4), atol=1e-4)
    assert torch.allclose(found.under, truth, atol=1e-3)
    trust = torch.sigmoid(torch.tensor(3.0))
    wanted = trust * truth + (1 - trust) * given[1]
    assert torch.allclose(found.picture, wanted, atol=2e-3)
    assert sum(value.numel() for value in fresh.parameters()) < 1_000_000


def test_only_where_the_mark_may_be_anything_changes(network, batch):
    _, given = batch
    with torch.inference_mode():
        found = network(*given)
    free = given[-1] == 0
    assert torch.equal(found.picture[free.expand_as(found.picture)], given[0][free.expand_as(found.picture)])
    assert (found.trust[free] == 1).all()
    assert (found.opacity[free] == 0).all()


def test_a_pixel_is_a_mixture_of_the_guess_and_of_what_inverting_gives(network, batch):
    """Whatever the layers find, nothing else comes out, and it never leaves the grey scale."""
    _, given = batch
    torch.nn.init.normal_(network.head.bias, std=10.0)
    with torch.inference_mode():
        found = network(*given)
    own, guess = given[-1] > 0, given[1]
    mixture = guess + found.trust * (found.under - guess)
    assert torch.allclose(found.picture, torch.where(own, mixture, given[0]), atol=1e-6)
    assert float(found.under[own.expand_as(found.under)].std()) > 0.01
    assert float(found.under.min()) >= 0
    assert float(found.under.max()) <= 1


def test_is_the_same_after_saving_and_loading(network, batch, tmp_path):
    path = tmp_path / "unblend.safetensors"
    save_file(network.state_dict(), path)
    with torch.inference_mode():
        assert torch.allclose(load_unblend_net(path)(*batch[1]).picture, network(*batch[1]).picture, atol=1e-5)


def test_weights_of_something_else_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(ModelError, match="does not hold the weights of the un-blending network"):
        load_unblend_net(path)
