"""JPEG quality as the Independent JPEG Group counts it, and the quantisation tables it stands for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

QUALITIES = range(1, 101)

# ITU-T T.81, tables K.1 and K.2, row by row.
_LUMA = np.array(
    [
        16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
        14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
        49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
    ]
).reshape(8, 8)  # fmt: skip
_CHROMA = np.full((8, 8), 99)
_CHROMA[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]


@cache
def standard_tables() -> NDArray[np.int64]:
    """int64 (100, 2, 8, 8): steps 1..255 of luma and chroma at the qualities 1..100, as libjpeg scales them."""
    base = np.stack([_LUMA, _CHROMA])
    scales = [5000 // quality if quality < 50 else 200 - 2 * quality for quality in QUALITIES]
    return np.stack([np.clip((base * scale + 50) // 100, 1, 255) for scale in scales])


def quality_of(luma: Sequence[int], chroma: Sequence[int] | None = None) -> float:
    """The quality whose standard tables are nearest to given ones; exact for files of libjpeg and its kin.

    The distance is the mean difference of the logarithms of the steps, so that fine and coarse steps count alike.

    Args:
        luma: 64 steps, row by row.
        chroma: the same of chroma; None for a grey file.

    Returns:
        1..100.

    Example:
        >>> quality_of(standard_tables()[74, 0].ravel().tolist())
        75.0
    """
    given = [luma] if chroma is None else [luma, chroma]
    wanted = np.log(np.maximum(np.array(given, np.float64), 1.0))
    known = np.log(standard_tables()[:, : len(given)].reshape(100, len(given), 64))
    return float(QUALITIES[int(np.argmin(np.abs(known - wanted).mean(axis=(1, 2))))])
