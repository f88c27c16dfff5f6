"""What the analysis looks at: at most a megapixel of a picture, its luma and chroma, its 8x8 cosine transforms."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn

BLOCK_PX = 8
_TILE_PX = 512  # a multiple of the block, so that the grid's phase is the same in every tile
_TILES = 2  # per side

# JFIF 1.02: full-range BT.601.
TO_YCC = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32)


def look_at(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """At most a megapixel: the whole picture, or tiles spread over it, side by side.

    Args:
        rgb: uint8 (H, W, 3), RGB.

    Returns:
        uint8 (h, w, 3): where it is cut, tiles of 512 px that begin at multiples of 8, so that what repeats every 8
        pixels still does.
    """
    most = _TILES * _TILE_PX
    rows, columns = (_parts(size) if size > most else [slice(None)] for size in rgb.shape[:2])
    if max(len(rows), len(columns)) == 1:
        return rgb
    return np.concatenate([np.concatenate([rgb[row, column] for column in columns], axis=1) for row in rows], axis=0)


def _parts(size: int) -> list[slice]:
    gap = (size - _TILES * _TILE_PX) // (_TILES + 1)
    starts = [(gap * (i + 1) + _TILE_PX * i) // BLOCK_PX * BLOCK_PX for i in range(_TILES)]
    return [slice(start, start + _TILE_PX) for start in starts]


def to_ycc(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """float32 (H, W, 3): luma 0..255, chroma -128..127 (BT.601, full range, as JPEG has it)."""
    return np.asarray(rgb.astype(np.float32) @ TO_YCC.T, dtype=np.float32)


def cut(plane: NDArray[np.float32], offset: tuple[int, int] = (0, 0)) -> NDArray[np.float32]:
    """All whole blocks of a grid.

    Args:
        plane: float32 (H, W).
        offset: column and row at which the first whole block begins, each 0..7.

    Returns:
        float32 (N, 8, 8).
    """
    left, top = offset
    high, wide = (plane.shape[0] - top) // BLOCK_PX, (plane.shape[1] - left) // BLOCK_PX
    part = plane[top : top + high * BLOCK_PX, left : left + wide * BLOCK_PX]
    return part.reshape(high, BLOCK_PX, wide, BLOCK_PX).swapaxes(1, 2).reshape(-1, BLOCK_PX, BLOCK_PX)


def dct(blocks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Orthonormal DCT-II of (N, 8, 8) blocks."""
    return np.asarray(dctn(blocks, axes=(1, 2), norm="ortho"), dtype=np.float32)
