"""Wider networks that begin as a narrower one of the same kind: what it knows is not learnt again."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def grow(network: nn.Module, narrow: Mapping[str, Tensor]) -> None:
    """Makes a network compute what a narrower one does, its further channels at the ready.

    Old channels keep their places and see old channels alone. New ones start as the network made them, and nothing
    listens to them yet; as the weights that will are zero, not random, they learn from the first step on (growing with
    a zero fan-out, as in Evci et al., GradMax, ICLR 2022). Layers that the narrower network lacks stay as they are:
    they have to add nothing as they start.

    Args:
        network: whose channels, at each place, are at least as many; it adds features up and never concatenates them.
        narrow: the state of the narrower one.

    Raises:
        ValueError: the narrower network has a layer that this one lacks, or is wider somewhere.
    """
    own = network.state_dict()
    for name, value in narrow.items():
        if name not in own or any(old > new for old, new in zip(value.shape, own[name].shape, strict=True)):
            raise ValueError(f"{name}, {tuple(value.shape)}, does not fit into {type(network).__name__}")
    with torch.no_grad():
        for name, value in narrow.items():
            target = own[name]
            if value.dim() > 1:
                target[: value.shape[0], value.shape[1] :] = 0
            target[tuple(slice(size) for size in value.shape)] = value
    network.load_state_dict(own)
