"""Folded networks: the same answers with no normalisation after a convolution, and none while training."""

import pytest
import torch
from torch import nn

from cleanplate.models.folding import fold
from cleanplate.models.stroke_net import FEATURE_STRIDES, FEATURES, StrokeNet


def trained_in(network):
    """Statistics as training leaves them: of other than no mean and no spread."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.3, 3)
            module.weight.data.uniform_(0.5, 2)
            module.bias.data.normal_()
    return network.eval()


def test_the_stroke_network_answers_as_before():
    torch.manual_seed(1)
    network = trained_in(StrokeNet())
    picture = torch.rand(2, 4, 48, 64)
    levels = zip(FEATURES, FEATURE_STRIDES, strict=True)
    features = [torch.randn(2, channels, 48 // by, 64 // by) for channels, by in levels]
    with torch.inference_mode():
        wanted = network(picture, features)
        found = fold(network)(picture, features)
    assert torch.allclose(found, wanted, atol=1e-4 * float(wanted.abs().max()))
    left = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(left) == len(FEATURES), "those of the features come before their convolution"


def test_a_network_in_training_is_refused():
    with pytest.raises(RuntimeError, match="call eval"):
        fold(nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)))
