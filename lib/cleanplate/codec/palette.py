"""Finds colours in a palette, so that an edited palette picture can stay one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def find_indices(colours: NDArray[np.uint8], palette: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """Indices of colours in a palette.

    Args:
        colours: uint8 (N, C).
        palette: uint8 (at most 256, C).

    Returns:
        uint8 (N,): the first index of each colour, or None where one is missing.
    """
    wanted, inverse = np.unique(colours, axis=0, return_inverse=True)
    if len(wanted) > len(palette):
        return None
    same = (wanted[:, None, :] == palette[None, :, :]).all(axis=2)
    if not same.any(axis=1).all():
        return None
    return same.argmax(axis=1).astype(np.uint8)[inverse.reshape(-1)]


def extend(palette: NDArray[np.uint8], colours: NDArray[np.uint8], size: int) -> NDArray[np.uint8] | None:
    """The palette with missing colours appended, or None where that needs more than `size` entries."""
    wanted = np.unique(colours, axis=0)
    if len(wanted) > size:
        return None
    missing = wanted[~(wanted[:, None, :] == palette[None, :, :]).all(axis=2).any(axis=1)]
    return None if len(palette) + len(missing) > size else np.concatenate([palette, missing])
