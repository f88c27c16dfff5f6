"""Changed share: how many pixels differ, inside and outside a mask."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def changed_share(
    before: NDArray[np.uint8], after: NDArray[np.uint8], mask: NDArray[Any] | None = None, tolerance: int = 0
) -> float:
    """Share of pixels of which a channel differs by more than `tolerance`.

    Args:
        before: uint8 (H, W, 3) or (H, W).
        after: same shape.
        mask: (H, W): only pixels where it is > 0 count; None = all.
        tolerance: grey levels that do not count as a change.

    Returns:
        0..1; 0 where no pixel counts.

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> import numpy as np
        >>> before = np.zeros((2, 2, 3), np.uint8); after = before.copy(); after[0, 0, 1] = 9
        >>> changed_share(before, after), changed_share(before, after, tolerance=9)
        (0.25, 0.0)
    """
    if before.shape != after.shape:
        raise ValueError(f"pictures of {before.shape} and {after.shape} cannot be compared: make them one size")
    differs: NDArray[np.bool_] = np.abs(before.astype(np.int16) - after.astype(np.int16)) > tolerance
    differs = np.asarray(differs.any(axis=2)) if differs.ndim == 3 else differs
    counted = differs if mask is None else differs[mask > 0]
    return float(counted.mean()) if counted.size else 0.0


def changed_inside(
    before: NDArray[np.uint8], after: NDArray[np.uint8], alpha: NDArray[np.float32], tolerance: int = 0
) -> float:
    """Share of the pixels of a soft mask (alpha > 0) that changed."""
    return changed_share(before, after, (alpha > 0).astype(np.uint8), tolerance)


def changed_outside(
    before: NDArray[np.uint8], after: NDArray[np.uint8], alpha: NDArray[np.float32], tolerance: int = 0
) -> float:
    """Share of the pixels outside a soft mask (alpha = 0) that changed; 0 is the promise for lossless files."""
    return changed_share(before, after, (alpha <= 0).astype(np.uint8), tolerance)
