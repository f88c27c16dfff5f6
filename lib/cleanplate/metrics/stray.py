"""Stray pixels: whether a fill has colours that nothing around it leads one to expect."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.fill.pde import diffuse
from cleanplate.records import Box
from cleanplate.ring import dilate

_RING_PX, _RIM_PX = 12, 2  # what is compared with: so wide, and so far from the mask
_QUANTILE = 0.98  # of the pixels: a bit of a letter is a small share of its mask
_GRAIN_PX = 1.0  # sigma of the blur under which grain is no colour of its own
_GROUND_PX = 6.0  # and of the one whose result the surroundings are expected to be
_FLOOR = 4.0  # grey levels that say nothing


def stray_pixels(image_rgb: NDArray[np.uint8], mask: NDArray[np.uint8], invalid: NDArray[np.uint8]) -> float:
    """How far a fill is off a smooth continuation of its surroundings, over how far these are off their own mean.

    On flat ground a bit of a letter, or a piece that an exemplar brought from elsewhere, stands out by far, though it
    is too small to count in the means of other signals. Where the surroundings are full of detail, much may be right.

    Args:
        image_rgb: uint8 (H, W, 3), RGB: the result.
        mask: uint8 (H, W), 0 or 1: the hard mask.
        invalid: uint8 (H, W), 0 or 1: what the surroundings leave out.

    Returns:
        >= 0, about 1 for a fill as lively as its surroundings; 0 where there is nothing to compare.

    Example:
        >>> import numpy as np
        >>> image = np.full((48, 48, 3), 100, np.uint8); mask = np.zeros((48, 48), np.uint8)
        >>> mask[16:32, 16:32] = 1
        >>> stray_pixels(image, mask, mask) < 1
        True
        >>> image[22:25, 20:28] = 180
        >>> stray_pixels(image, mask, mask) > 10
        True
    """
    if not mask.any():
        return 0.0
    part = Box.around(dilate(mask, _RING_PX)).slices
    picture, own, hole = np.ascontiguousarray(image_rgb[part]), mask[part] > 0, (mask | invalid)[part]
    around = (dilate(mask[part], _RING_PX) > 0) & (dilate(hole, _RIM_PX) == 0)
    if not around.any():
        return 0.0
    smooth = cv2.GaussianBlur(picture, (0, 0), _GRAIN_PX).astype(np.float32)
    expected = cv2.GaussianBlur(diffuse(picture, hole, "telea"), (0, 0), _GRAIN_PX).astype(np.float32)
    weight = cv2.GaussianBlur(around.astype(np.float32), (0, 0), _GROUND_PX)[..., None]
    ground = cv2.GaussianBlur(smooth * around[..., None], (0, 0), _GROUND_PX) / np.maximum(weight, 1e-3)
    inside, outside = (
        float(np.quantile(np.abs(smooth - plain).max(axis=2)[where], _QUANTILE))
        for plain, where in ((expected, own), (ground, around))
    )
    return inside / (outside + _FLOOR)
