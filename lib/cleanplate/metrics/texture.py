"""Texture ratio: whether a fill is as rough as its surroundings."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.ring import ring

_RING_PX = 8
_FLOOR = 0.75  # grey levels of detail that rounding alone makes


def texture_ratio(image_rgb: NDArray[np.uint8], mask: NDArray[np.uint8], invalid: NDArray[np.uint8]) -> float:
    """Detail inside the mask over detail in the ring around it.

    Detail is the mean absolute difference to a 5x5 mean.

    Args:
        image_rgb: uint8 (H, W, 3), RGB: the result.
        mask: uint8 (H, W), 0 or 1: the hard mask.
        invalid: uint8 (H, W), 0 or 1: what the ring leaves out.

    Returns:
        > 0; 1 = alike, below 1 = the fill is smoother. 1 where there is nothing to compare.

    Example:
        >>> import numpy as np
        >>> mask = np.zeros((16, 16), np.uint8); mask[6:10, 6:10] = 1
        >>> texture_ratio(np.full((16, 16, 3), 100, np.uint8), mask, mask)
        1.0
    """
    around = ring(mask.astype(np.float32), invalid, _RING_PX)
    if not mask.any() or not around.any():
        return 1.0
    values = image_rgb.astype(np.float32)
    detail = np.abs(values - cv2.blur(values, (5, 5)))
    inside, outside = float(detail[mask > 0].mean()), float(detail[around > 0].mean())
    return (inside + _FLOOR) / (outside + _FLOOR)
