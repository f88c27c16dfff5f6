"""How good a picture looks when there is nothing to compare it with: blur, noise and block edges, in one score."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.metrics.blur import blur_px

_BLOCK_PX = 8
_GRAIN = 2.0  # grey levels that fine texture measures, and grain that nobody minds
_SHARP_PX = 0.5  # what a sharp photograph measures
_CALM = 10  # percentile of blocks by their high frequencies: where texture does not count as noise
_NOISE_BLOCK_PX = 16
_BLUR_WEIGHT, _NOISE_WEIGHT, _BLOCK_WEIGHT = 0.8, 0.05, 1.1


def no_reference(image_rgb: NDArray[np.uint8]) -> float:
    """A score of 0 (worst) to 100, which falls with each defect (noise hides blur: of both, it sees the noise).

    score = 100 exp(-(0.8 b + 0.05 n + 1.1 k)), with b the blur in pixels beyond 0.5 (see `blur_px`), n the noise in
    grey levels of the calmest blocks beyond 2, and k how much stronger luma changes across the edges of 8x8 blocks than
    within them, as a share, at the offset of the grid where that is largest.

    Args:
        image_rgb: uint8 (H, W, 3), RGB.

    Example:
        >>> import numpy as np
        >>> no_reference(np.full((16, 16, 3), 90, np.uint8))
        100.0
    """
    blur = max(0.0, blur_px(image_rgb) - _SHARP_PX)
    noise = max(0.0, _calm_noise(image_rgb) - _GRAIN)
    penalty = _BLUR_WEIGHT * blur + _NOISE_WEIGHT * noise + _BLOCK_WEIGHT * blockiness(image_rgb)
    return 100 * math.exp(-penalty)


def _calm_noise(image_rgb: NDArray[np.uint8]) -> float:
    """Standard deviation by a second-difference high-pass (Immerkaer, CVIU 1996), mean of the channels."""
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    high = np.abs(cv2.filter2D(image_rgb, cv2.CV_32F, kernel, borderType=cv2.BORDER_REFLECT_101)).mean(axis=2)
    size = (max(1, high.shape[1] // _NOISE_BLOCK_PX), max(1, high.shape[0] // _NOISE_BLOCK_PX))
    blocks = cv2.resize(high, size, interpolation=cv2.INTER_AREA)
    return float(np.percentile(blocks, _CALM) * np.sqrt(np.pi / 2) / 6)


def blockiness(image_rgb: NDArray[np.uint8]) -> float:
    """Excess of luma's second differences at block edges over those within blocks, as a share; 0 where there is none.

    A block edge is a step between two smooth sides, so it is held against the mean of its neighbours' steps.

    Args:
        image_rgb: uint8 (H, W, 3), RGB.
    """
    luma = cv2.cvtColor(image_rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return (_excess(luma) + _excess(luma.T)) / 2


def _excess(luma: NDArray[np.float32]) -> float:
    """Along rows."""
    if luma.shape[1] < 3 * _BLOCK_PX:
        return 0.0
    steps = np.abs(np.diff(luma, axis=1))
    excess = np.maximum(0, steps[:, 1:-1] - (steps[:, :-2] + steps[:, 2:]) / 2).mean(axis=0)
    by_phase = np.array([excess[phase::_BLOCK_PX].mean() for phase in range(_BLOCK_PX)])
    within = float(np.median(by_phase))
    return max(0.0, float(by_phase.max()) - within) / (within + 0.5)
