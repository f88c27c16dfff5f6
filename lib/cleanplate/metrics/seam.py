"""Seam error: whether the border of a fill shows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cleanplate.ring import ring

_RING_PX = 8
_FLOOR = 2.0  # grey levels: steps below it are invisible, so they are no basis for a ratio
_CLEAR = 90.0  # percentile of the steps that is compared: a seam is a line of large steps


def seam_error(image_rgb: NDArray[np.uint8], mask: NDArray[np.uint8], invalid: NDArray[np.uint8]) -> float:
    """How much larger the steps across a mask's border are than those in the ring around it.

    Args:
        image_rgb: uint8 (H, W, 3), RGB: the result.
        mask: uint8 (H, W), 0 or 1: the hard mask.
        invalid: uint8 (H, W), 0 or 1: what the ring leaves out.

    Returns:
        Ratio of the 90th percentiles of the steps between neighbours, >= 0; 1 and less is invisible; 0 where the mask
        has no border.

    Example:
        >>> import numpy as np
        >>> image = np.full((16, 16, 3), 100, np.uint8); mask = np.zeros((16, 16), np.uint8)
        >>> mask[6:10, 6:10] = 1
        >>> seam_error(image, mask, mask)
        0.0
        >>> image[mask > 0] = 140
        >>> seam_error(image, mask, mask)
        20.0
    """
    around = ring(mask.astype(np.float32), invalid, _RING_PX)
    across, beside = [], []
    for axis in (0, 1):
        steps = np.abs(np.diff(image_rgb.astype(np.int16), axis=axis)).max(axis=2)
        first, second = _halves(mask, axis)
        across.append(steps[first != second])
        first, second = _halves(around, axis)
        beside.append(steps[(first > 0) & (second > 0)])
    border, reference = np.concatenate(across), np.concatenate(beside)
    if len(border) == 0:
        return 0.0
    usual = float(np.percentile(reference, _CLEAR)) if len(reference) else 0.0
    return float(np.percentile(border, _CLEAR)) / max(usual, _FLOOR)


def _halves(values: NDArray[np.uint8], axis: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    return (values[:-1], values[1:]) if axis == 0 else (values[:, :-1], values[:, 1:])
