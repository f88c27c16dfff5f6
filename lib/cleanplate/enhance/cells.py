"""Keeps a cleaned picture to what the JPEG allows: each luma coefficient within the cell that it was rounded from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn, idctn

from cleanplate.enhance.blocks import BLOCK_PX

_WEIGHTS = np.array([0.299, 0.587, 0.114], np.float32)


def confine(
    cleaned: NDArray[np.uint8],
    given: NDArray[np.uint8],
    steps: NDArray[np.int64],
    offset: tuple[int, int] = (0, 0),
    slack: float = 0.5,
) -> NDArray[np.uint8]:
    """Limits how far the luma of a cleaned picture may be from the decoded one, coefficient by coefficient.

    A coefficient was rounded to a multiple of its step, so the original's lies within half a step of it: the projection
    on to the quantisation constraint set (Zakhor, IEEE TCSVT 2(1), 1992). Chroma, which may be subsampled, is left.

    Args:
        cleaned: uint8 (H, W, 3), RGB.
        given: same shape, as decoded.
        steps: int64 (8, 8), the luma's quantisation table.
        offset: column and row of the first whole block, each 0..7.
        slack: how far it may be, in steps; 0.5 is what JPEG allows, less believes that coefficients lie near the
            middle of their cells (Zhai et al., IEEE TIP 17(9), 2008).

    Returns:
        uint8 (H, W, 3), RGB; pixels of blocks that the picture's edge cuts are those of `cleaned`.
    """
    column, row = offset
    high, wide = ((length - start) // BLOCK_PX for length, start in zip(given.shape[:2], (row, column), strict=True))
    whole = (slice(row, row + high * BLOCK_PX), slice(column, column + wide * BLOCK_PX))
    change = (cleaned[whole].astype(np.float32) - given[whole]) @ _WEIGHTS
    blocks = change.reshape(high, BLOCK_PX, wide, BLOCK_PX)
    limit = (slack * steps).astype(np.float32)[:, None, :]
    moved = dctn(blocks, axes=(1, 3), norm="ortho")
    back = idctn(moved - np.clip(moved, -limit, limit), axes=(1, 3), norm="ortho").reshape(change.shape)
    out = cleaned.copy()
    out[whole] = np.clip(np.rint(cleaned[whole] - back[..., None]), 0, 255).astype(np.uint8)
    return out
