"""Blur: how soft the sharpest edges of a picture are."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_REBLUR_PX = 1.0
_STRONG = 90  # percentile of gradients that count as edges
_STRONGEST = 99.5  # percentile that they must reach half of: what is out of focus is weaker
_LEAST_GRADIENT = 6.0  # grey levels per pixel; less is no edge
_EDGES = 25  # percentile of the ratio: thin lines and texture lose more to a blur than edges do, so look sharper
_LEAST_BLUR_PX, _MOST_BLUR_PX = 0.2, 5.0
_DIFFERENCE_VARIANCE = 1 / 3  # square pixels: a central difference is itself a box of two pixels


def blur_px(image_rgb: NDArray[np.uint8]) -> float:
    """Deviation of the Gaussian that the sharpest strong edges look blurred by.

    Each edge's gradient is compared with its gradient after a further known blur (Zhuo and Sim, Pattern Recognition
    44(9), 2011).

    Args:
        image_rgb: uint8 (H, W, 3), RGB.

    Returns:
        Pixels, 0.2 (a step between two pixels) to 5; 0 where the picture has no edge.

    Example:
        >>> import numpy as np
        >>> blur_px(np.full((16, 16, 3), 90, np.uint8))
        0.0
    """
    luma: NDArray[np.float32] = cv2.cvtColor(image_rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    blurred = np.asarray(cv2.GaussianBlur(luma, (0, 0), _REBLUR_PX), dtype=np.float32)
    sharp, soft = _gradient(luma), _gradient(blurred)
    strong, strongest = np.percentile(sharp, [_STRONG, _STRONGEST])
    limit = max(float(strong), float(strongest) / 2, _LEAST_GRADIENT)
    edges = (sharp >= limit) & (sharp >= cv2.dilate(sharp, np.ones((3, 3), np.uint8)))
    if not edges.any():
        return 0.0
    ratio = float(np.percentile(sharp[edges] / np.maximum(soft[edges], 1e-3), _EDGES))
    variance = _REBLUR_PX**2 / max(ratio**2 - 1, 1e-6) - _DIFFERENCE_VARIANCE
    return float(np.clip(np.sqrt(max(variance, 0.0)), _LEAST_BLUR_PX, _MOST_BLUR_PX))


def _gradient(luma: NDArray[np.float32]) -> NDArray[np.float32]:
    across, down = (cv2.Sobel(luma, cv2.CV_32F, x, 1 - x, ksize=3, scale=0.125) for x in (1, 0))
    return np.asarray(np.hypot(across, down), dtype=np.float32)
