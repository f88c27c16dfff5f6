"""Groups the strokes of a probability map into the things that they make: words, signatures, stamps."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.records import Box
from cleanplate.ring import dilate

_REACH_SHARE = 0.3  # strokes closer than this share of their size belong together
_REACHES_PX = (2, 4, 8, 16)  # the reach is rounded down to one of these
_RIM_PX = 2  # of the map below the threshold that a group keeps
_MOST_GROUPS = 1000


@dataclass(frozen=True)
class Group:
    """Strokes that belong together.

    Attributes:
        box: around them and their soft rim.
        confidence: float32 (box.height, box.width), 0..1, the map where it is this group's, 0 elsewhere.
        score: mean of the map over the pixels above the threshold.
        polygon: float32 (4, 2), x and y of the smallest rectangle around the strokes.
        height_px: its short side.
    """

    box: Box
    confidence: NDArray[np.float32]
    score: float
    polygon: NDArray[np.float32]
    height_px: float


def group_strokes(confidence: NDArray[np.float32], threshold: float, min_side_px: int) -> list[Group]:
    """Finds the groups of strokes in a map.

    Args:
        confidence: float32 (H, W), 0..1.
        threshold: from which a pixel is a stroke.
        min_side_px: groups whose longer side is shorter are dropped.

    Returns:
        The groups, top to bottom; the largest thousand if there are more.
    """
    strokes = (confidence >= threshold).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(_grown(strokes), connectivity=8)
    largest = 1 + np.argsort(-stats[1:count, cv2.CC_STAT_AREA], kind="stable")[:_MOST_GROUPS]
    members = np.asarray(labels, np.int32)
    found = [_group(confidence, strokes, members, stats[label], int(label), min_side_px) for label in largest]
    return sorted((g for g in found if g is not None), key=lambda group: (group.box.top, group.box.left))


def _grown(strokes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Every stroke grown by its own reach, so that letters of a line touch."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(strokes, connectivity=8)
    longer = np.maximum(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT])
    bucket = np.searchsorted(_REACHES_PX, longer * _REACH_SHARE, side="right")
    grown = np.zeros_like(strokes)
    for number, reach in enumerate((_RIM_PX, *_REACHES_PX)):
        members = ((bucket[labels] == number) & (labels > 0)).astype(np.uint8)
        grown |= dilate(members, reach)
    return grown


def _group(
    confidence: NDArray[np.float32],
    strokes: NDArray[np.uint8],
    labels: NDArray[np.int32],
    stats: NDArray[np.int32],
    label: int,
    min_side_px: int,
) -> Group | None:
    left, top, width, height = (int(value) for value in stats[:4])
    box = Box(left, top, left + width, top + height)
    own = labels[box.slices] == label
    own_strokes = own & (strokes[box.slices] > 0)
    points = np.argwhere(own_strokes)[:, ::-1].astype(np.int32)
    if not len(points) or np.ptp(points, axis=0).max() + 1 < min_side_px:
        return None
    rectangle = cv2.minAreaRect(points)
    return Group(
        box=box,
        confidence=np.where(own, confidence[box.slices], 0).astype(np.float32),
        score=float(confidence[box.slices][own_strokes].mean()),
        polygon=(cv2.boxPoints(rectangle) + np.array([left, top])).astype(np.float32),
        height_px=float(min(rectangle[1])) + 1.0,
    )
