"""A second look at lines that are slanted or small: rectified by a homography, at a size that the network knows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.detect import db
from cleanplate.records import Box

LINE_PX = 40  # height at which a line is looked at again
_SLANT_DEG = 8.0  # a line at more than this to either axis is rectified
_SMALL_PX = 22.0  # and one that is lower than this
_MARGIN_SHARE = 0.35  # of a line's height: the surroundings that are looked at
_LONGEST_PX = 1600  # a rectified line is no longer than this
_MOST_LINES = 120  # of one picture

Looker = Callable[[Sequence[NDArray[np.uint8]]], list[NDArray[np.float32]]]


@dataclass(frozen=True)
class View:
    """A line as it is looked at: the homography from the picture to it, float64 (3, 3), and its (width, height)."""

    homography: NDArray[np.float64]
    size: tuple[int, int]


def look_again(
    picture: NDArray[np.uint8],
    maps: NDArray[np.float32],
    lines: Sequence[db.Line],
    look: Looker,
) -> NDArray[np.float32]:
    """Maps of a picture in which slanted and small lines are seen upright and large.

    Args:
        picture: uint8 (H, W, 3), RGB.
        maps: float32 (7, H, W), 0..1, of the whole picture; not changed.
        lines: of the picture.
        look: PP-OCR and the stroke network: pictures in, maps out.

    Returns:
        float32 (7, H, W): in the outline of each such line the mean of both looks, elsewhere `maps`.
    """
    views = [view for view in map(view_of, lines[:_MOST_LINES]) if view is not None]
    if not views:
        return maps
    crops = [_upright(picture, view) for view in views]
    total, weight = maps.copy(), np.ones(maps.shape[1:], np.float32)
    for view, seen in zip(views, look(crops), strict=True):
        _add_back(total, weight, seen, view)
    return total / weight


def view_of(line: db.Line) -> View | None:
    """How to look at a line again; None where the first look saw it upright and large enough."""
    corners = _ordered(line.polygon)
    along, across = corners[1] - corners[0], corners[3] - corners[0]
    length, height = float(np.linalg.norm(along)), float(np.linalg.norm(across))
    if min(length, height) < 2:
        return None
    slant = abs((np.degrees(np.arctan2(along[1], along[0])) + 45) % 90 - 45)
    if slant <= _SLANT_DEG and line.height_px >= _SMALL_PX:
        return None
    scale = min(LINE_PX / height, _LONGEST_PX / length, 3.0)
    margin = _MARGIN_SHARE * height * scale
    width, tall = length * scale, height * scale
    target = np.array([[0, 0], [width, 0], [width, tall], [0, tall]], np.float32) + margin
    size = (max(16, round(width + 2 * margin)), max(16, round(tall + 2 * margin)))
    return View(np.asarray(cv2.getPerspectiveTransform(corners, target), np.float64), size)


def _ordered(polygon: NDArray[np.float32]) -> NDArray[np.float32]:
    """The corners so that the first two lie along the longer side, from left to right (or top to bottom)."""
    corners = np.asarray(polygon, np.float32)
    if np.linalg.norm(corners[1] - corners[0]) < np.linalg.norm(corners[2] - corners[1]):
        corners = np.roll(corners, -1, axis=0)
    along = corners[1] - corners[0]
    if along[0] < -1e-3 or (abs(along[0]) <= 1e-3 and along[1] < 0):
        corners = np.roll(corners, 2, axis=0)
    return np.ascontiguousarray(corners)


def _upright(picture: NDArray[np.uint8], view: View) -> NDArray[np.uint8]:
    seen = cv2.warpPerspective(
        picture, view.homography, view.size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    return np.asarray(seen, np.uint8)


def _add_back(
    total: NDArray[np.float32], weight: NDArray[np.float32], seen: NDArray[np.float32], view: View
) -> None:
    """Maps a view's maps back into the picture and adds them where the view shows it."""
    height, width = weight.shape
    back = np.linalg.inv(view.homography)
    corners = np.array([[0, 0], [view.size[0], 0], view.size, [0, view.size[1]]], np.float64).reshape(-1, 1, 2)
    around = cv2.perspectiveTransform(corners, back).reshape(-1, 2)
    left, top = np.floor(around.min(axis=0)).astype(int)
    right, bottom = np.ceil(around.max(axis=0)).astype(int) + 1
    box = Box(int(left), int(top), int(right), int(bottom)).clip(width, height)
    if not box.area_px:
        return
    move = np.array([[1, 0, -box.left], [0, 1, -box.top], [0, 0, 1]], np.float64) @ back
    layers = [*seen, np.ones(seen.shape[1:], np.float32)]
    size = (box.width, box.height)
    moved = [cv2.warpPerspective(layer, move, size, flags=cv2.INTER_LINEAR) for layer in layers]
    inside = moved[-1]
    for channel, layer in enumerate(moved[:-1]):
        total[channel][box.slices] += layer
    weight[box.slices] += inside
