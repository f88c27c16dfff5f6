"""The shadow that an object casts: ground beside it that is darker than the ground, and of its colour."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.records import Box
from cleanplate.ring import dilate

_DARKEST, _LIGHTEST = 0.25, 0.93  # of the ground's luminance: what may be shadow
_CHROMA = 14.0  # units of CIE a* and b*: a shadow keeps the ground's colour
_SPREADS = 1.0  # deviations of the ground's own luminance that a shadow must be darker by
_REACH = 0.4  # of the object's longer side: how far its shadow falls
_FEWEST_SHARE, _SHADOW_AREA = 0.02, 1.0  # of the object's area
_AROUND = 0.5  # of all that lies near the object


def cast_shadow(crop: NDArray[np.uint8], hard: NDArray[np.uint8], maybe: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The shadow beside an object: darker than the ground there, of its colour, and touching the object.

    Args:
        crop: uint8 (H, W, 3), RGB.
        hard: uint8 (H, W), 1 on the object.
        maybe: uint8 (H, W), 1 where the object may be: beyond it, and beyond the shadow's reach, lies ground.

    Returns:
        uint8 (H, W), 1 on shadow; empty where there is none.
    """
    nothing = np.zeros_like(hard)
    ground = ((dilate(hard, max(4, _extent(hard) // 6)) | maybe) == 0).astype(np.uint8)
    if ground.sum() < 50:
        return nothing
    behind = _ground(crop, ground)
    lab, lab_behind = _lab(_soft(crop)), _lab(behind)
    relative = _luminance(lab[..., 0]) / np.maximum(_luminance(lab_behind[..., 0]), np.float32(1e-3))
    ratio = _smoothed(relative.astype(np.float32), 1 - hard)
    near = dilate(hard, max(6, round(_REACH * _extent(hard)))) * (1 - hard)
    # The ground's own lights and darks are no shadow: what counts must be darker than they are.
    spread = 1.4826 * float(np.median(np.abs(ratio[ground > 0] - np.median(ratio[ground > 0]))))
    lightest = min(_LIGHTEST, 1 - _SPREADS * spread)
    same = np.abs(lab[..., 1:] - lab_behind[..., 1:]).max(axis=2) < _CHROMA
    dark = ((ratio > _DARKEST) & (ratio < lightest) & same).astype(np.uint8) * near
    dark = np.asarray(cv2.morphologyEx(dark, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8)), np.uint8)
    _, labels = cv2.connectedComponents(dark | hard)
    touching = np.isin(labels, np.unique(labels[hard > 0]))
    shade = (touching & (dark > 0)).astype(np.uint8)
    if not _FEWEST_SHARE * hard.sum() <= shade.sum() <= _SHADOW_AREA * hard.sum() or not shade.any():
        return nothing
    # It falls to one side: what is dark all around is a ground that was guessed too bright.
    if float(shade.sum()) > _AROUND * float(near.sum()):
        return nothing
    return dilate(shade, 2) * (1 - hard)


def _ground(crop: NDArray[np.uint8], known: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What lies behind, from the known ground around: wide blurs where the near ones know nothing."""
    pixels, weight = crop.astype(np.float32) * known[..., None], known.astype(np.float32)
    total, share = np.zeros_like(pixels), np.zeros_like(weight)
    for sigma, trust in ((8.0, 1.0), (30.0, 0.05), (120.0, 0.002)):
        total += trust * cv2.GaussianBlur(pixels, (0, 0), sigma)
        share += trust * cv2.GaussianBlur(weight, (0, 0), sigma)
    return np.asarray(total / np.maximum(share, 1e-6)[..., None], np.float32)


def _smoothed(values: NDArray[np.float32], known: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Values without their finest grain, what is not known left out."""
    weight = cv2.GaussianBlur(known.astype(np.float32), (0, 0), 2.0)
    return np.asarray(cv2.GaussianBlur(values * known, (0, 0), 2.0) / np.maximum(weight, 1e-3), np.float32)


def _soft(crop: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(crop, (0, 0), 1.5), np.float32)


def _lab(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(cv2.cvtColor(picture / np.float32(255), cv2.COLOR_RGB2LAB), np.float32)


def _luminance(lightness: NDArray[np.float32]) -> NDArray[np.float32]:
    """Relative luminance Y, 0..1, of CIE L* (CIE 15:2004)."""
    root = (lightness + 16) / 116
    return np.where(root > 6 / 29, root**3, 3 * (6 / 29) ** 2 * (root - 4 / 29)).astype(np.float32)


def _extent(mask: NDArray[np.uint8]) -> int:
    """The longer side of what is set in a mask, in pixels."""
    box = Box.around(mask)
    return max(box.width, box.height)
