"""Loaded models, one per process for each (id, sha256, device)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

from cleanplate.models.registry import Registry

Model = TypeVar("Model")
_models: dict[tuple[str, str, str, str], object] = {}
_lock = threading.RLock()


def load_once(
    registry: Registry, model_id: str, device: str, loader: Callable[[Path], Model], variant: str = ""
) -> Model:
    """Returns the model, loaded at most once per process.

    Args:
        registry: where the weights are.
        model_id: id in the registry.
        device: "cpu", "cuda:0", ...
        loader: makes the model from the path of its verified weights.
        variant: tells apart models that are made of the same weights with other settings (threads, precision).

    Raises:
        ModelError: see `Registry.path`; checked also where the model is already loaded.
    """
    path = registry.path(model_id)
    key = (model_id, registry.entry(model_id).sha256, device, variant)
    with _lock:
        if key not in _models:
            _models[key] = loader(path)
        return cast(Model, _models[key])


def evict(device: str | None = None) -> int:
    """Drops the models of one device, or all; returns how many (a reused worker may get another device)."""
    with _lock:
        keys = [key for key in _models if device is None or key[2] == device]
        for key in keys:
            del _models[key]
        return len(keys)
