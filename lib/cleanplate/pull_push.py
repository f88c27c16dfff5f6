"""Continues what is known in some places smoothly to all others, by pull and push over a pyramid."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def pull_push(total: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weighted values, smoothly continued to where there is no weight (Gortler et al., SIGGRAPH 1996).

    Args:
        total: float32 (h, w, 3), values times weights.
        weight: float32 (h, w, 1), >= 0; some of it must be > 0.

    Returns:
        float32 (h, w, 3), values.
    """
    height, width = weight.shape[:2]
    if height <= 2 or width <= 2:
        return np.broadcast_to(total.sum((0, 1)) / max(float(weight.sum()), 1e-6), total.shape).astype(np.float32)
    both = np.dstack([total, weight])
    smaller = (-(-width // 2), -(-height // 2))
    half = cv2.resize(cv2.GaussianBlur(both, (0, 0), 1.0), smaller, interpolation=cv2.INTER_AREA)
    # Saturated: where enough is known on the finer scale, the coarser one has no more to say.
    factor = np.minimum(1.0, 4.0 * half[:, :, 3:]) / np.maximum(half[:, :, 3:], 1e-6)
    coarse = pull_push(half[:, :, :3] * factor, half[:, :, 3:] * factor)
    pushed = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    share = np.minimum(1.0, weight)
    own = total / np.maximum(weight, 1e-6)
    return np.asarray(cv2.blur(own * share + pushed * (1 - share), (3, 3)), np.float32)
