"""Finds the groups of strokes that are parts of one thing: near each other, and of one ink."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from cleanplate.detect.components import Group
from cleanplate.detect.medians import median
from cleanplate.records import Box

_REACH_SHARE = 1.0  # of the shorter of two groups: how far apart they may lie ...
_LEAST_REACH_PX, _MOST_REACH_PX = 12, 100  # ... within these
_ONE_INK = 40.0  # grey levels, of the channel that differs most


def ink_colour(group: Group, picture: NDArray[np.uint8], threshold: float) -> NDArray[np.float32]:
    """The median colour of the surer half of a group's strokes, float32 (3,), RGB, 0..255.

    Args:
        group: with at least one stroke.
        picture: uint8 (H, W, 3), RGB.
        threshold: confidence from which a pixel is a stroke.
    """
    core = group.confidence >= threshold
    sure = core & (group.confidence >= median(group.confidence[core]))
    return median(picture[group.box.slices][sure].astype(np.float32))


def cluster(groups: Sequence[Group], colours: NDArray[np.float32]) -> NDArray[np.intp]:
    """The number of the thing that each of G groups is part of, intp (G,).

    Args:
        groups: of one picture.
        colours: float32 (G, 3), of their ink.
    """
    start = np.array([[group.box.left, group.box.top] for group in groups], np.float32).reshape(-1, 2)
    stop = np.array([[group.box.right, group.box.bottom] for group in groups], np.float32).reshape(-1, 2)
    beside, below = gaps(start, stop)
    size = np.array([max(cv2.minAreaRect(group.polygon)[1]) for group in groups])
    reach = np.clip(_REACH_SHARE * np.minimum.outer(size, size), _LEAST_REACH_PX, _MOST_REACH_PX)
    apart = np.abs(colours[:, None] - colours[None]).max(axis=2)
    numbers = connected_components((np.maximum(beside, below) <= reach) & (apart <= _ONE_INK), directed=False)[1]
    return np.asarray(numbers, np.intp)


def gaps(start: NDArray[np.float32], stop: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """How far N boxes lie apart, two by two: beside and below each other, float32 (N, N), pixels; overlaps negative.

    Args:
        start: float32 (N, 2), x and y of their upper left corners.
        stop: float32 (N, 2), of their lower right corners.
    """
    beside, below = (
        np.maximum.outer(first, first) - np.minimum.outer(last, last)
        for first, last in zip(start.T, stop.T, strict=True)
    )
    return beside, below


def joined(groups: Sequence[Group]) -> Group:
    """Several groups as one; its rectangle is the smallest around theirs.

    Raises:
        ValueError: there are none.
    """
    if not groups:
        raise ValueError("no groups to join")
    box = reduce(Box.union, (group.box for group in groups))
    confidence = np.zeros((box.height, box.width), np.float32)
    for group in groups:
        inside = confidence[group.box.top - box.top :, group.box.left - box.left :]
        inside = inside[: group.box.height, : group.box.width]
        np.maximum(inside, group.confidence, out=inside)
    weights = [float(group.confidence.sum()) for group in groups]
    rectangle = cv2.minAreaRect(np.concatenate([group.polygon for group in groups]))
    return Group(
        box=box,
        confidence=confidence,
        score=float(np.average([group.score for group in groups], weights=weights)),
        polygon=np.asarray(cv2.boxPoints(rectangle), np.float32),
        height_px=float(min(rectangle[1])) + 1.0,
    )
