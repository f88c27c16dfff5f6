"""Finds the strokes of letters by their colour and their contrast with the background behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.mask.colours import Peak, letter_colours, text_colours
from cleanplate.mask.shadow import drop_shadow
from cleanplate.ring import dilate

_LEAST_CONTRAST = 14.0  # grey levels between letters and background; fainter strokes drown in texture
_MOST_SHARE = 0.8  # of the whole line: more is no set of strokes
_LEAST_SHARE = 0.02
_STROKE_WIDTH = 0.3  # of the text height: no stroke is wider
_THICK_LOSS = 0.8  # of a colour's mass, where all of it lies in wider parts
_SAME_COLOUR = 28.0  # grey levels per channel
_WHOLE_REACH = 0.2  # of the text height, from what the detector marks to the line's box
_STRONG = 0.45  # share of the letter's colour from which a pixel is a stroke ...
_WEAK = 0.1  # ... and down to which a pixel beside a stroke belongs to it
_GROW_PX = 2  # how far anti-aliased rims reach beyond a stroke
_LEFT_SHARE = 0.5  # of a pixel's difference from the background that a letter's colour may leave unexplained
_DAMPING = 8.0  # grey levels; keeps the share finite where letter and background are alike
_ROUNDS = 3
_COMPANION_MASS = 0.08  # of the pixels beside the letters
_BESIDE_SHARE = 0.12  # of the text height: how far outlines and shadows reach
_MIXTURE_DISTANCE = 25.0  # grey levels
_TAIL_REACH = 0.35  # of the text height: how far a tail may stick out
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

    @property
    def outside(self) -> NDArray[np.uint8]:
        """uint8 (H, W), 1 where there is no text."""
        return ((self.text | self.gate) == 0).astype(np.uint8)

    @property
    def whole(self) -> NDArray[np.uint8]:
        """uint8 (H, W), 1 on the whole box of the line: the detector sees its core more clearly than its rim."""
        return dilate(self.gate, round(_WHOLE_REACH * self.height_px))

    def peaks(self) -> list[Peak]:
        """The colours that there are more of in the gate than outside, those of thin things first."""
        found = text_colours(self.crop, self.gate, self.outside)
        size = max(3, round(_STROKE_WIDTH * self.height_px)) | 1
        losses = [_THICK_LOSS * _thick_share(self.crop, peak, size) for peak in found]
        weighed = [Peak(peak.colour, peak.mass * (1 - loss)) for peak, loss in zip(found, losses, strict=True)]
        return sorted(weighed, key=lambda peak: -peak.mass)


def _thick_share(crop: NDArray[np.uint8], peak: Peak, size: int) -> float:
    """Share of a colour's pixels that lie in parts wider than `size`: those of the photograph, not of letters."""
    low, high = (np.clip(peak.colour + sign * _SAME_COLOUR, 0, 255) for sign in (-1, 1))
    same = cv2.inRange(crop, low.astype(np.uint8), high.astype(np.uint8))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    return cv2.countNonZero(cv2.morphologyEx(same, cv2.MORPH_OPEN, kernel)) / max(1, cv2.countNonZero(same))


def segment(
    scene: Scene, peaks: Sequence[Peak], shared: Sequence[NDArray[np.float32]] = ()
) -> NDArray[np.uint8] | None:
    """Segments the strokes of letters with their outlines and shadows.

    Alternates between the background behind the letters (normalised convolution over what is no letter) and each
    pixel's share of a letter's colour, the solution of pixel = share * letter + (1 - share) * background.

    Args:
        scene: the line and its surroundings.
        peaks: its colours, from `Scene.peaks`.
        shared: colours of letters that most lines of the image have.

    Returns:
        uint8 (H, W), 1 on every pixel that a stroke influences; None where there are no clear strokes.
    """
    outside = scene.outside
    letters, beside = letter_colours(peaks, shared)
    if not letters or not scene.gate.any() or not outside.any():
        return None
    pixels, known = scene.crop.astype(np.float32), outside
    share, strong = np.zeros(scene.gate.shape, np.float32), np.zeros_like(scene.gate)
    for turn in range(_ROUNDS):
        background = local_background(pixels, known, scene.height_px)
        share, contrast, which = letter_share(pixels, background, [*letters, *beside])
        strong = _strong(scene, share * (contrast >= _LEAST_CONTRAST), which < len(letters))
        if turn == 0:
            beside = beside[:1] + companions(scene, strong, outside, letters)
        known = np.where(scene.gate > 0, 1, outside).astype(np.uint8) * (1 - dilate(strong, 1))
    shade = _shade(scene, pixels, strong, known)
    if not _LEAST_SHARE * scene.gate.sum() <= strong.sum() <= _MOST_SHARE * scene.whole.sum():
        return None
    return grow(strong, (share > _WEAK).astype(np.uint8), _GROW_PX) | dilate(shade, 1)


