"""Makes networks cheaper to run, with the same answers: normalisations become part of the convolutions before them."""

from __future__ import annotations

from itertools import pairwise
from typing import TypeVar

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Network = TypeVar("Network", bound=nn.Module)


def fold(network: Network) -> Network:
    """Folds each batch normalisation that follows a convolution into it (Jacob et al., CVPR 2018, section 3.2).

    Args:
        network: for inference (`eval()`); it is changed, and cannot be trained on or saved under its own keys.

    Returns:
        The same network, whose answers differ by rounding only.

    Raises:
        RuntimeError: the network is in training.
    """
    for sequence in [module for module in network.modules() if isinstance(module, nn.Sequential)]:
        for place, (first, second) in enumerate(pairwise(sequence)):
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                if second.training:
                    raise RuntimeError("statistics of normalisation still change in training: call eval() first")
                sequence[place], sequence[place + 1] = fuse_conv_bn_eval(first, second), nn.Identity()
    return network
