"""From a box, a point or a rough brush to the whole silhouette of an object, with the shadow that it casts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.records import Box
from cleanplate.ring import dilate

_LONG_SIDE_PX = 360  # GrabCut works at this size: its graph has a node per pixel
_ROUNDS = 6
_RIM_SHARE = 0.06  # of a box's sides: its rim is more likely background
_BRUSH_REACH = 0.25  # of a brush's longer side: how far the object may reach beyond it
_POINT_REACH = 0.22  # of the picture's shorter side, around a point
_POINT_TOLERANCE = 18.0  # grey levels of a smoothed picture that still count as the point's own surface
_SNAP_RADIUS_PX = 4
_SNAP_EPSILON = 40.0  # variance in grey levels: edges above it hold the mask
_SMALLEST_SHARE = 0.04  # of the largest part: smaller ones are specks
_DARKEST, _LIGHTEST = 0.25, 0.93  # of the ground's luminance: what may be shadow
_CHROMA = 14.0  # units of CIE a* and b*: a shadow keeps the ground's colour
_SPREADS = 1.0  # deviations of the ground's own luminance that a shadow must be darker by
_REACH = 0.4  # of the object's longer side: how far its shadow falls
_FEWEST_SHARE, _SHADOW_AREA = 0.02, 1.0  # of the object's area
_AROUND = 0.5  # of all that lies near the object


class Segmenter(Protocol):
    """A model that knows objects."""

    def segment(self, crop: NDArray[np.uint8], hint: Box) -> NDArray[np.float32]:
        """The object in a box of the crop, or under a point (a box of one pixel): float32 (H, W), 0..1."""
        ...


@dataclass(frozen=True)
class Hint:
    """Where an object is, in a window of a picture.

    Attributes:
        sure: uint8 (H, W), 1 where the object is for sure.
        maybe: uint8 (H, W), 1 where it may be; elsewhere it is not.
        likely: uint8 (H, W), 1 where it is more likely than not.
    """

    sure: NDArray[np.uint8]
    maybe: NDArray[np.uint8]
    likely: NDArray[np.uint8]


def hint_of_box(box: Box, window: Box) -> Hint:
    """The object fills most of a box and does not leave it."""
    maybe = _filled(box, window)
    rim = max(1, round(_RIM_SHARE * min(box.width, box.height)))
    inner = Box(box.left + rim, box.top + rim, box.right - rim, box.bottom - rim)
    likely = _filled(inner if inner.area_px else box, window)
    return Hint(np.zeros_like(maybe), maybe, likely)


def hint_of_brush(brush: NDArray[np.uint8]) -> Hint:
    """The object is where the brush went, more or less, and a little beyond.

    Args:
        brush: uint8 (H, W), 0 or 1, in the window.
    """
    reach = max(3, round(_BRUSH_REACH * _extent(brush)))
    core = cv2.erode(brush, np.ones((3, 3), np.uint8), iterations=max(1, round(0.08 * _extent(brush))))
    return Hint(np.asarray(core, np.uint8), dilate(brush, reach), brush)


def hint_of_point(crop: NDArray[np.uint8], x: int, y: int) -> Hint:
    """The object is the surface under a point and what looks like it, not far away.

    Args:
        crop: uint8 (H, W, 3), RGB: the window.
        x: of the point in the window.
        y: of the point in the window.
    """
    smooth = cv2.bilateralFilter(crop, 7, 40, 7)
    seen = np.zeros((crop.shape[0] + 2, crop.shape[1] + 2), np.uint8)
    spread = (_POINT_TOLERANCE,) * 3
    cv2.floodFill(smooth, seen, (x, y), (0, 0, 0), spread, spread, 4 | cv2.FLOODFILL_MASK_ONLY | (1 << 8))
    likely = np.ascontiguousarray(seen[1:-1, 1:-1])
    sure = np.zeros_like(likely)
    cv2.circle(sure, (x, y), 2, 1, -1)
    maybe = np.zeros_like(likely)
    cv2.circle(maybe, (x, y), max(4, min(crop.shape[:2]) // 2 - 1), 1, -1)
    return Hint(sure, maybe | likely, likely | sure)


def window_of(box: Box, width: int, height: int) -> Box:
    """What is looked at around a box: enough ground to learn its colours, and room for a shadow."""
    return box.expand(max(12, round(0.4 * max(box.width, box.height))), width, height)


def point_window(x: int, y: int, width: int, height: int) -> Box:
    """What is looked at around a point of a picture of width x height."""
    reach = max(16, round(_POINT_REACH * min(width, height)))
    return Box(x - reach, y - reach, x + reach, y + reach).clip(width, height)


def silhouette(crop: NDArray[np.uint8], hint: Hint) -> NDArray[np.float32] | None:
    """Segments an object with its shadow by colour and edges (GrabCut, Rother et al., SIGGRAPH 2004).

    Args:
        crop: uint8 (H, W, 3), RGB: the window.
        hint: where it is.

    Returns:
        float32 (H, W), 0..1, soft at the edges; None where no object stands out from the ground.
    """
    height, width = crop.shape[:2]
    scale = min(1.0, _LONG_SIDE_PX / max(height, width))
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    small = np.asarray(cv2.resize(crop, size, interpolation=cv2.INTER_AREA), np.uint8)
    hard = _grab(small, *(_shrunk(part, size) for part in (hint.sure, hint.maybe, hint.likely)))
    if hard is None:
        return None
    whole = cv2.resize(hard.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    alpha = np.maximum(snap(crop, np.asarray(whole, np.float32)), hint.sure)
    shade = cast_shadow(small, hard, _shrunk(hint.maybe, size))
    return np.asarray(np.maximum(alpha, cv2.resize(shade.astype(np.float32), (width, height))), np.float32)


def from_segmenter(crop: NDArray[np.uint8], hint: Hint, alpha: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """A segmenter's mask with the shadow that the object casts.

    Args:
        crop: uint8 (H, W, 3), RGB: the window.
        hint: where the object was looked for.
        alpha: float32 (H, W), 0..1, as the segmenter gave it.

    Returns:
        float32 (H, W), 0..1; None where it found nothing.
    """
    hard = (alpha >= 0.5).astype(np.uint8)
    if not hard.any():
        return None
    return np.maximum(alpha, cast_shadow(crop, hard, hint.maybe).astype(np.float32))


def snap(crop: NDArray[np.uint8], mask: NDArray[np.float32]) -> NDArray[np.float32]:
    """Moves the edge of a mask to the edge of the picture near it: a guided filter (He et al., ECCV 2010).

    Args:
        crop: uint8 (H, W, 3), RGB: the guide.
        mask: float32 (H, W), 0..1.
    """
    guide = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32)
    side = (2 * _SNAP_RADIUS_PX + 1,) * 2
    mean_guide, mean_mask = cv2.blur(guide, side), cv2.blur(mask, side)
    covariance = cv2.blur(guide * mask, side) - mean_guide * mean_mask
    variance = cv2.blur(guide * guide, side) - mean_guide * mean_guide
    slope = covariance / (variance + _SNAP_EPSILON)
    offset = mean_mask - slope * mean_guide
    alpha = cv2.blur(slope, side) * guide + cv2.blur(offset, side)
    # A filter's tails are no part of the object: what is nearly all or nothing becomes so.
    return np.clip((alpha - 0.2) / 0.6, 0, 1).astype(np.float32)


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


def _grab(
    small: NDArray[np.uint8], sure: NDArray[np.uint8], maybe: NDArray[np.uint8], likely: NDArray[np.uint8]
) -> NDArray[np.uint8] | None:
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
    return _solid(hard, sure)


def _solid(hard: NDArray[np.uint8], sure: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """The object without specks beside it and holes in it."""
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


def _filled(box: Box, window: Box) -> NDArray[np.uint8]:
    mask = np.zeros((window.height, window.width), np.uint8)
    mask[box.top - window.top : box.bottom - window.top, box.left - window.left : box.right - window.left] = 1
    return mask


def _shrunk(mask: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST), np.uint8)


def _extent(mask: NDArray[np.uint8]) -> int:
    """The longer side of what is set in a mask, in pixels."""
    box = Box.around(mask)
    return max(box.width, box.height)
