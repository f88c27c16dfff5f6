"""Ghosts: where the detail of a fill still follows what was to be removed."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_DETAIL_PX = 9  # what is coarser is shading
_WINDOW_PX = 41
_FROM, _FULL = 0.25, 0.6  # correlation: below it is chance, above it there is no doubt
_LEAST_POWER, _LEAST_LEFT = 1.0, 4.0  # grey levels squared: less detail before, or after, is nothing to be seen


def ghosts(
    before: NDArray[np.uint8], after: NDArray[np.uint8], core: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """How far the detail inside a mask follows, place by place, the detail that was there.

    The local correlation of the pictures before and after, within the mask: letters that were copied, smeared along or
    left standing show, whatever a detector makes of the photograph behind them.

    Args:
        before: uint8 (H, W, 3), RGB, with the letters.
        after: uint8 (H, W, 3), RGB, filled.
        core: uint8 (H, W), 0 or 1: the hard mask.

    Returns:
        float32 (H, W), 0..1; 0 outside the mask.
    """
    inside = core.astype(np.float32)
    first, second = (_detail(picture) * inside for picture in (before, after))
    share = np.maximum(_mean(inside), 1e-6)
    power, left, both = (_mean(product) / share for product in (first**2, second**2, first * second))
    correlation = both / np.sqrt(np.maximum(power * left, _LEAST_POWER))
    found = np.clip((correlation - _FROM) / (_FULL - _FROM), 0, 1) * (left > _LEAST_LEFT) * inside
    return np.asarray(found, np.float32)


def _mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(cv2.blur(values, (_WINDOW_PX, _WINDOW_PX)), np.float32)


def _detail(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.asarray(grey - cv2.blur(grey, (_DETAIL_PX, _DETAIL_PX)), dtype=np.float32)
