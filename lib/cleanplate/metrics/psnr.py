"""Peak signal-to-noise ratio."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

PEAK = 255.0


def psnr(
    result: NDArray[np.uint8], truth: NDArray[np.uint8], mask: NDArray[Any] | None = None
) -> float:
    """PSNR in decibels over all channels.

    Args:
        result: uint8 (H, W, 3) or (H, W).
        truth: same shape.
        mask: (H, W): only pixels where it is > 0 count; None = all.

    Returns:
        dB; infinity for equal pictures, also where no pixel counts.

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> import numpy as np
        >>> a = np.zeros((2, 2, 3), np.uint8)
        >>> round(psnr(a, a + 1), 2), psnr(a, a)
        (48.13, inf)
    """
    if result.shape != truth.shape:
        raise ValueError(f"pictures of {result.shape} and {truth.shape} cannot be compared: make them one size")
    squared = np.square(result.astype(np.float64) - truth.astype(np.float64))
    counted = squared if mask is None else squared[mask > 0]
    error = float(counted.mean()) if counted.size else 0.0
    return math.inf if error == 0 else 10 * math.log10(PEAK**2 / error)
