"""The shapes of plates behind captions and prices: rectangles with round corners, turned, perhaps seen at a slant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.records import Box

PART = 8  # neighbours on an outline that belong together: a side that leaves its edge half way is half a side
PARTS_OF_SIDE = 100  # of which number n has parts from this times n on: upper, right, lower, left, then the corners
_SAMPLES = 120  # of an outline, about
_LEAST_RADIUS_PX = 3.0  # corners that are less round have no points of their own
_SIDE_MARGIN_PX, _SIDE_MARGIN = 3.0, 0.1  # of a sharp corner that no point of a side is near; and of the shorter side
_FINE, _FINEST_PX = 2.0, 512.0  # pixels of a plate's upright picture for one of the picture's, up to this side

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Block:
    """Lines of an overlay that may share a plate.

    Attributes:
        points: float64 (N, 2), x and y of the corners of its lines, four of each.
        height_px: of a line.
        angle: of the longest line's direction, in radians, clockwise from the right.
    """

    points: Points
    height_px: float
    angle: float

    @property
    def middles(self) -> Points:
        """Of its lines, float64 (L, 2)."""
        return np.asarray(self.points.reshape(-1, 4, 2).mean(axis=1))

    @classmethod
    def of(cls, polygons: Sequence[NDArray[np.float32]], heights_px: Sequence[float]) -> Block:
        """The block of some lines' outlines, float32 (4, 2), x and y, each."""
        sides = np.concatenate([np.roll(polygon, -1, axis=0) - polygon for polygon in polygons]).astype(np.float64)
        across, down = sides[int(np.hypot(*sides.T).argmax())]
        angle = (np.arctan2(down, across) + np.pi / 2) % np.pi - np.pi / 2  # a line has no direction
        return cls(np.concatenate(polygons).astype(np.float64), float(np.median(heights_px)), float(angle))


