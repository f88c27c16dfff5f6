"""Parts of a picture in windows: cut to where they are set, moved from one window into another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cleanplate.records import Box


def trim(alpha: NDArray[np.float32], box: Box) -> tuple[NDArray[np.float32], Box] | None:
    """Cuts alpha and its box to where alpha > 0; None where it is nowhere."""
    rows, columns = np.flatnonzero(alpha.any(axis=1)), np.flatnonzero(alpha.any(axis=0))
    if len(rows) == 0:
        return None
    top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    tight = Box(box.left + left, box.top + top, box.left + right, box.top + bottom)
    return alpha[top:bottom, left:right], tight


def place(values: NDArray[np.float32], box: Box, into: Box) -> NDArray[np.float32]:
    """Moves a part of a picture into another window; what lies outside `box` is 0, outside `into` is lost."""
    out = np.zeros((into.height, into.width), np.float32)
    left, top = max(box.left, into.left), max(box.top, into.top)
    right, bottom = min(box.right, into.right), min(box.bottom, into.bottom)
    if left < right and top < bottom:
        source = values[top - box.top : bottom - box.top, left - box.left : right - box.left]
        out[top - into.top : bottom - into.top, left - into.left : right - into.left] = source
    return out
