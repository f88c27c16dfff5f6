"""The numbers that a group of strokes is judged by: its own, and those of all ink around it that looks like its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.detect.clusters import cluster, ink_colour, joined
from cleanplate.detect.components import Group
from cleanplate.detect.medians import median, quantile
from cleanplate.models.stroke_net import CHANNELS, KIND_CHANNELS
from cleanplate.ring import dilate
from cleanplate.windows import place

_MARGIN_PX = 8  # round a group's box that is looked at
_NEAR_PX, _RING_PX = 2, 4  # pixels this close to a stroke are its rim; the ring lies beyond them
_GROUND_PX = 41  # window of the mean that stands for the ground behind a stroke
_FEWEST_PX = 20  # of a ring
_LINE = 0.3  # of PP-OCR's probability from which a pixel lies on a line
_SOFTEN = 2.0  # grey levels: differences below it are none
_SURROUNDINGS_PX = 48  # round a group's box
_ALIKE = 24.0  # grey levels, of the channel that differs most: colours closer than this are one
_LEAST_SIDE_PX = 4.0  # distances are told in a group's short side, which is no shorter
_HALF_WIDTH = 0.3  # pixels; softens the spread of very thin strokes
_SHARES: tuple[str, ...] = (*KIND_CHANNELS, "plate")

_OWN: tuple[str, ...] = (
    "score", "surest", "beyond", "area", "short_side", "long_side", "fill", "stroke_width",
    *(f"share_{name}" for name in _SHARES), "on_lines", "own_spread", "contrast", "ring_spread", "coherence", "rim",
    "gradient", "width_spread", "parts", "parts_spread", "hull_fill", "roundness", "clutter", "alike_beyond",
    "saturation", "lightness", "ground_lightness", "ground_saturation",
    "border", "border_x", "border_y", "off_middle_x", "off_middle_y", "down", "slant", "off_axis", "short_share",
    "long_share",
)  # fmt: skip
TERMS: tuple[str, ...] = (
    *_OWN, *(f"cluster_{name}" for name in _OWN), "members", "share_of_cluster", "colour_spread", "strokes_in_picture",
)  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """What a group is judged by.

    Attributes:
        picture: uint8 (H, W, 3), RGB.
        line_map: float32 (H, W), 0..1, PP-OCR's probability of text.
        maps: float32 (7, H, W), 0..1, the stroke network's, in the order of stroke_net.CHANNELS.
        threshold: from which a pixel is a stroke.
    """

    picture: NDArray[np.uint8]
    line_map: NDArray[np.float32]
    maps: NDArray[np.float32]
    threshold: float


def ink_px(group: Group, threshold: float) -> int:
    """How many pixels of a group are strokes."""
    return int(np.count_nonzero(group.confidence >= threshold))


def terms_of(groups: Sequence[Group], seen: Seen) -> NDArray[np.float64]:
    """The numbers that speak for marks or against them.

    They say how sure the network is and whether that ends at the strokes' rims; the size and the shape; what kinds it
    takes the strokes for; and what the pixels themselves show: whether they differ from the ground behind them by one
    and the same colour, as ink does, whether that colour is the surroundings' too, whether the strokes are of one width
    and their rims sharper than their surroundings; and where they are: credits and dates lie upright along the border,
    a logo keeps its distance from it. The same is asked of all ink of one colour nearby, taken for one
    thing: a letter of a stamp says little, the stamp says much.

    Args:
        groups: of one picture, G of them, each with at least one stroke.
        seen: the picture and its maps.

    Returns:
        float64 (G, T), in the order of TERMS.
    """
    if not groups:
        return np.zeros((0, len(TERMS)))
    strokes = (seen.maps[0] >= seen.threshold).astype(np.uint8)
    colours = np.stack([ink_colour(group, seen.picture, seen.threshold) for group in groups])
    pixels = np.array([ink_px(group, seen.threshold) for group in groups])
    clusters = cluster(groups, colours)
    own = np.stack([_own_terms(group, ink, seen, strokes) for group, ink in zip(groups, colours, strict=True)])
    whole = own.copy()
    shared = np.zeros((len(groups), 4))
    shared[:, 3] = math.log(float(strokes.mean()) + 1e-4)
    for number in np.unique(clusters):
        members = [int(index) for index in np.flatnonzero(clusters == number)]
        if len(members) > 1:
            thing = joined([groups[index] for index in members])
            whole[members] = _own_terms(thing, ink_colour(thing, seen.picture, seen.threshold), seen, strokes)
        apart = np.abs(colours[members] - np.median(colours[members], axis=0)).max(axis=1)
        shared[members, 0] = math.log(len(members))
        shared[members, 1] = pixels[members] / pixels[members].sum()
        shared[members, 2] = np.average(apart, weights=pixels[members])
    return np.hstack([own, whole, shared])


def _own_terms(
    group: Group, ink: NDArray[np.float32], seen: Seen, strokes: NDArray[np.uint8]
) -> NDArray[np.float64]:
    box = group.box.expand(_MARGIN_PX, seen.picture.shape[1], seen.picture.shape[0])
    maps = seen.maps[(slice(None), *box.slices)]
    confidence = place(group.confidence, group.box, box)
    core = (confidence >= seen.threshold).astype(np.uint8)
    near = dilate(core, _NEAR_PX)
    ring = (dilate(near, _RING_PX) - near) > 0
    if np.count_nonzero(ring) < _FEWEST_PX:
        ring = near == 0 if (near == 0).any() else core > 0
    own, beyond = confidence[core > 0], maps[0][(near - core) > 0]
    points = np.argwhere(core)[:, ::-1].astype(np.int32)
    rectangle = cv2.minAreaRect(points)
    sides = sorted(side + 1 for side in rectangle[1])
    mass = max(float((maps[0] * confidence).sum()), 1e-6)
    shares = [float((maps[CHANNELS.index(name)] * confidence).sum()) / mass for name in _SHARES]
    depth = cv2.distanceTransform(np.pad(core, 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    return np.array([
        group.score, quantile(own, 0.9), float(beyond.mean()) if beyond.size else 0.0,
        math.log(len(own)), math.log(sides[0]), math.log(sides[1]), len(own) / (sides[0] * sides[1]),
        math.log(float(depth[core > 0].mean()) + 0.1), *shares,
        float((seen.line_map[box.slices][core > 0] > _LINE).mean()),
        *_ink_terms(seen.picture[box.slices].astype(np.float32), confidence, core, near, ring),
        *_shape_terms(core, depth, points, group.box.area_px),
        *_ground_terms(group, ink, seen, strokes),
        *_place_terms(points + np.array([box.left, box.top]), rectangle, seen.picture.shape[:2]),
    ])  # fmt: skip


def _ink_terms(
    crop: NDArray[np.float32],
    confidence: NDArray[np.float32],
    core: NDArray[np.uint8],
    near: NDArray[np.uint8],
    ring: NDArray[np.bool_],
) -> list[float]:
    """Terms of the pixels: own spread, contrast, the ring's spread, coherence, rim, gradient."""
    sure = (core > 0) & (confidence >= median(confidence[core > 0]))
    known = (near == 0).astype(np.float32)
    window = (_GROUND_PX, _GROUND_PX)
    ground = cv2.blur(crop * known[..., None], window) / (cv2.blur(known, window) + 1e-3)[..., None]
    differences = (crop - ground)[sure]
    middle = median(differences)
    contrast = float(np.linalg.norm(middle))
    rest = float(median(np.linalg.norm(differences - middle, axis=1)))
    grey = cv2.transform(crop, np.full((1, 3), 1 / 3, np.float32))
    gradient = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)) / 8
    kernel = np.ones((3, 3), np.uint8)
    inner = cv2.erode(core, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    rim = float(gradient[(cv2.dilate(core, kernel) - inner) > 0].mean())
    return [
        math.log(_spread(crop[sure]) + _SOFTEN), math.log(contrast + _SOFTEN), math.log(_spread(crop[ring]) + _SOFTEN),
        math.log(contrast / (rest + 2 * _SOFTEN) + 0.1), math.log((rim + 1) / (float(gradient[ring].mean()) + 1)),
        math.log(rim + 1),
    ]  # fmt: skip


def _shape_terms(
    core: NDArray[np.uint8], depth: NDArray[Any], points: NDArray[np.int32], box_px: int
) -> list[float]:
    """Terms of the shape: spread of the width (Epshtein et al., CVPR 2010), parts, their spread, hull, roundness."""
    ridge = depth[(core > 0) & (depth >= cv2.dilate(depth, np.ones((3, 3), np.uint8)) - 1e-3)]
    count, _, stats, _ = cv2.connectedComponentsWithStats(core, connectivity=8)
    sizes = np.log(stats[1:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(axis=1))
    areas = stats[1:, cv2.CC_STAT_AREA]
    spread = math.sqrt(float(np.average((sizes - np.average(sizes, weights=areas)) ** 2, weights=areas)))
    hull = cv2.convexHull(points)
    area, length = cv2.contourArea(hull) + 1, cv2.arcLength(hull, closed=True) + 1
    return [
        float(ridge.std() / (ridge.mean() + _HALF_WIDTH)), math.log(count - 1), spread,
        area / (box_px + 1), 4 * math.pi * area / length**2,
    ]  # fmt: skip


def _ground_terms(group: Group, ink: NDArray[np.float32], seen: Seen, strokes: NDArray[np.uint8]) -> list[float]:
    """Terms of the surroundings: strokes that are others', how much has the ink's colour, and the colours of both."""
    box = group.box.expand(_SURROUNDINGS_PX, seen.picture.shape[1], seen.picture.shape[0])
    core = (place(group.confidence, group.box, box) >= seen.threshold).astype(np.uint8)
    near = dilate(core, _NEAR_PX)
    outside, far = 1 - near, 1 - dilate(near, _NEAR_PX)
    crop = np.ascontiguousarray(seen.picture[box.slices])
    alike = cv2.bitwise_and(cv2.inRange(crop, ink - _ALIKE, ink + _ALIKE), far)
    red, green, blue = cv2.split(crop)
    spread = cv2.subtract(cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue))
    count = cv2.countNonZero(far)
    ground = cv2.mean(crop, far)[:3] if count else ink
    return [
        cv2.countNonZero(cv2.bitwise_and(strokes[box.slices], outside)) / (cv2.countNonZero(outside) + 1),
        cv2.countNonZero(alike) / (count + 1),
        float(np.ptp(ink)), float(ink.mean()), float(np.mean(ground)), cv2.mean(spread, far)[0],
    ]  # fmt: skip


def _place_terms(points: NDArray[np.int32], rectangle: Any, shape: tuple[int, ...]) -> list[float]:
    """Terms of the place: how far from the picture's border and middle, at what angle, how large a part of it.

    Args:
        points: int32 (N, 2), x and y of the strokes in the picture.
        rectangle: the smallest around them: middle, sides and angle in degrees, as OpenCV has it.
        shape: height and width of the picture.
    """
    size = np.array(shape[::-1], np.float64)
    first, last = points.min(axis=0), points.max(axis=0)
    (wide, tall), angle = rectangle[1], rectangle[2] + (90 if rectangle[1][0] < rectangle[1][1] else 0)
    short, long = max(min(wide, tall), _LEAST_SIDE_PX), max(wide, tall, 1.0)
    away = np.minimum(first, size - 1 - last)
    middle = (first + last) / 2 / size
    slant = abs((angle + 90) % 180 - 90)
    return [
        math.log1p(away.min() / short), *np.log1p(away / short), *np.abs(middle - 0.5), float(middle[1]),
        slant, min(slant, 90 - slant), math.log(short / size.min()), math.log(long / size[0]),
    ]  # fmt: skip


def _spread(pixels: NDArray[np.float32]) -> float:
    """Median absolute deviation of the channel that varies most, of pixels (N, 3)."""
    return float(median(np.abs(pixels - median(pixels))).max())