@dataclass(frozen=True, eq=False)
class Plate:
    """A rectangle with round corners, turned, perhaps seen at a slant.

    Attributes:
        origin: x and y that its corners count from.
        angle: of the axes that they count along, in radians, clockwise.
        corners: float64 (4, 2), in pixels, the upper left one first, then clockwise.
        rounding: radius of the corners over the shorter side, 0 to 0.5.
        score: how well its edges are one plate's, -1..1.
    """

    origin: tuple[float, float]
    angle: float
    corners: Points
    rounding: float = 0.0
    score: float = -1.0

    @classmethod
    def upright(cls, origin: tuple[float, float], angle: float, low: Points, high: Points) -> Plate:
        """The rectangle between two corners, float64 (2,)."""
        (left, top), (right, bottom) = low, high
        return cls(origin, angle, np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64))

    @cached_property
    def size(self) -> tuple[float, float]:
        """The mean width and height."""
        upper, right, lower, left = np.hypot(*(np.roll(self.corners, -1, axis=0) - self.corners).T)
        return float(upper + lower) / 2, float(left + right) / 2

    def with_side(self, side: int, by_px: float) -> Plate:
        """With one side, of (upper, right, lower, left), moved outwards along the sides beside it."""
        ends = [side, (side + 1) % 4]
        corners = self.corners.copy()
        for end, other in zip(ends, ((side - 1) % 4, (side + 2) % 4), strict=True):
            along = self.corners[end] - self.corners[other]
            corners[end] += by_px * along / max(1e-6, float(np.hypot(*along)))
        return replace(self, corners=corners)

    def with_corner(self, corner: int, by_px: tuple[float, float]) -> Plate:
        """With one corner moved."""
        corners = self.corners.copy()
        corners[corner] += by_px
        return replace(self, corners=corners)

    def turned(self, angle: float) -> Plate:
        """Turned about its middle, in radians, clockwise."""
        middle = self.corners.mean(axis=0)
        return replace(self, corners=(self.corners - middle) @ turn(angle).T + middle)

    def seen(self, points: Points) -> Points:
        """Where points (..., 2) along its axes are: x and y."""
        return points @ turn(self.angle).T + self.origin

    def covers(self, points: Points) -> NDArray[np.bool_]:
        """Which points (..., 2), x and y, lie on it."""
        own = (points - self.origin) @ turn(self.angle)
        back = np.linalg.inv(self.slant())
        flat = (own @ back[:2, :2].T + back[:2, 2]) / (own @ back[2, :2] + back[2, 2])[..., None]
        middle = np.array(self.size) / 2
        radius = self.rounding * 2 * middle.min()
        beyond = np.maximum(np.abs(flat - middle) - (middle - radius), 0)
        return np.asarray(np.hypot(*np.moveaxis(beyond, -1, 0)) <= radius)

    def mask(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """How much of each pixel it covers, float32 (H, W), 0..1."""
        width, height = (max(1.0, side) for side in self.size)
        grain = _FINE / max(1.0, (width * height) ** 0.5 / _FINEST_PX)  # of the upright picture that is slanted
        rows, columns = (max(2, round(side * grain)) for side in (height, width))
        down, across = np.mgrid[:rows, :columns].astype(np.float32) + 0.5
        radius = self.rounding * min(rows, columns)
        beyond_x, beyond_y = (
            np.maximum(radius - at, at - long + radius) for at, long in ((across, columns), (down, rows))
        )
        outside = np.hypot(np.maximum(beyond_x, 0), np.maximum(beyond_y, 0)) - radius
        flat = np.clip(0.5 - outside, 0, 1).astype(np.float32) if radius else np.ones((rows, columns), np.float32)
        target = self.seen(self.corners)
        source = np.array([[0, 0], [columns, 0], [columns, rows], [0, rows]]) - 0.5
        matrix = cv2.getPerspectiveTransform(source.astype(np.float32), target.astype(np.float32))
        return np.asarray(cv2.warpPerspective(flat, matrix, shape[1::-1], flags=cv2.INTER_AREA), np.float32)

    def slant(self) -> NDArray[np.float64]:
        """From the upright rectangle of its size to its corners."""
        width, height = self.size
        flat = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
        return np.asarray(cv2.getPerspectiveTransform(flat, self.corners.astype(np.float32)), np.float64)


@dataclass(frozen=True, eq=False)
class Outline:
    """Points along the outlines of plates that are much alike, so that they can be compared point by point.

    Attributes:
        side: int (N,), which side a point lies on, (upper, right, lower, left), then the corners, the lower right one
            first, clockwise.
        along: float64 (N,), 0..1, how far from its beginning.
        parts: int (N,), the part of the outline, of PART points or fewer, that it belongs to.
    """

    side: NDArray[np.int_]
    along: Points
    parts: NDArray[np.int_]

    @classmethod
    def of(cls, plate: Plate) -> Outline:
        """About as many points as its outline has pixels, but no more than a few hundred."""
        (width, height), (radius, margin) = plate.size, _bends(np.array([plate.size]), plate.rounding)[:, 0]
        step = max(1.0, (width + height) / _SAMPLES)
        corner = int(radius * np.pi / 2 / step) if radius > _LEAST_RADIUS_PX else 0
        counts = [int(max(0.0, long - 2 * margin) / step) for long in (width, height)] * 2 + [corner] * 4
        numbers = [np.arange(count) for count in counts]
        return cls(
            np.repeat(np.arange(8), counts),
            np.concatenate([(number + 0.5) / max(1, len(number)) for number in numbers]),
            np.concatenate([PARTS_OF_SIDE * side + number // PART for side, number in enumerate(numbers)]),
        )

    def beside(self, plates: Sequence[Plate], away_px: Sequence[float]) -> Points:
        """Where the points lie on some plates, and beside them.

        Args:
            plates: P of one origin, angle and rounding.
            away_px: how far outside of the outline, K values.

        Returns:
            float64 (K, P, N, 2), x and y.
        """
        sizes = np.array([plate.size for plate in plates])
        radius, margin = (bend[:, None] for bend in _bends(sizes, plates[0].rounding))
        flat, outward = np.empty((len(plates), len(self.side), 2)), np.empty((len(self.side), 2))
        for side in range(4):
            own, across = self.side == side, side % 2  # along which axis the side is fixed
            outward[own] = turn(side * np.pi / 2) @ (0.0, -1.0)
            long, beyond = sizes[:, across, None], sizes[:, 1 - across, None]
            flat[:, own, across] = margin + self.along[own] * (long - 2 * margin)
            flat[:, own, 1 - across] = beyond if side in (1, 2) else 0.0
        round_ = self.side >= 4
        angles = (self.side[round_] - 4 + self.along[round_]) * np.pi / 2
        outward[round_] = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        far = np.isin(self.side[round_], (4, 7)), np.isin(self.side[round_], (4, 5))  # right; lower
        for axis in range(2):
            middle = np.where(far[axis], sizes[:, axis, None] - radius, radius)
            flat[:, round_, axis] = middle + radius * outward[round_, axis]
        points = flat + np.array(away_px)[:, None, None, None] * outward
        matrices = np.stack([plate.slant() for plate in plates])
        slanted = points @ matrices[:, :2, :2].swapaxes(1, 2) + matrices[:, None, :2, 2]
        depth = points @ matrices[:, 2, :2, None] + matrices[:, None, 2:, 2]
        return plates[0].seen(slanted / depth)


def _bends(sizes: NDArray[np.float64], rounding: float) -> NDArray[np.float64]:
    """The radius of the corners of plates, and how far from its end a side begins; float64 (2, P)."""
    shorter = sizes.min(axis=1)
    radius = rounding * shorter
    return np.stack([radius, np.maximum(radius, np.minimum(_SIDE_MARGIN_PX, _SIDE_MARGIN * shorter))])


def turn(angle: float) -> NDArray[np.float64]:
    """The matrix that turns columns x, y by an angle in radians, clockwise, float64 (2, 2)."""
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def mean_within(values: NDArray[Any], points: NDArray[np.floating]) -> float:
    """The mean of values (H, W) over what points (N, 2) enclose of the picture; 0 where that is nothing."""
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    around = Box(int(left) - 1, int(top) - 1, int(right) + 2, int(bottom) + 2)
    window = around.clip(values.shape[1], values.shape[0])
    enclosed = values[window.slices][hull(points, window) > 0] if window.area_px else values[:0]
    return float(enclosed.mean()) if enclosed.size else 0.0


def hull(points: NDArray[np.floating], window: Box) -> NDArray[np.uint8]:
    """What points (N, 2) enclose in a window, uint8 (h, w), 0 or 1."""
    corners = cv2.convexHull(np.round(points - (window.left, window.top)).astype(np.int32))
    return np.asarray(cv2.fillConvexPoly(np.zeros((window.height, window.width), np.uint8), corners, 1), np.uint8)
