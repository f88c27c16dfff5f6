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
        one, other = _halves(mask, axis)
        across.append(_steps(image_rgb, one != other, axis))
        one, other = _halves(around, axis)
        beside.append(_steps(image_rgb, (one > 0) & (other > 0), axis))
    border, reference = np.concatenate(across), np.concatenate(beside)
    if len(border) == 0:
        return 0.0
    usual = float(np.percentile(reference, _CLEAR)) if len(reference) else 0.0
    return float(np.percentile(border, _CLEAR)) / max(usual, _FLOOR)


def _steps(image_rgb: NDArray[np.uint8], pairs: NDArray[np.bool_], axis: int) -> NDArray[np.int16]:
    """The largest difference of the channels for each pair of neighbours."""
    one, other = (half[pairs].astype(np.int16) for half in _halves(image_rgb, axis))
    return np.asarray(np.abs(one - other).max(axis=1, initial=0), dtype=np.int16)


def _halves(values: NDArray[np.uint8], axis: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    return (values[:-1], values[1:]) if axis == 0 else (values[:, :-1], values[:, 1:])
