"""The colours of letters: those that a text region has more of than its surroundings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

_LEVELS = 16  # bins per channel
_MOST_COLOURS = 3  # fill, outline, shadow
_LETTER_SHARE = 0.4  # of the first colour's mass, from which a colour counts as letters of their own
_SHARED_LINES = 3
_NEAR = 45.0  # grey levels between two estimates of one colour
_REACH_BINS = 1  # neighbouring bins that belong to a peak


@dataclass(frozen=True)
class Peak:
    """A colour, float32 (3,), grey levels, and the share of the inner pixels that have it beyond what is outside."""

    colour: NDArray[np.float32]
    mass: float


def text_colours(
    crop: NDArray[np.uint8], inside: NDArray[np.uint8], outside: NDArray[np.uint8], least_mass: float = 0.04
) -> list[Peak]:
    """Peaks of the colour histogram inside less the one outside, strongest first.

    Args:
        crop: uint8 (H, W, 3), RGB.
        inside: uint8 (H, W), 1 where text is.
        outside: uint8 (H, W), 1 where only background is.
        least_mass: share of the inner pixels under which a colour is chance.

    Returns:
        Up to three peaks; none where inside and outside are alike.
    """
    bins = (crop >> 4).astype(np.int32)
    index = (bins[:, :, 0] * _LEVELS + bins[:, :, 1]) * _LEVELS + bins[:, :, 2]
    own_index, own = index[inside > 0], crop[inside > 0].astype(np.float32)
    own_histogram, other = _histogram(own_index), _histogram(index[outside > 0])
    # A pixel counts as far as its colour is rarer outside: a background of nearly the letters' colour must not pull.
    weight = np.clip(1 - other / np.maximum(own_histogram, 1e-9), 0, 1).ravel()[own_index]
    excess = _smooth(own_histogram - other)
    found: list[Peak] = []
    for _ in range(_MOST_COLOURS):
        peak = np.unravel_index(int(np.argmax(excess)), excess.shape)
        block = tuple(slice(max(0, int(i) - _REACH_BINS), int(i) + _REACH_BINS + 1) for i in peak)
        mass = float(np.clip(excess[block], 0, None).sum())
        if mass < least_mass:
            break
        counts = weight * _members(own_index, peak)
        if float(counts.sum()) >= 1.0:
            found.append(Peak((counts @ own / counts.sum()).astype(np.float32), mass))
        excess[block] = 0
    return found


def shared_colours(lines: Sequence[Sequence[Peak]]) -> list[NDArray[np.float32]]:
    """Colours that lead in many lines of one image: those of a price list or a paragraph.

    Returns:
        float32 (3,) means of groups of at least three lines and a third of all.
    """
    groups: list[list[NDArray[np.float32]]] = []
    for peaks in lines:
        if peaks:
            near = [group for group in groups if _near(peaks[0].colour, group[0])]
            if near:
                near[0].append(peaks[0].colour)
            else:
                groups.append([peaks[0].colour])
    least = max(_SHARED_LINES, len(lines) / 3)
    return [np.mean(group, axis=0).astype(np.float32) for group in groups if len(group) >= least]


def letter_colours(
    peaks: Sequence[Peak], shared: Sequence[NDArray[np.float32]]
) -> tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]:
    """Sorts a line's colours into those of letters and those that count only beside letters (outline, shadow).

    Where many lines of the image share a colour, a line led by it has no other letters (the rest is the photograph),
    and a line that does not show it gets it added.
    """
    strong = [peak for peak in peaks if peak.mass >= _LETTER_SHARE * peaks[0].mass]
    if peaks and any(_near(peaks[0].colour, colour) for colour in shared):
        strong = [peak for peak in strong if any(_near(peak.colour, colour) for colour in shared)]
    letters = [peak.colour for peak in strong]
    if not any(_near(colour, other) for colour in letters for other in shared):
        letters += list(shared)
    weak = [peak.colour for peak in peaks if not any(peak is other for other in strong)]
    return letters, weak


def _near(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    return float(np.linalg.norm(one - other)) < _NEAR


def _histogram(index: NDArray[np.int32]) -> NDArray[np.float32]:
    counts = np.bincount(index, minlength=_LEVELS**3).astype(np.float32).reshape((_LEVELS,) * 3)
    return np.asarray(counts / max(1, len(index)), dtype=np.float32)


def _smooth(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Binomial over the three axes, so that a colour on the border of two bins is one peak."""
    for axis in range(3):
        moved = np.moveaxis(values, axis, 0).reshape(_LEVELS, -1)
        kernel = np.array([0.25, 0.5, 0.25], np.float32).reshape(3, 1)
        blurred = np.asarray(cv2.filter2D(moved, -1, kernel, borderType=cv2.BORDER_REPLICATE), dtype=np.float32)
        values = np.moveaxis(blurred.reshape((_LEVELS,) * 3), 0, axis)
    return np.ascontiguousarray(values, dtype=np.float32)


def _members(index: NDArray[np.int32], peak: tuple[np.intp, ...]) -> NDArray[np.bool_]:
    red, rest = np.divmod(index, _LEVELS**2)
    green, blue = np.divmod(rest, _LEVELS)
    channels = zip((red, green, blue), peak, strict=True)
    near = [np.abs(channel - int(centre)) <= _REACH_BINS for channel, centre in channels]
    return np.asarray(near[0] & near[1] & near[2], dtype=bool)
