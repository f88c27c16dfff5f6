"""The ring: the valid pixels just outside a mask, which say what the hole should look like."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

_Mask = TypeVar("_Mask", NDArray[np.uint8], NDArray[np.float32])
_FEWEST_PX = 8
_TRIM = 2.5  # deviations (of the median absolute deviation's sigma) beyond which a pixel does not count in a fit
_MAD_TO_SIGMA = 1.4826
_MOST_SAMPLES = 4096


@dataclass(frozen=True)
class Plane:
    """A robust linear model of colour over place: colour = base + x * slope_x + y * slope_y.

    Attributes:
        coefficients: float64 (3, 3): rows base, slope over x, slope over y; columns R, G, B.
        spread: robust standard deviation of the samples around it, grey levels, largest of the channels.
        raw_spread: the same around the median colour alone.
        count: how many pixels were looked at.
    """

    coefficients: NDArray[np.float64]
    spread: float
    raw_spread: float
    count: int

    def render(self, height: int, width: int) -> NDArray[np.float32]:
        """float32 (height, width, 3): the model's colours."""
        rows = np.arange(height, dtype=np.float32)[:, None, None] * self.coefficients[2].astype(np.float32)
        columns = np.arange(width, dtype=np.float32)[None, :, None] * self.coefficients[1].astype(np.float32)
        return self.coefficients[0].astype(np.float32) + columns + rows


def dilate(mask: _Mask, radius_px: int) -> _Mask:
    """Grows a mask, uint8 or float32 (H, W), by a disc: each pixel becomes the largest within `radius_px`."""
    if radius_px <= 0:
        return mask
    return np.asarray(cv2.dilate(mask, _disc(radius_px)), dtype=mask.dtype)


@lru_cache(maxsize=64)
def _disc(radius_px: int) -> NDArray[np.uint8]:
    size = 2 * radius_px + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)), np.uint8)


def ring(alpha: NDArray[np.float32], invalid: NDArray[np.uint8], ring_px: int) -> NDArray[np.uint8]:
    """The pixels within `ring_px` of a soft mask that belong neither to it nor to another region's core.

    Args:
        alpha: float32 (H, W), 0..1.
        invalid: uint8 (H, W), 0 or 1.
        ring_px: width in pixels.

    Returns:
        uint8 (H, W), 0 or 1. Where the mask leaves no such pixel nearby, every valid pixel of the crop.
    """
    used = (alpha > 0).astype(np.uint8)
    free = (1 - used) * (1 - invalid)
    near = dilate(used, ring_px) * free
    return near if int(near.sum()) >= _FEWEST_PX else free


def fit_plane(crop: NDArray[np.uint8], where: NDArray[np.uint8]) -> Plane:
    """Fits a plane per channel by trimmed least squares.

    Args:
        crop: uint8 (H, W, 3), RGB.
        where: uint8 (H, W), 1 for the pixels that count; where none does, the plane is the crop's mean grey.
    """
    rows, columns = np.nonzero(where)
    if len(rows) == 0:
        return Plane(np.array([[128.0] * 3, [0.0] * 3, [0.0] * 3]), 255.0, 255.0, 0)
    step = max(1, len(rows) // _MOST_SAMPLES)
    rows, columns = rows[::step], columns[::step]
    colours = crop[rows, columns].astype(np.float64)
    median = np.median(colours, axis=0)
    raw_spread = _spread(colours - median)
    if len(rows) < _FEWEST_PX:
        return Plane(np.vstack([median, np.zeros((2, 3))]), raw_spread, raw_spread, len(rows))
    terms = np.stack([np.ones(len(rows)), columns.astype(np.float64), rows.astype(np.float64)], axis=1)
    coefficients = _trimmed_fit(terms, colours, median)
    return Plane(coefficients, _spread(colours - terms @ coefficients), raw_spread, len(rows))


def noise_sigma(crop: NDArray[np.uint8] | NDArray[np.float32], where: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Noise per channel: robust deviation of a second-difference high-pass (Immerkaer, CVIU 1996, with the MAD).

    Args:
        crop: uint8 or float32 (H, W, 3), RGB, grey levels.
        where: uint8 (H, W), 1 for the pixels that count; the filter's 3x3 support must lie in it too.

    Returns:
        float64 (3,): sigma in grey levels; zeros where too few pixels count.
    """
    support = cv2.erode(where, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    if int(support.sum()) < _FEWEST_PX:
        support = where
    if int(support.sum()) < _FEWEST_PX:
        return np.zeros(3)
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    high = cv2.filter2D(crop.astype(np.float32), -1, kernel, borderType=cv2.BORDER_REFLECT_101)[support > 0]
    return np.asarray(_MAD_TO_SIGMA * np.median(np.abs(high), axis=0) / 6.0, dtype=np.float64)


def _trimmed_fit(
    terms: NDArray[np.float64], colours: NDArray[np.float64], median: NDArray[np.float64]
) -> NDArray[np.float64]:
    coefficients = np.linalg.lstsq(terms, colours, rcond=None)[0]
    for _ in range(2):
        residual = np.abs(colours - terms @ coefficients).max(axis=1)
        limit = _TRIM * max(_MAD_TO_SIGMA * float(np.median(residual)), 1.0)
        kept = residual <= limit
        if kept.sum() < _FEWEST_PX:
            break
        coefficients = np.linalg.lstsq(terms[kept], colours[kept], rcond=None)[0]
    if not np.all(np.isfinite(coefficients)):
        return np.vstack([median, np.zeros((2, 3))])
    return np.asarray(coefficients)


def _spread(residual: NDArray[np.float64]) -> float:
    """Grey levels: the 16th to 84th percentile's half width is a standard deviation where the spread is normal."""
    low, high = np.percentile(residual, [16, 84], axis=0)
    return float(np.max(high - low) / 2)
