"""Drop shadows: darkness that lies beside all letters in one direction."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.ring import dilate

_DIRECTIONS = ((1, 1), (1, 0), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1))  # x, y
_DARKER = 8.0  # grey levels, on average, than the background and than the opposite side
_PIXEL_DARKER = 3.0


def drop_shadow(
    strokes: NDArray[np.uint8], pixels: NDArray[np.float32], background: NDArray[np.float32], reach_px: int
) -> NDArray[np.uint8]:
    """Finds the shadow of letters.

    A shadow is too dim, and a photograph too dark in places, to find it by colour; but it lies on the same side of
    every letter, and the other side has none.

    Args:
        strokes: uint8 (H, W), 1 on the letters.
        pixels: float32 (H, W, 3), grey levels.
        background: float32 (H, W, 3): the colour behind the letters, estimated away from them.
        reach_px: how far a shadow may fall.

    Returns:
        uint8 (H, W), 1 on shadow; empty where there is none.
    """
    found = np.zeros_like(strokes)
    darkness = (background - pixels) @ np.array([0.299, 0.587, 0.114], np.float32)
    free = 1 - dilate(strokes, 1)
    depths = {way: _mean(darkness, _shift(strokes, way, 2) * free) for way in _DIRECTIONS}
    way = max(depths, key=lambda key: depths[key])
    if depths[way] < _DARKER or depths[way] < depths[(-way[0], -way[1])] + _DARKER:
        return found
    for step in range(1, reach_px + 1):
        new = _shift(strokes, way, step) * (1 - strokes) * (1 - found)
        if step > 2 and _mean(darkness, new * free) < _DARKER:
            break
        found |= new
    return found * (darkness > _PIXEL_DARKER).astype(np.uint8)


def _shift(mask: NDArray[np.uint8], way: tuple[int, int], step: int) -> NDArray[np.uint8]:
    matrix = np.array([[1, 0, way[0] * step], [0, 1, way[1] * step]], np.float32)
    return np.asarray(cv2.warpAffine(mask, matrix, mask.shape[::-1], flags=cv2.INTER_NEAREST), dtype=np.uint8)


def _mean(values: NDArray[np.float32], where: NDArray[np.uint8]) -> float:
    return float(cv2.mean(values, where)[0])
