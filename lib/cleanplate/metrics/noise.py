"""Noise: its level in a part of a picture, and the ratio between two parts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cleanplate.ring import noise_sigma, ring

_RING_PX = 8
_FLOOR = 0.5  # grey levels: rounding


def noise_level(image_rgb: NDArray[np.uint8], mask: NDArray[np.uint8] | None = None) -> float:
    """Standard deviation of the noise, mean of the channels, grey levels (Immerkaer, CVIU 1996, with the MAD).

    Args:
        image_rgb: uint8 (H, W, 3), RGB.
        mask: uint8 (H, W): only pixels where it is 1 count; None = all.

    Example:
        >>> import numpy as np
        >>> noise_level(np.full((8, 8, 3), 7, np.uint8))
        0.0
    """
    where = np.ones(image_rgb.shape[:2], np.uint8) if mask is None else (mask > 0).astype(np.uint8)
    return float(noise_sigma(image_rgb, where).mean())


def noise_ratio(image_rgb: NDArray[np.uint8], mask: NDArray[np.uint8], invalid: NDArray[np.uint8]) -> float:
    """Noise inside a mask over noise in the ring around it; 1 = alike, below 1 = the fill is too clean.

    Args:
        image_rgb: uint8 (H, W, 3), RGB: the result.
        mask: uint8 (H, W), 0 or 1.
        invalid: uint8 (H, W), 0 or 1: what the ring leaves out.
    """
    around = ring(mask.astype(np.float32), invalid, _RING_PX)
    return (noise_level(image_rgb, mask) + _FLOOR) / (noise_level(image_rgb, around) + _FLOOR)
