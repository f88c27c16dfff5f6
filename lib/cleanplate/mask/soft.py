"""Soft masks from hard ones: dilation, outward feather, cutting to size."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.records import Box

_REACH_SIGMA = 2.5  # beyond this many sigmas the feather is cut to 0


def feather(hard: NDArray[np.uint8], sigma_px: float) -> NDArray[np.float32]:
    """Alpha 1 on the mask, falling outward as a Gaussian of the distance to it.

    Args:
        hard: uint8 (H, W), 0 or 1.
        sigma_px: of the Gaussian; 0 leaves the edge hard.

    Returns:
        float32 (H, W), 0..1.
    """
    if sigma_px <= 0 or not hard.any():
        return hard.astype(np.float32)
    distance = cv2.distanceTransform(1 - hard, cv2.DIST_L2, cv2.DIST_MASK_5)
    alpha = np.exp(-0.5 * np.square(distance / sigma_px))
    return np.where(distance > _REACH_SIGMA * sigma_px, 0, alpha).astype(np.float32)


def reach_px(sigma_px: float) -> int:
    """How far a feather goes beyond its mask."""
    return int(np.ceil(_REACH_SIGMA * sigma_px)) if sigma_px > 0 else 0


def trim(alpha: NDArray[np.float32], box: Box) -> tuple[NDArray[np.float32], Box] | None:
    """Cuts alpha and its box to where alpha > 0; None where it is nowhere."""
    rows, columns = np.flatnonzero(alpha.any(axis=1)), np.flatnonzero(alpha.any(axis=0))
    if len(rows) == 0:
        return None
    top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    tight = Box(box.left + left, box.top + top, box.left + right, box.top + bottom)
    return alpha[top:bottom, left:right], tight


def place(values: NDArray[np.float32], box: Box, into: Box) -> NDArray[np.float32]:
    """Moves a part of a picture into another window; what lies outside `box` is 0, outside `into` is lost."""
    out = np.zeros((into.height, into.width), np.float32)
    left, top = max(box.left, into.left), max(box.top, into.top)
    right, bottom = min(box.right, into.right), min(box.bottom, into.bottom)
    if left < right and top < bottom:
        source = values[top - box.top : bottom - box.top, left - box.left : right - box.left]
        out[top - into.top : bottom - into.top, left - into.left : right - into.left] = source
    return out
