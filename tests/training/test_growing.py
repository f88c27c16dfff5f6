"""Wider networks: they begin as the narrower one, and all of them learns."""

import pytest
import torch
from growing import grow

from cleanplate.models.stroke_net import FEATURE_STRIDES, FEATURES, StrokeNet

NARROW, WIDE = (4, 6, 8, 10), (8, 7, 12, 10)


def seen(count=2, side=64):
    generator = torch.Generator().manual_seed(5)
    levels = zip(FEATURES, FEATURE_STRIDES, strict=True)
    features = [torch.randn(count, channels, side // by, side // by, generator=generator) for channels, by in levels]
    return torch.rand(count, 4, side, side, generator=generator), features


def lived_in(network):
    """A network whose weights and statistics are none that it starts with."""
    torch.manual_seed(6)
    for value in network.parameters():
        value.data.add_(0.05 * torch.randn_like(value))
    network.train()(*seen())
    return network


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("deeper", [False, True])
def test_a_grown_network_says_what_the_narrow_one_says(training, deeper):
    narrow, wide = lived_in(StrokeNet(NARROW)).train(training), StrokeNet(WIDE, deeper=deeper).train(training)
    grow(wide, narrow.state_dict())
    with torch.no_grad():
        assert torch.allclose(wide(*seen()), narrow(*seen()), atol=1e-4)


def test_what_is_new_is_listened_to_after_a_step():
    wide = StrokeNet(WIDE, deeper=True).train()
    grow(wide, lived_in(StrokeNet(NARROW)).state_dict())
    weight = wide.stem[1][0].weight
    assert not weight[: NARROW[0], NARROW[0] :].any()
    wide(*seen()).square().mean().backward()
    assert weight.grad[: NARROW[0], NARROW[0] :].abs().amax(dim=(0, 2, 3)).min() > 0


def test_layers_that_the_narrow_one_lacks_stay_as_they_begin():
    wide = StrokeNet(WIDE, deeper=True)
    before = wide.up4.block.first.weight.clone()
    grow(wide, StrokeNet(NARROW).state_dict())
    assert torch.equal(wide.up4.block.first.weight, before)


def test_a_network_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"stem\.0\.0\.weight, \(16, 16, 3, 3\), does not fit into StrokeNet"):
        grow(StrokeNet(NARROW), StrokeNet((16, 32, 64, 128)).state_dict())
    with pytest.raises(ValueError, match=r"other\.weight"):
        grow(StrokeNet(NARROW), {"other.weight": torch.zeros(3)})
