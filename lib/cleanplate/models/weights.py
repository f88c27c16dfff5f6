"""Reads weights into a network and makes it ready for inference."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from cleanplate.errors import ModelError

Network = TypeVar("Network", bound=nn.Module)


def load_weights(network: Network, path: Path, device: str, what: str) -> Network:
    """Reads a safetensors file of a network of the package.

    Args:
        network: of the right architecture; its weights are replaced.
        path: of the file.
        device: "cpu", "cuda:0", ...
        what: the network's name in the error message.

    Raises:
        ModelError: the file is not one of this network.
    """
    try:
        network.load_state_dict(load_file(path, device="cpu"))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"{path} does not hold the weights of the {what}: {error}") from error
    return network.eval().to(torch.device(device)).to(memory_format=torch.channels_last)


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device computes in bfloat16 faster than in float32."""
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
