"""Loads a user's own weights of the architectures that spandrel knows."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from cleanplate.errors import ModelError


def load_by_spandrel(path: Path, what: str) -> Any:
    """Reads weights, as safetensors or as a plain state dict of torch, and finds the network that they are of.

    Args:
        path: of the weights; its name may have any suffix.
        what: what asks for them, for the error message.

    Returns:
        A spandrel.ModelDescriptor; its `purpose` says what the network is for.

    Raises:
        ModelError: spandrel is not installed, or the file does not hold a network that it knows.
    """
    try:
        import spandrel
    except ImportError:
        raise ModelError(f"{what} needs spandrel: pip install 'cleanplate[engines]'") from None
    try:
        state = spandrel.canonicalize_state_dict(_read_state(path))
        return spandrel.ModelLoader().load_from_state_dict(state)
    except (spandrel.UnsupportedModelError, OSError, EOFError, RuntimeError, ValueError, KeyError, AttributeError,
            SafetensorError, pickle.UnpicklingError) as error:  # fmt: skip
        raise ModelError(
            f"{path} does not hold a network that spandrel {spandrel.__version__} knows, as safetensors or as a plain "
            f"state dict (take the state dict out of a TorchScript or training checkpoint): {str(error)[:300]}"
        ) from error


def _read_state(path: Path) -> Any:
    """By content, not by suffix: weights fetched from remote storage are cached by their digest alone."""
    try:
        return load_file(path, device="cpu")
    except SafetensorError:
        return torch.load(path, map_location="cpu", weights_only=True)
