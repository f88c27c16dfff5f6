"""How far a mask of strokes is dilated: by the width of its strokes, less in dense texture, more on flat ground."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.config import MaskConfig
from cleanplate.ring import dilate

_RING_PX = (2, 6)  # beyond the strokes: outside their anti-aliased rims, still the same ground
_FLAT, _DENSE = 2.0, 12.0  # grey levels of detail at which the factor is largest and smallest
_MOST, _LEAST = 1.5, 0.5
MIDDLING = (_FLAT + _DENSE) / 2  # where the factor is 1


def stroke_width_px(hard: NDArray[np.uint8]) -> float:
    """Mean width of strokes: twice their area over the length of their outline.

    Args:
        hard: uint8 (H, W), 0 or 1.

    Returns:
        Pixels; 0.0 for an empty mask.
    """
    contours, _ = cv2.findContours(hard, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    # Contours run through the outermost pixels: each is half a pixel short of the edge on either side.
    length = sum(max(4.0, cv2.arcLength(contour, True)) for contour in contours)
    return 2.0 * float(hard.sum()) / length if length else 0.0


def texture_level(crop: NDArray[np.uint8], hard: NDArray[np.uint8], taken: NDArray[np.uint8]) -> float:
    """Detail of the ground around strokes: the median magnitude of the Laplacian in a ring, grey levels.

    Args:
        crop: uint8 (H, W, 3), RGB.
        hard: uint8 (H, W), 1 on the strokes.
        taken: uint8 (H, W), 1 where other text is: no ground.
    """
    ring = dilate(hard, _RING_PX[1]) * (1 - dilate(hard, _RING_PX[0])) * (1 - taken)
    if not ring.any():
        return _FLAT
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    return float(np.median(np.abs(cv2.Laplacian(grey, cv2.CV_32F))[ring > 0]))


def dilation_px(width_px: float, texture: float, config: MaskConfig) -> int:
    """Radius of the dilation.

    Args:
        width_px: of the strokes.
        texture: see `texture_level`.
        config: the section "mask".
    """
    share = np.clip((texture - _FLAT) / (_DENSE - _FLAT), 0, 1)
    factor = _MOST + (_LEAST - _MOST) * float(share)
    radius = round(config.dilation_share * width_px * factor)
    return int(min(max(radius, config.min_dilation_px), config.max_dilation_px))
