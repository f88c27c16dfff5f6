"""Soft masks from hard ones: an outward feather."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

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
