"""Finds the strokes of letters by their colour and their contrast with the background behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.mask.colours import text_colours
from cleanplate.ring import dilate

_LEAST_CONTRAST = 14.0  # grey levels between letters and background; fainter strokes drown in texture
_MOST_SHARE = 0.9  # of the region: more is no set of strokes
_LEAST_SHARE = 0.02
_STRONG = 0.45  # share of the letter's colour from which a pixel is a stroke ...
_WEAK = 0.1  # ... and down to which a pixel beside a stroke belongs to it
_GROW_PX = 2  # how far anti-aliased rims reach beyond a stroke
_DAMPING = 8.0  # grey levels; keeps the share finite where letter and background are alike
_ROUNDS = 3
_TAIL_SHARE = 0.5  # of a connected stroke must lie where the detector saw text, for the rest to belong to it


@dataclass(frozen=True)
class Scene:
    """What the segmentation looks at.

    Attributes:
        crop: uint8 (H, W, 3), RGB: the region with some surroundings.
        gate: uint8 (H, W), 1 where the detector saw this region's text.
        text: uint8 (H, W), 1 where any text of the image may be: no background is sampled there at first.
        height_px: height of the line.
    """

    crop: NDArray[np.uint8]
    gate: NDArray[np.uint8]
    text: NDArray[np.uint8]
    height_px: float


def segment(scene: Scene) -> NDArray[np.uint8] | None:
    """Segments the strokes of letters of up to three colours (fill, outline, shadow).

    Alternates between the background behind the letters (normalised convolution over what is no letter) and each
    pixel's share of a letter's colour, the solution of pixel = share * letter + (1 - share) * background.

    Returns:
        uint8 (H, W), 1 on every pixel that a stroke influences; None where there are no clear strokes.
    """
    outside = ((scene.text | scene.gate) == 0).astype(np.uint8)
    if not scene.gate.any() or not outside.any():
        return None
    colours = text_colours(scene.crop, scene.gate, outside)
    if not colours:
        return None
    pixels = scene.crop.astype(np.float32)
    known = outside
    share, strong = np.zeros(scene.gate.shape, np.float32), np.zeros_like(scene.gate)
    for _ in range(_ROUNDS):
        background = local_background(pixels, known, scene.height_px)
        share, contrast = letter_share(pixels, background, colours)
        strong = attached(((share > _STRONG) & (contrast >= _LEAST_CONTRAST)).astype(np.uint8), scene.gate)
        known = np.where(scene.gate > 0, 1, outside).astype(np.uint8) * (1 - dilate(strong, 1))
    covered = float(strong.sum()) / float(scene.gate.sum())
    if not _LEAST_SHARE <= covered <= _MOST_SHARE:
        return None
    return grow(strong, (share > _WEAK).astype(np.uint8), _GROW_PX)


def attached(strokes: NDArray[np.uint8], gate: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The strokes inside the gate with the tails that stick out of it (descenders, flourishes).

    A part counts as a tail if most of it lies inside; a line of the photograph that runs through the text is cut off.
    """
    count, labels = cv2.connectedComponents(strokes, connectivity=8)
    total = np.bincount(labels.ravel(), minlength=count)
    inside = np.bincount(labels[gate > 0], minlength=count)
    belongs = inside >= _TAIL_SHARE * total
    belongs[0] = False
    return (belongs[labels] | ((strokes > 0) & (gate > 0))).astype(np.uint8)


def local_background(
    pixels: NDArray[np.float32], known: NDArray[np.uint8], height_px: float
) -> NDArray[np.float32]:
    """The colour behind each pixel, from the known pixels near it.

    Args:
        pixels: float32 (H, W, 3), grey levels.
        known: uint8 (H, W), 1 where the background shows.
        height_px: height of the line: the scale of "near".

    Returns:
        float32 (H, W, 3).
    """
    weight = known.astype(np.float32)
    near, far = (max(3, round(height_px * scale)) | 1 for scale in (0.5, 2.5))
    total_weight = cv2.blur(weight, (near, near)) + 0.01 * cv2.blur(weight, (far, far)) + 1e-5
    weighted = pixels * weight[:, :, None]
    mean = weighted.sum(axis=(0, 1)) / max(float(weight.sum()), 1.0)
    total = cv2.blur(weighted, (near, near)) + 0.01 * cv2.blur(weighted, (far, far)) + 1e-5 * mean
    return np.asarray(total / total_weight[:, :, None], dtype=np.float32)


def letter_share(
    pixels: NDArray[np.float32], background: NDArray[np.float32], colours: Sequence[NDArray[np.float32]]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """How much of each pixel is letter, and how much that letter differs from what is behind it.

    Returns:
        float32 (H, W), 0..1, of the colour that explains the pixel best; float32 (H, W), grey levels.
    """
    best_share = np.zeros(pixels.shape[:2], np.float32)
    best_contrast = np.zeros(pixels.shape[:2], np.float32)
    offset = pixels - background
    least = np.square(offset).sum(axis=2)
    for colour in colours:
        direction = colour - background
        power = np.square(direction).sum(axis=2)
        share = np.clip((offset * direction).sum(axis=2) / (power + _DAMPING**2), 0, 1)
        left = np.square(offset - share[:, :, None] * direction).sum(axis=2)
        better = left < 0.5 * least
        best_share = np.where(better, share, best_share)
        best_contrast = np.where(better, np.sqrt(power), best_contrast)
        least = np.where(better, left, least)
    return best_share, best_contrast


def grow(strong: NDArray[np.uint8], weak: NDArray[np.uint8], steps: int) -> NDArray[np.uint8]:
    """Hysteresis: weak pixels join where a chain of at most `steps` weak pixels leads to a strong one."""
    grown = strong
    for _ in range(steps):
        grown = np.asarray(cv2.dilate(grown, np.ones((3, 3), np.uint8)), dtype=np.uint8) & (weak | strong)
    return grown | strong
