"""Places that lend a fill their noise: which of them are no texture, and which one a filled place draws."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

_TEXTURE, _USUAL = 4.0, 85  # times the median energy, or percentile, beyond which a place has texture, not noise


def texture_from(energy: NDArray[np.float32]) -> float:
    """The energy beyond which a place has texture, by that of the N places that are calm, float32 (N,)."""
    return max(_TEXTURE * float(np.median(energy)), float(np.percentile(energy, _USUAL)))


def drawn(
    givers: NDArray[np.float64], takers: NDArray[np.float64], choice: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    """For each taker the number of a giver, drawn from those that are nearest to it.

    Args:
        givers: float64 (N, D), place and brightness, in units that count alike; N of at least two.
        takers: float64 (M, D), the same.
        choice: of how many one is drawn.
        rng: source of chance.

    Returns:
        intp (M,), 0..N-1.
    """
    count = min(choice, len(givers))
    nearest = cKDTree(givers).query(takers, k=count)[1]
    return np.asarray(nearest[np.arange(len(nearest)), rng.integers(count, size=len(nearest))])
