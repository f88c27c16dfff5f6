"""Structural similarity (Wang, Bovik, Sheikh, Simoncelli, IEEE TIP 2004), whole or on a band."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

_PEAK = 255.0
_SIGMA = 1.5
_WINDOW = 11
_C1, _C2 = (0.01 * _PEAK) ** 2, (0.03 * _PEAK) ** 2


def ssim_map(result: NDArray[np.uint8], truth: NDArray[np.uint8]) -> NDArray[np.float64]:
    """SSIM per pixel, mean over the channels: Gaussian window 11x11, sigma 1.5, K 0.01 and 0.03, population moments.

    Args:
        result: uint8 (H, W, 3) or (H, W).
        truth: same shape.

    Returns:
        float64 (H, W), -1..1.

    Raises:
        ValueError: the shapes differ.
    """
    if result.shape != truth.shape:
        raise ValueError(f"pictures of {result.shape} and {truth.shape} cannot be compared: make them one size")
    x, y = result.astype(np.float64), truth.astype(np.float64)
    mean_x, mean_y = _window(x), _window(y)
    var_x, var_y = _window(x * x) - mean_x**2, _window(y * y) - mean_y**2
    covariance = _window(x * y) - mean_x * mean_y
    numerator = (2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)
    values = numerator / ((mean_x**2 + mean_y**2 + _C1) * (var_x + var_y + _C2))
    return np.asarray(values.mean(axis=2) if values.ndim == 3 else values)


def ssim(
    result: NDArray[np.uint8], truth: NDArray[np.uint8], mask: NDArray[Any] | None = None
) -> float:
    """Mean SSIM, over the picture less a border of half a window, or over the pixels of a mask.

    Args:
        result: uint8 (H, W, 3) or (H, W).
        truth: same shape.
        mask: (H, W): only pixels where it is > 0 count (the band around a mask, say); None = all.

    Returns:
        -1..1; 1 for equal pictures, also where no pixel counts.

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> import numpy as np
        >>> a = np.tile(np.arange(32, dtype=np.uint8) * 8, (32, 1))
        >>> ssim(a, a)
        1.0
    """
    values = ssim_map(result, truth)
    if mask is not None:
        counted = values[mask > 0]
    else:
        half = _WINDOW // 2
        inner = values[half:-half, half:-half]
        counted = inner if inner.size else values
    return float(counted.mean()) if counted.size else 1.0


def _window(values: NDArray[np.float64]) -> NDArray[np.float64]:
    blurred = cv2.GaussianBlur(values, (_WINDOW, _WINDOW), _SIGMA, borderType=cv2.BORDER_REFLECT)
    return np.asarray(blurred, dtype=np.float64)