def _shade(
    scene: Scene, pixels: NDArray[np.float32], strong: NDArray[np.uint8], known: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    reach_px = _beside_px(scene)
    away = known * (1 - dilate(strong, reach_px))
    return drop_shadow(strong, pixels, local_background(pixels, away, scene.height_px), reach_px)


def companions(
    scene: Scene, strong: NDArray[np.uint8], outside: NDArray[np.uint8], letters: Sequence[NDArray[np.float32]]
) -> list[NDArray[np.float32]]:
    """Colours of outline and shadow: those of which there is more right beside the letters than beyond."""
    band = dilate(strong, _beside_px(scene)) * (1 - strong)
    if not band.any() or not strong.any():
        return []
    beyond = scene.crop[outside > 0].reshape(-1, 3)
    middle = np.median(beyond, axis=0).astype(np.float32)
    peaks = text_colours(scene.crop, band, outside, _COMPANION_MASS)
    return [peak.colour for peak in peaks if not any(_is_mixture(peak.colour, colour, middle) for colour in letters)]


def _is_mixture(colour: NDArray[np.float32], one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    """Whether a colour lies between two others: an anti-aliased rim is no outline."""
    direction = other - one
    place = float(np.clip(((colour - one) @ direction) / max(float(direction @ direction), 1.0), 0, 1))
    return float(np.linalg.norm(colour - one - place * direction)) < _MIXTURE_DISTANCE


def _strong(scene: Scene, share: NDArray[np.float32], of_letter: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Sure strokes: letters in the gate, their tails, and what of the other colours lies beside them."""
    sure = share > _STRONG
    reach = dilate(scene.gate, round(_TAIL_REACH * scene.height_px))
    letters = attached((sure & of_letter).astype(np.uint8) & reach, scene.gate)
    return letters | ((sure & ~of_letter).astype(np.uint8) & dilate(letters, _beside_px(scene)))


def _beside_px(scene: Scene) -> int:
    return max(3, round(_BESIDE_SHARE * scene.height_px))


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
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.intp]]:
    """How much of each pixel is letter, how much that letter differs from what is behind it, and which colour it has.

    Returns:
        float32 (H, W), 0..1, of the colour that explains the pixel best; float32 (H, W), grey levels; its number.
    """
    best_share = np.zeros(pixels.shape[:2], np.float32)
    best_contrast = np.zeros(pixels.shape[:2], np.float32)
    which = np.zeros(pixels.shape[:2], np.intp)
    offset = pixels - background
    squared = _dot(offset, offset)
    least = _LEFT_SHARE * squared
    for number, colour in enumerate(colours):
        direction = colour - background
        power, along = _dot(direction, direction), _dot(offset, direction)
        share = np.clip(along / (power + _DAMPING**2), 0, 1)
        # |offset - share * direction|^2, multiplied out
        left = squared - 2 * share * along + np.square(share) * power
        better = left < least
        best_share = np.where(better, share, best_share)
        best_contrast = np.where(better, np.sqrt(power), best_contrast)
        which = np.where(better, number, which)
        least = np.where(better, left, least)
    return best_share, best_contrast, which


def _dot(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scalar product over the channels (a sum over an axis of three is slow in numpy)."""
    return np.asarray(np.einsum("ijk,ijk->ij", one, other), dtype=np.float32)


def grow(strong: NDArray[np.uint8], weak: NDArray[np.uint8], steps: int) -> NDArray[np.uint8]:
    """Hysteresis: weak pixels join where a chain of at most `steps` weak pixels leads to a strong one."""
    grown = strong
    for _ in range(steps):
        grown = np.asarray(cv2.dilate(grown, np.ones((3, 3), np.uint8)), dtype=np.uint8) & (weak | strong)
    return grown | strong
