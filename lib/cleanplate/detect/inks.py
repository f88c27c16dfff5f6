"""Sharpens the strokes of a group by their colours: what has the colour of the ground is no ink."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.special import expit, logit

from cleanplate.records import Box
from cleanplate.ring import dilate
from cleanplate.windows import place

_AROUND_PX = 48  # how far the ground is looked at
_INK, _GROUND = 0.6, 0.18  # confidence from which a pixel is ink for sure, and up to which it is ground ...
_SURENESS = 3  # power of the confidence by which ink counts: the surest pixels say best what colour it has
_APART_PX = 4  # ... so far from anything above
_LEAST_MASS = 20.0  # pixels of either, below which colours say nothing
_BINS, _BLUR_BINS = 32, 1.5  # a channel's bins of the histograms, and their blur
_UNSEEN = 1.0  # share of the even spread over all colours that is added: no colour is impossible
_LEAST = 0.05  # confidence up to which a pixel is none of the group's, whatever its colour, ...
_REACH_PX, _MISSED = 10, 0.1  # ... unless it is this near to one that is: the network may have missed it; ...
_REACHES = 3  # ... so often is looked further from what was found so
_JOINS = 0.15  # probability from which on the group's box is made larger for a pixel
# Logistic regression of the truth on both log odds, photographs that no network was trained on. Pictures drawn anew on
# them (training/fit_inks.py) gave 0.62, 0.66, -0.74.
_OF_NETWORK, _OF_COLOUR, _OFFSET = 0.60, 0.68, -0.91


def sharpened(
    picture: NDArray[np.uint8], strokes: NDArray[np.float32], box: Box, stroke_map: NDArray[np.float32]
) -> tuple[NDArray[np.float32], Box]:
    """The strokes of a group, where the odds of the pixels' colours are weighed in.

    How much likelier a colour is among the group's surest pixels than on the ground around them is measured by two
    histograms; the odds of network and colour add up like independent evidence (naive Bayes, with fitted weights).
    Bits of the ink's colour close to the group's strokes join it, though the network did not see them.

    Args:
        picture: uint8 (H, W, 3), RGB.
        strokes: float32 (box.height, box.width), 0..1, how sure the network is of each pixel.
        box: of the group.
        stroke_map: float32 (H, W), 0..1, the network's map: what it is sure of elsewhere is no ground.

    Returns:
        float32 (h, w): the probability that a pixel is the group's; and its box, the group's or a little larger.
        `strokes` and `box` themselves where too little is sure.
    """
    judged = colour_odds(picture, strokes, box, stroke_map)
    if judged is None:
        return strokes, box
    odds, around = judged
    values = place(strokes, box, around)
    found = _weighed(values, odds)
    for _ in range(_REACHES):
        near = dilate((found > 0.5).astype(np.uint8), _REACH_PX) > 0
        found = _weighed(np.where(near, np.maximum(values, _MISSED), values), odds)
    larger = Box.around(found > _JOINS).moved(around.left, around.top).union(box)
    return place(found, around, larger), larger


def colour_odds(
    picture: NDArray[np.uint8], strokes: NDArray[np.float32], box: Box, stroke_map: NDArray[np.float32]
) -> tuple[NDArray[np.float64], Box] | None:
    """The log odds of the pixels' colours, of ink against ground, in and around a group.

    Args:
        picture: see `sharpened`, also of the others.
        strokes: likewise.
        box: likewise.
        stroke_map: likewise.

    Returns:
        float64 (h, w), and the box around the group's that it is of; None where too little is sure.
    """
    around = box.expand(_AROUND_PX, stroke_map.shape[1], stroke_map.shape[0])
    values = place(strokes, box, around)
    taken = (np.maximum(values, stroke_map[around.slices]) > _GROUND).astype(np.uint8)
    ink = np.where(values > _INK, values, 0) ** _SURENESS
    ground = np.where(dilate(taken, _APART_PX) > 0, 0, 1 - values)
    if min(ink.sum(), ground.sum()) < _LEAST_MASS:
        return None
    bins = _bins_of(picture[around.slices])
    return np.log(_frequency(bins, ink) / _frequency(bins, ground))[bins], around


def _weighed(values: NDArray[np.float32], odds: NDArray[np.float64]) -> NDArray[np.float32]:
    """The network's confidence and the log odds of the colours together, float32 (H, W), 0..1."""
    both = expit(_OF_NETWORK * logit(np.clip(values, 0.01, 0.99)) + _OF_COLOUR * odds + _OFFSET)
    return np.where(values > _LEAST, both, values).astype(np.float32)


def _bins_of(pixels: NDArray[np.uint8]) -> NDArray[np.int32]:
    """The bin of each pixel's colour, int32 (H, W)."""
    red, green, blue = cv2.split((pixels // (256 // _BINS)).astype(np.int32))
    return np.asarray((red * _BINS + green) * _BINS + blue)


def _frequency(bins: NDArray[np.int32], weight: NDArray[np.float32]) -> NDArray[np.float64]:
    """How often each bin is met among weighed pixels, float64 (_BINS ** 3,); never 0."""
    counts = np.bincount(bins.ravel(), weight.ravel(), minlength=_BINS**3).reshape(_BINS, _BINS, _BINS)
    spread = gaussian_filter(counts, _BLUR_BINS, mode="nearest").ravel()
    return np.asarray(spread / weight.sum() + _UNSEEN / spread.size)
