"""Finds the strokes of letters inside a text region by their contrast with the local background."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_STROKE_SHARE = 0.45  # of the line's height: wider than any stroke, so that opening and closing erase strokes
_LEAST_CONTRAST = 12.0  # grey levels; fainter strokes cannot be told from texture
_MOST_SHARE = 0.7  # of the region: more is no set of strokes
_WEAK = 0.25  # of the strokes' contrast: down to here a pixel beside a stroke belongs to it
_WEAK_LEAST = 4.0  # grey levels
_GROW_PX = 2  # how far rims, outlines and ringing reach beyond a stroke


def segment(
    crop: NDArray[np.uint8], gate: NDArray[np.uint8], height_px: float
) -> NDArray[np.uint8] | None:
    """Segments strokes of either polarity, outlines included.

    Args:
        crop: uint8 (H, W, 3), RGB: the region with some surroundings.
        gate: uint8 (H, W), 1 where the detector saw text.
        height_px: height of the line.

    Returns:
        uint8 (H, W), 1 on every pixel that a stroke influences; None where there are no clear strokes.
    """
    if not gate.any():
        return None
    bright, dark = responses(crop, height_px)
    outside = 1 - gate
    parts = [_polarity(response, gate, outside) for response in (bright, dark)]
    found = [part for part in parts if part is not None]
    if not found:
        return None
    best = max(contrast for _, contrast in found)
    strokes = np.zeros_like(gate)
    for mask, contrast in found:
        if contrast >= 0.4 * best:
            strokes |= mask
    if strokes.sum() > _MOST_SHARE * gate.sum():
        return None
    return strokes


def responses(crop: NDArray[np.uint8], height_px: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """How much brighter, and how much darker, a pixel is than the background around it (white and black top-hat).

    Returns:
        Two float32 (H, W), grey levels >= 0: the largest difference of the three channels.
    """
    size = max(3, round(height_px * _STROKE_SHARE)) | 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    bright = cv2.morphologyEx(crop, cv2.MORPH_TOPHAT, kernel)
    dark = cv2.morphologyEx(crop, cv2.MORPH_BLACKHAT, kernel)
    return bright.max(axis=2).astype(np.float32), dark.max(axis=2).astype(np.float32)


def _polarity(
    response: NDArray[np.float32], gate: NDArray[np.uint8], outside: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], float] | None:
    inside = response[gate > 0]
    threshold = _otsu(inside)
    strong_values = inside[inside > threshold]
    if len(strong_values) == 0:
        return None
    contrast = float(np.median(strong_values))
    background = float(np.percentile(response[outside > 0], 90)) if outside.any() else 0.0
    if contrast < _LEAST_CONTRAST or contrast < 1.5 * background:
        return None
    strong = ((response > threshold) & (gate > 0)).astype(np.uint8)
    weak = (response > max(_WEAK_LEAST, _WEAK * contrast)).astype(np.uint8)
    return _grow(strong, weak, _GROW_PX), contrast


def _grow(strong: NDArray[np.uint8], weak: NDArray[np.uint8], steps: int) -> NDArray[np.uint8]:
    """Hysteresis: weak pixels join where a chain of at most `steps` weak pixels leads to a strong one."""
    grown = strong
    for _ in range(steps):
        grown = np.asarray(cv2.dilate(grown, np.ones((3, 3), np.uint8)), dtype=np.uint8) & (weak | strong)
    return grown | strong


def _otsu(values: NDArray[np.float32]) -> float:
    scaled = np.clip(values, 0, 255).astype(np.uint8).reshape(-1, 1)
    return float(cv2.threshold(scaled, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)[0])
