"""The colours of letters: those that a text region has more of than its surroundings."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_LEVELS = 16  # bins per channel
_MOST_COLOURS = 3  # fill, outline, shadow
_LEAST_MASS = 0.04  # of the region's pixels: fainter colours are chance
_REACH_BINS = 1  # neighbouring bins that belong to a peak


def text_colours(
    crop: NDArray[np.uint8], inside: NDArray[np.uint8], outside: NDArray[np.uint8]
) -> list[NDArray[np.float32]]:
    """Peaks of the colour histogram inside less the one outside, strongest first.

    Args:
        crop: uint8 (H, W, 3), RGB.
        inside: uint8 (H, W), 1 where text is.
        outside: uint8 (H, W), 1 where only background is.

    Returns:
        Up to three float32 (3,) colours; none where inside and outside are alike.
    """
    bins = (crop >> 4).astype(np.int32)
    index = (bins[:, :, 0] * _LEVELS + bins[:, :, 1]) * _LEVELS + bins[:, :, 2]
    excess = _smooth(_histogram(index[inside > 0]) - _histogram(index[outside > 0]))
    own_index, own = index[inside > 0], crop[inside > 0]
    found: list[NDArray[np.float32]] = []
    for _ in range(_MOST_COLOURS):
        peak = np.unravel_index(int(np.argmax(excess)), excess.shape)
        block = tuple(slice(max(0, int(i) - _REACH_BINS), int(i) + _REACH_BINS + 1) for i in peak)
        if float(np.clip(excess[block], 0, None).sum()) < _LEAST_MASS:
            break
        members = _members(own_index, peak)
        found.append(own[members].mean(axis=0).astype(np.float32))
        excess[block] = 0
    return found


def _histogram(index: NDArray[np.int32]) -> NDArray[np.float32]:
    counts = np.bincount(index, minlength=_LEVELS**3).astype(np.float32).reshape((_LEVELS,) * 3)
    return counts / max(1, len(index))


def _smooth(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Binomial over the three axes, so that a colour on the border of two bins is one peak."""
    for axis in range(3):
        moved = np.moveaxis(values, axis, 0).reshape(_LEVELS, -1)
        kernel = np.array([0.25, 0.5, 0.25], np.float32).reshape(3, 1)
        blurred = cv2.filter2D(moved, -1, kernel, borderType=cv2.BORDER_REPLICATE)
        values = np.moveaxis(np.asarray(blurred).reshape((_LEVELS,) * 3), 0, axis)
    return np.ascontiguousarray(values, dtype=np.float32)


def _members(index: NDArray[np.int32], peak: tuple[np.intp, ...]) -> NDArray[np.bool_]:
    red, rest = np.divmod(index, _LEVELS**2)
    green, blue = np.divmod(rest, _LEVELS)
    near = [np.abs(channel - int(centre)) <= _REACH_BINS for channel, centre in zip((red, green, blue), peak, strict=True)]
    members = near[0] & near[1] & near[2]
    return members if members.any() else np.ones(len(index), bool)
