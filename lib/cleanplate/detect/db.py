"""Post-processing of differentiable binarisation: from a probability map to lines of text (Liao et al., AAAI 2020)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.records import Box

_UNCLIP_RATIO = 1.6  # the network marks the shrunk kernel of a line; this gives back its outline
_MOST_LINES = 1000


@dataclass(frozen=True)
class Line:
    """A line of text: corners float32 (4, 2) in x, y, clockwise; its box; height across the reading direction."""

    polygon: NDArray[np.float32]
    box: Box
    height_px: float
    score: float


def lines(confidence: NDArray[np.float32], threshold: float, box_score: float, min_side_px: int) -> list[Line]:
    """Finds the lines in a probability map.

    Args:
        confidence: float32 (H, W), 0..1.
        threshold: probability from which a pixel belongs to a line.
        box_score: mean probability inside a line's rectangle under which it is dropped.
        min_side_px: lines whose kernel is thinner are dropped.

    Returns:
        The lines, top to bottom.
    """
    bitmap = cv2.dilate((confidence > threshold).astype(np.uint8), np.ones((2, 2), np.uint8))
    contours, _ = cv2.findContours(bitmap, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    found = [_line(contour, confidence, box_score, min_side_px) for contour in contours[:_MOST_LINES]]
    return sorted((line for line in found if line is not None), key=lambda line: (line.box.top, line.box.left))


def inside(polygon: NDArray[np.float32], box: Box) -> NDArray[np.float32]:
    """float32 (box.height, box.width), 1 inside the polygon, 0 elsewhere."""
    mask = np.zeros((box.height, box.width), np.uint8)
    cv2.fillPoly(mask, [np.round(polygon - (box.left, box.top)).astype(np.int32)], 1)
    return mask.astype(np.float32)


def _line(
    contour: NDArray[Any], confidence: NDArray[np.float32], box_score: float, min_side_px: int
) -> Line | None:
    kernel = cv2.minAreaRect(contour)
    if min(kernel[1]) < min_side_px:
        return None
    score = _mean_inside(confidence, cv2.boxPoints(kernel))
    if score < box_score:
        return None
    centre, sides, angle = _unclip(kernel)
    polygon = cv2.boxPoints((centre, sides, angle)).astype(np.float32)
    left, top = np.floor(polygon.min(axis=0)).astype(int)
    right, bottom = np.ceil(polygon.max(axis=0)).astype(int) + 1
    return Line(polygon, Box(int(left), int(top), int(right), int(bottom)), float(min(sides)), score)


def _unclip(
    rectangle: tuple[Sequence[float], Sequence[float], float],
) -> tuple[Sequence[float], Sequence[float], float]:
    """Grows a rotated rectangle by area * ratio / perimeter on each side."""
    centre, (width, height), angle = rectangle
    distance = width * height * _UNCLIP_RATIO / (2 * (width + height))
    return centre, (width + 2 * distance, height + 2 * distance), angle


def _mean_inside(confidence: NDArray[np.float32], polygon: NDArray[Any]) -> float:
    height, width = confidence.shape
    left, top = (max(0, math.floor(value)) for value in polygon.min(axis=0))
    right, bottom = (math.ceil(value) + 1 for value in polygon.max(axis=0))
    box = Box(int(left), int(top), int(right), int(bottom)).clip(width, height)
    if not box.area_px:
        return 0.0
    return float(cv2.mean(confidence[box.slices], inside(polygon, box).astype(np.uint8))[0])
