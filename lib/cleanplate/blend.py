"""Puts a fill into its surroundings: colour continued from the ring, then mixed by the soft mask."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.config import BlendConfig

_LEAST_WEIGHT = 0.02


def composite(
    crop: NDArray[np.uint8], filled: NDArray[np.uint8], alpha: NDArray[np.float32], config: BlendConfig
) -> NDArray[np.uint8]:
    """Mixes a fill into a crop.

    Args:
        crop: uint8 (H, W, 3), RGB: the picture so far.
        filled: uint8 (H, W, 3), RGB: the engine's, of any value where alpha is 0.
        alpha: float32 (H, W), 0..1, 1 = replace.
        config: the section "blend".

    Returns:
        uint8 (H, W, 3), RGB; where alpha is 0 it is the crop, bit for bit.
    """
    layer = filled.astype(np.float32)
    if config.match_colour:
        layer += colour_shift(crop, filled, alpha)
    weight = alpha[:, :, None]
    mixed = np.clip(np.rint(layer * weight + crop * (1 - weight)), 0, 255).astype(np.uint8)
    return np.where(weight > 0, mixed, crop)


def colour_shift(
    crop: NDArray[np.uint8], filled: NDArray[np.uint8], alpha: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The offset that lets the fill meet the picture in the feather, where both are known, spread smoothly inward.

    Normalised convolution (Knutsson and Westin, CVPR 1993) of the difference over the feather (0 < alpha < 1); where no
    feather is near, there is no offset.

    Returns:
        float32 (H, W, 3), grey levels.
    """
    known = ((alpha > 0) & (alpha < 0.5)).astype(np.float32)
    if not known.any():
        return np.zeros(crop.shape, np.float32)
    difference = (crop.astype(np.float32) - filled.astype(np.float32)) * known[:, :, None]
    size = (9, 9)
    weight = cv2.blur(known, size)
    offset = cv2.blur(difference, size) / np.maximum(weight, _LEAST_WEIGHT)[:, :, None]
    return np.where(weight[:, :, None] >= _LEAST_WEIGHT, offset, np.float32(0))
