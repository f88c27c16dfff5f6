"""How much of a picture its masks cover, and how sure the detectors were of it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

TENTHS = 10


def mask_coverage(alpha: NDArray[np.float32]) -> float:
    """Share of the picture that a soft mask replaces, the half-covered edge counted by half.

    Args:
        alpha: float32 (H, W), 0..1.

    Example:
        >>> import numpy as np
        >>> mask_coverage(np.array([[1.0, 0.5, 0.0, 0.5]], np.float32))
        0.5
    """
    return float(alpha.mean()) if alpha.size else 0.0


def confidence_tenths(
    regions: Iterable[tuple[NDArray[np.float32], NDArray[np.uint8]]],
) -> list[float]:
    """The distribution of the detectors' confidence over what the hard cores cover.

    Args:
        regions: pairs of the confidence map, float32 (h, w), 0..1, and the core, uint8 (h, w), 0 or 1.

    Returns:
        Ten shares that add up to 1: below 0.1, 0.1 to 0.2, and so on; all 0 where nothing is covered.
    """
    counts = np.zeros(TENTHS, np.int64)
    for confidence, core in regions:
        inside = np.clip(confidence[core > 0], 0, 1)
        counts += np.histogram(inside, TENTHS, (0.0, 1.0))[0]
    total = int(counts.sum())
    return [float(count) / total if total else 0.0 for count in counts]
