"""Colour drift: whether the colour jumps where a fill begins."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cleanplate.ring import dilate, ring

_RIM_PX = 3


def colour_drift(image_rgb: NDArray[np.uint8], mask: NDArray[np.uint8], invalid: NDArray[np.uint8]) -> float:
    """Distance of the mean colours on both sides of a mask's border.

    Args:
        image_rgb: uint8 (H, W, 3), RGB: the result.
        mask: uint8 (H, W), 0 or 1: the hard mask.
        invalid: uint8 (H, W), 0 or 1: what the outside leaves out.

    Returns:
        Grey levels, >= 0, of the channel that differs most; 0 where there is nothing to compare.

    Example:
        >>> import numpy as np
        >>> image = np.full((16, 16, 3), 100, np.uint8); mask = np.zeros((16, 16), np.uint8)
        >>> mask[6:10, 6:10] = 1
        >>> image[mask > 0, 0] = 108
        >>> colour_drift(image, mask, mask)
        8.0
    """
    outside = ring(mask.astype(np.float32), invalid, _RIM_PX)
    inside = mask * dilate(1 - mask, _RIM_PX)
    if not inside.any() or not outside.any():
        return 0.0
    means = [image_rgb[part > 0].astype(np.float64).mean(axis=0) for part in (inside, outside)]
    return float(np.abs(means[0] - means[1]).max())
