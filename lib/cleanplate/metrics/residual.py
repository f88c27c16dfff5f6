"""Residual text: what a text detector still sees where text was removed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_SHARE = 98.0


def residual_text(confidence: NDArray[np.float32], mask: NDArray[np.uint8]) -> float:
    """The detector's confidence that is left inside the mask.

    The 98th percentile, so that one word left in a paragraph counts and a stray pixel does not.

    Args:
        confidence: float32 (H, W), 0..1: the detector's map of the result.
        mask: uint8 (H, W), 0 or 1: where text was.

    Returns:
        0..1; 0 for an empty mask.

    Example:
        >>> import numpy as np
        >>> mask = np.zeros((4, 4), np.uint8); mask[1:3, 1:3] = 1
        >>> residual_text(np.full((4, 4), 0.25, np.float32), mask)
        0.25
    """
    inside = confidence[mask > 0]
    return float(np.percentile(inside, _SHARE)) if len(inside) else 0.0
