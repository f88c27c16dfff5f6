"""Where a user says that an object is: a box, a point or a rough brush, in the window that is looked at."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.records import Box
from cleanplate.ring import dilate

_RIM_SHARE = 0.06  # of a box's sides: its rim is more likely background
_BRUSH_REACH = 0.25  # of a brush's longer side: how far the object may reach beyond it
_POINT_REACH = 0.22  # of the picture's shorter side, around a point
_POINT_TOLERANCE = 18.0  # grey levels of a smoothed picture that still count as the point's own surface


@dataclass(frozen=True)
class Hint:
    """Where an object is, in a window of a picture.

    Attributes:
        sure: uint8 (H, W), 1 where the object is for sure.
        maybe: uint8 (H, W), 1 where it may be; elsewhere it is not.
        likely: uint8 (H, W), 1 where it is more likely than not.
        box: what was pointed at, in the window; of a point a single pixel.
    """

    sure: NDArray[np.uint8]
    maybe: NDArray[np.uint8]
    likely: NDArray[np.uint8]
    box: Box


def hint_of_box(box: Box, window: Box) -> Hint:
    """The object fills most of a box and does not leave it."""
    maybe = _filled(box, window)
    rim = max(1, round(_RIM_SHARE * min(box.width, box.height)))
    inner = Box(box.left + rim, box.top + rim, box.right - rim, box.bottom - rim)
    likely = _filled(inner if inner.area_px else box, window)
    return Hint(np.zeros_like(maybe), maybe, likely, box.moved(-window.left, -window.top))


def hint_of_brush(brush: NDArray[np.uint8]) -> Hint:
    """The object is where the brush went, more or less, and a little beyond.

    Args:
        brush: uint8 (H, W), 0 or 1, in the window.
    """
    box = Box.around(brush)
    extent = max(box.width, box.height)
    core = cv2.erode(brush, np.ones((3, 3), np.uint8), iterations=max(1, round(0.08 * extent)))
    return Hint(np.asarray(core, np.uint8), dilate(brush, max(3, round(_BRUSH_REACH * extent))), brush, box)


def hint_of_point(crop: NDArray[np.uint8], x: int, y: int) -> Hint:
    """The object is the surface under a point and what looks like it, not far away.

    Args:
        crop: uint8 (H, W, 3), RGB: the window.
        x: of the point in the window.
        y: of the point in the window.
    """
    smooth = cv2.bilateralFilter(crop, 7, 40, 7)
    seen = np.zeros((crop.shape[0] + 2, crop.shape[1] + 2), np.uint8)
    spread = (_POINT_TOLERANCE,) * 3
    cv2.floodFill(smooth, seen, (x, y), (0, 0, 0), spread, spread, 4 | cv2.FLOODFILL_MASK_ONLY | (1 << 8))
    likely = np.ascontiguousarray(seen[1:-1, 1:-1])
    sure = np.zeros_like(likely)
    cv2.circle(sure, (x, y), 2, 1, -1)
    maybe = np.zeros_like(likely)
    cv2.circle(maybe, (x, y), max(4, min(crop.shape[:2]) // 2 - 1), 1, -1)
    return Hint(sure, maybe | likely, likely | sure, Box(x, y, x + 1, y + 1))


def window_of(box: Box, width: int, height: int) -> Box:
    """What is looked at around a box: enough ground to learn its colours, and room for a shadow."""
    return box.expand(max(12, round(0.4 * max(box.width, box.height))), width, height)


def point_window(x: int, y: int, width: int, height: int) -> Box:
    """What is looked at around a point of a picture of width x height."""
    reach = max(16, round(_POINT_REACH * min(width, height)))
    return Box(x - reach, y - reach, x + reach, y + reach).clip(width, height)


def _filled(box: Box, window: Box) -> NDArray[np.uint8]:
    mask = np.zeros((window.height, window.width), np.uint8)
    mask[box.top - window.top : box.bottom - window.top, box.left - window.left : box.right - window.left] = 1
    return mask
