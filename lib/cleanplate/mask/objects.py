"""Finds the whole of an object by its colours and edges, and moves the edge of a mask to that of the picture."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.ring import dilate

_ROUNDS = 6
_SNAP_RADIUS_PX = 4
_SNAP_EPSILON = 40.0  # variance in grey levels: edges above it hold the mask
_BESIDE_PX = 3
_SMALLEST_SHARE = 0.04  # of the largest part: smaller ones are specks


def grab(
    small: NDArray[np.uint8], sure: NDArray[np.uint8], maybe: NDArray[np.uint8], likely: NDArray[np.uint8]
) -> NDArray[np.uint8] | None:
    """An object by its colours and edges (GrabCut, Rother et al., SIGGRAPH 2004).

    Args:
        small: uint8 (H, W, 3), RGB; its graph has a node per pixel.
        sure: of a hint, at this size.
        maybe: of a hint, at this size.
        likely: of a hint, at this size.

    Returns:
        uint8 (H, W), 0 or 1; None where no object stands out from the ground.
    """
    labels = np.full(small.shape[:2], cv2.GC_BGD, np.uint8)
    labels[maybe > 0] = cv2.GC_PR_BGD
    labels[likely > 0] = cv2.GC_PR_FGD
    labels[sure > 0] = cv2.GC_FGD
    if not (labels == cv2.GC_BGD).any() or not np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).any():
        return None
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)  # its colour models start from random clusters
    try:
        cv2.grabCut(small, labels, (0, 0, 1, 1), *models, _ROUNDS, cv2.GC_INIT_WITH_MASK)
    except cv2.error:  # too few pixels for its colour models
        return None
    hard = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    return solid(hard, sure)


def solid(hard: NDArray[np.uint8], sure: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """An object without specks beside it and holes in it.

    Args:
        hard: uint8 (H, W), 0 or 1.
        sure: uint8 (H, W), 1 where it is for sure.

    Returns:
        uint8 (H, W), 0 or 1; None where nothing is left.
    """
    hard = np.asarray(cv2.morphologyEx(hard, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)), np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(hard | sure, connectivity=8)
    if count < 2:
        return None
    areas = stats[1:, cv2.CC_STAT_AREA]
    kept = [label + 1 for label, area in enumerate(areas) if area >= _SMALLEST_SHARE * areas.max()]
    object_ = np.isin(labels, kept).astype(np.uint8)
    holes, labels, stats, _ = cv2.connectedComponentsWithStats(1 - object_, connectivity=4)
    limit = 0.05 * float(object_.sum())
    for label in range(1, holes):
        if stats[label, cv2.CC_STAT_AREA] < limit:
            object_[labels == label] = 1
    return object_


def beside(hard: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 (H, W), 1 on an object and a few pixels beside it."""
    return dilate(hard, _BESIDE_PX)


def snap(crop: NDArray[np.uint8], mask: NDArray[np.float32], scale: float = 1.0) -> NDArray[np.float32]:
    """Moves the edge of a mask to the edge of the picture near it: a guided filter (He et al., ECCV 2010).

    Args:
        crop: uint8 (H, W, 3), RGB: the guide.
        mask: float32 (H, W), 0..1.
        scale: how many pixels of the crop a pixel of the mask had when it was made.
    """
    guide = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32)
    side = (2 * round(_SNAP_RADIUS_PX * max(1.0, scale)) + 1,) * 2
    mean_guide, mean_mask = cv2.blur(guide, side), cv2.blur(mask, side)
    covariance = cv2.blur(guide * mask, side) - mean_guide * mean_mask
    variance = cv2.blur(guide * guide, side) - mean_guide * mean_guide
    slope = covariance / (variance + _SNAP_EPSILON)
    offset = mean_mask - slope * mean_guide
    alpha = cv2.blur(slope, side) * guide + cv2.blur(offset, side)
    # A filter's tails are no part of the object: what is nearly all or nothing becomes so.
    return np.clip((alpha - 0.2) / 0.6, 0, 1).astype(np.float32)


def resized(mask: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """A mask of 0 and 1 at another size, width first."""
    return np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST), np.uint8)
