"""Evidence that letters are left: pixels that had a letter's colour and still have it, or a ghost of their shapes."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.mask.colours import text_colours
from cleanplate.mask.strokes import letter_share, local_background
from cleanplate.ring import dilate, ring

_SHARE = 0.5
_CONTRAST = 20.0  # grey levels
_LEFT_SHARE = 0.01  # of the mask: so many pixels of letters left are full evidence
_LEFT_PX = 6
_GHOST_FROM, _GHOST_FULL = 0.25, 0.6  # correlation of the detail before and after
_RING_PX = 12


def evidence(
    before: NDArray[np.uint8],
    after: NDArray[np.uint8],
    core: NDArray[np.uint8],
    invalid: NDArray[np.uint8],
    height_px: float,
) -> float:
    """How strongly the pixels say that letters are left, whatever a detector thinks of the photograph behind them.

    Args:
        before: uint8 (H, W, 3), RGB, with the letters.
        after: uint8 (H, W, 3), RGB, filled.
        core: uint8 (H, W), 0 or 1: the hard mask.
        invalid: uint8 (H, W), 0 or 1: cores of all regions.
        height_px: height of the line.

    Returns:
        0..1.
    """
    if not core.any():
        return 0.0
    return max(_ghost(before, after, core), _left(before, after, core, invalid, height_px))


def _left(
    before: NDArray[np.uint8],
    after: NDArray[np.uint8],
    core: NDArray[np.uint8],
    invalid: NDArray[np.uint8],
    height_px: float,
) -> float:
    """Pixels in or beside the mask that were letters and still are."""
    outside = ring(core.astype(np.float32), invalid, _RING_PX)
    # The first colour only: the others may be the photograph's own lines, which rightly stay.
    colours = [peak.colour for peak in text_colours(before, core, outside)[:1]]
    if not colours or not outside.any():
        return 0.0
    background = local_background(after.astype(np.float32), 1 - (core | invalid), max(height_px, 8.0))
    near = dilate(core, max(2, round(0.2 * height_px))) * (1 - np.minimum(invalid, 1 - core))
    still = near > 0
    for picture in (before, after):
        share, contrast, _ = letter_share(picture.astype(np.float32), background, colours)
        still &= (share > _SHARE) & (contrast > _CONTRAST)
    return float(min(1.0, still.sum() / max(_LEFT_PX, _LEFT_SHARE * float(core.sum()))))


def _ghost(before: NDArray[np.uint8], after: NDArray[np.uint8], core: NDArray[np.uint8]) -> float:
    """Correlation of the detail inside the mask, before and after: a fill in the letters' shapes shows them."""
    inside = core > 0
    first, second = (_detail(picture)[inside] for picture in (before, after))
    power = float(np.sqrt(np.mean(first**2) * np.mean(second**2)))
    if power < 1.0 or float(np.sqrt(np.mean(second**2))) < 2.0:
        return 0.0
    correlation = float(np.mean(first * second)) / power
    return float(np.clip((correlation - _GHOST_FROM) / (_GHOST_FULL - _GHOST_FROM), 0, 1))


def _detail(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.asarray(grey - cv2.blur(grey, (9, 9)), dtype=np.float32)
