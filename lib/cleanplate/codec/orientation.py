"""Turns pixels between the stored and the upright position (EXIF orientation)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def to_upright(stored: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turns stored pixels upright.

    Args:
        stored: (H, W) or (H, W, C), any dtype.
        orientation: EXIF 2.3 tag 0x0112, 1..8.

    Returns:
        The upright pixels, contiguous; the same array where orientation is 1.
    """
    if orientation == 1:
        return stored
    turned = stored
    if orientation >= 5:  # 5..8 have rows and columns exchanged
        turned = turned.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        turned = turned[:, ::-1]
    if orientation in (3, 4, 7, 8):
        turned = turned[::-1]
    return np.ascontiguousarray(turned)


def to_stored(upright: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turns upright pixels back to how the file stores them; the inverse of `to_upright`."""
    inverse = {6: 8, 8: 6}.get(orientation, orientation)
    return to_upright(upright, inverse)


def upright_size(width: int, height: int, orientation: int) -> tuple[int, int]:
    """Width and height after turning."""
    return (height, width) if orientation >= 5 else (width, height)
