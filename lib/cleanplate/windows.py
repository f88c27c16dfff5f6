"""Parts of a picture in windows: cut to where they are set, moved between windows, tiled, padded, made smaller."""

from __future__ import annotations

from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.records import Box

Number = TypeVar("Number", bound=np.generic)


def trim(alpha: NDArray[np.float32], box: Box) -> tuple[NDArray[np.float32], Box] | None:
    """Cuts alpha and its box to where alpha > 0; None where it is nowhere."""
    tight = Box.around(alpha)
    return (alpha[tight.slices], tight.moved(box.left, box.top)) if tight.area_px else None


def place(values: NDArray[np.float32], box: Box, into: Box) -> NDArray[np.float32]:
    """Moves a part of a picture into another window; what lies outside `box` is 0, outside `into` is lost."""
    out = np.zeros((into.height, into.width), np.float32)
    inside = box.intersection(into)
    if inside.area_px:
        out[inside.moved(-into.left, -into.top).slices] = values[inside.moved(-box.left, -box.top).slices]
    return out


def tiles(whole: Box, tile_px: int, overlap_px: int) -> list[Box]:
    """Tiles of at most `tile_px` a side that cover a box, row by row, overlapping by at least `overlap_px`."""
    rows = _stretches(whole.top, whole.bottom, tile_px, overlap_px)
    columns = _stretches(whole.left, whole.right, tile_px, overlap_px)
    return [Box(left, top, right, bottom) for top, bottom in rows for left, right in columns]


def without_rim(tile: Box, whole: Box, rim_px: int) -> Box:
    """A tile less a rim on the sides where the box that it is part of goes on."""
    return Box(
        tile.left + rim_px * (tile.left > whole.left),
        tile.top + rim_px * (tile.top > whole.top),
        tile.right - rim_px * (tile.right < whole.right),
        tile.bottom - rim_px * (tile.bottom < whole.bottom),
    )


def mirrored(part: NDArray[Number], step: int) -> NDArray[Number]:
    """Adds mirrored rows below and columns to the right, (H, W, ...), up to multiples of `step`."""
    margins = [(0, -length % step) for length in part.shape[:2]]
    return np.pad(part, [*margins, *[(0, 0)] * (part.ndim - 2)], mode="symmetric")


def shrink(image: NDArray[np.uint8], long_side_px: int) -> NDArray[np.uint8]:
    """Scales a picture or mask down (area mean) until its long side is at most `long_side_px`."""
    height, width = image.shape[:2]
    scale = long_side_px / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def shrink_mask(mask: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """A mask, uint8 (H, W), 0 or 1, at a smaller (width, height): a pixel that covers any of it belongs to it."""
    return (cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0).astype(np.uint8)


def _stretches(start: int, end: int, tile_px: int, overlap_px: int) -> list[tuple[int, int]]:
    step, last = tile_px - overlap_px, max(start, end - tile_px)
    begins = sorted({min(place, last) for place in range(start, last + step, step)})
    return [(begin, min(end, begin + tile_px)) for begin in begins]
