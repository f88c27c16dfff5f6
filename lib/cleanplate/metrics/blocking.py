"""Blocking: how clearly JPEG's blocks of 8x8 pixels show in a part of a picture."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_BLOCK_PX = 8
_FLOOR = 0.5  # grey levels
_FEWEST = 64  # pairs of neighbours on a grid line


def blocking(image_rgb: NDArray[np.uint8], where: NDArray[np.uint8]) -> float:
    """Steps across the grid of blocks over the steps inside them, of the grid position where that is largest.

    After Wang, Bovik and Evans, "Blind measurement of blocking artifacts in images" (ICIP 2000), by places instead of
    the spectrum, so that a part of a picture whose grid starts anywhere can be measured.

    Args:
        image_rgb: uint8 (H, W, 3), RGB.
        where: uint8 (H, W), 1 for the pixels that count.

    Returns:
        About 1 = no blocks; 1.5 and more = heavily compressed. 1 where there is too little to tell.

    Example:
        >>> import numpy as np
        >>> blocks = np.random.default_rng(0).integers(60, 200, (8, 8, 3)).astype(np.uint8)
        >>> blocking(blocks.repeat(8, 0).repeat(8, 1), np.ones((64, 64), np.uint8)) > 5
        True
    """
    grey = cv2.cvtColor(image_rgb, cv2.COLOR_RGB2GRAY).astype(np.int16)
    ratios = [_along(grey, where, axis) for axis in (0, 1)]
    return float(np.sqrt(ratios[0] * ratios[1]))


def _along(grey: NDArray[np.int16], where: NDArray[np.uint8], axis: int) -> float:
    values, known = (part if axis == 0 else part.T for part in (grey, where))
    step = np.abs(values[1:] - values[:-1]).astype(np.float32)
    pairs = (known[1:] * known[:-1]).astype(np.float32)
    sums, counts = (step * pairs).sum(axis=1), pairs.sum(axis=1)
    phases = np.arange(len(sums)) % _BLOCK_PX
    total = np.array([sums[phases == p].sum() for p in range(_BLOCK_PX)])
    count = np.array([counts[phases == p].sum() for p in range(_BLOCK_PX)])
    if count.min() < _FEWEST:
        return 1.0
    means = total / count
    best = int(np.argmax(means))
    others = (total.sum() - total[best]) / (count.sum() - count[best])
    return float((means[best] + _FLOOR) / (others + _FLOOR))
