"""Where the edges of a plate are: along all of them one colour lies over what goes on beyond, as opaque everywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate, compress
from operator import itemgetter

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.detect.plate_shapes import PART, PARTS_OF_SIDE, Block, Outline, Plate, Points, hull, mean_within, turn
from cleanplate.records import Box
from cleanplate.ring import dilate

_POSSIBLE = 0.15  # of the network's map over a block's lines, under which it says nothing for a plate
_SEEN, _TAIL = 0.5, 0.03  # level of the map whose outline is a start, and share of it beyond each side that is not
_FAR = 3.0  # line heights round a block's lines that a plate may lie in ...
_MOST_OF_BLOCK = 30.0  # ... or where the network sees one under them, if that is no larger than this many such boxes
_REACH, _BACK = 1.1, 0.35  # of a line's height: how far beyond its lines a plate may end; and of that, how far within
_BACK_SEEN = 0.3  # likewise within what the network sees, of its shorter side
_LEAST_REACH_PX = 10.0
_ROUNDINGS = ((0.0, 0.1), (0.25, 0.5))  # radius of the corners over the shorter side; 0.5 is a pill's, or a disc's
_LEAST_PROMISE = 0.8  # score and agreement of a start that is worth following: one with sharp, one with round corners
_LEAST_SCORE, _LEAST_BOTH = 0.6, 1.1  # of the edges alone, and with how much the network agrees: more than edges have
_LEAST_SIDE_SCORE, _SURE_SCORE = 0.3, 0.985  # from which a side is one, and a plate needs no better place
_STEPS_PX = (4.0, 2.0, 1.0)
_MOST_STEPS = 3  # of one length
_ENOUGH_SCORE = 0.95  # from which no other corners are tried
_LEAST_SIDE_PX = 8.0
_BESIDE_PX = (-3.5, -1.5, 1.5, 3.5)  # outwards of an edge: what is compared, the means of both sides
_BLUR_PX = 0.7
_STROKE, _STROKE_RIM_PX = 0.4, 1  # letters that reach an edge say nothing about it
_SIDE_SAMPLES, _SIDE_MARGIN = 64, 0.2  # of one side that is looked for, without its ends
_PLACE_PX = 2.0  # between the places where it may be
_GRID = 4  # every so many pixels the network's map is compared with a plate
_FEWEST, _FEWEST_OF_PART, _FEWEST_PARTS = 24, 4, 4  # pairs of colours that say something
_OFF, _MOST_OFF = 4.0, 60.0  # grey levels by which a fit is off for nothing, and beyond which it is no further off
_ROUNDS = 3
_FEWEST_SIDES, _ALL_SIDES = 2, 4  # a horizon is one; a banner from rim to rim has two
_LEAST_LINES = 0.75  # share of a block's lines whose middles lie on its plate
_LEAST_SCORE_ALONE = 0.75  # of a plate of which all sides show: nobody else has to see it
_MOST_CLEAR = 0.95  # share of the ground that shows through a plate


def find_plate(
    picture: NDArray[np.uint8], stroke_map: NDArray[np.float32], plate_map: NDArray[np.float32], block: Block
) -> Plate | None:
    """The plate behind a block of lines, by its edges; None where none is sure enough.

    What lies inside an edge is a mixture of what lies outside and of one colour, in the same shares along all of the
    plate. So the compositing equation is fitted to pairs of pixels to both sides (errors count less the larger they
    are), and has to explain them far better than a picture that just goes on. The sides are looked for one by one, from
    the lines' outline and from the network's; then sides, turn and corners are moved while the score rises. A plate of
    which all four sides show needs no network that sees it; one that shows fewer does.

    Args:
        picture: uint8 (H, W, 3), RGB.
        stroke_map: float32 (H, W), 0..1, the stroke network's, of overlays.
        plate_map: likewise, of plates.
        block: of lines that lie on the picture.
    """
    told = plate_map if mean_within(plate_map, block.points) >= _POSSIBLE else None
    window = _window_of(block, stroke_map.shape, told)
    if not window.area_px:
        return None
    seen = None if told is None else told[window.slices]
    edges = _Edges.of(picture[window.slices], stroke_map[window.slices])
    reach_px = max(_LEAST_REACH_PX, _REACH * block.height_px)
    block = replace(block, points=block.points - (window.left, window.top))
    starts = [edges.with_sides(start, back_px, reach_px) for start, back_px in _starts(block, seen, reach_px)]

    def promising(plates: Iterable[Plate]) -> tuple[float, Plate]:
        return max(((plate.score + _agreement(plate, seen), plate) for plate in plates), key=itemgetter(0))

    shapes = [
        promising(
            edges.scored([replace(start, rounding=rounding)])[0] for start in starts for rounding in roundings
        )
        for roundings in _ROUNDINGS
    ]
    climbed: list[Plate] = []
    for promise, likeliest in sorted(shapes, key=itemgetter(0), reverse=True):
        if promise >= _LEAST_PROMISE and not (climbed and climbed[0].score >= _ENOUGH_SCORE):
            likeliest = edges.climbed(likeliest, _sides_and_turn)
            climbed.append(edges.climbed(likeliest, _corners))
    if not climbed:
        return None
    promise, best = promising(climbed)
    sides = edges.sides_seen(best)
    agreed = best.score >= _LEAST_SCORE and promise >= _LEAST_BOTH and sides >= _FEWEST_SIDES
    if not (agreed or (best.score >= _LEAST_SCORE_ALONE and sides >= _ALL_SIDES)):
        return None
    if best.covers(block.middles).mean() < _LEAST_LINES:
        return None
    return replace(best, origin=(best.origin[0] + window.left, best.origin[1] + window.top))


@dataclass(frozen=True)
class _Edges:
    """A window of a picture, float32 (H, W, 3), softened, and where no letter is in the way, uint8 (H, W), 0 or 1."""

    picture: NDArray[np.float32]
    clear: NDArray[np.uint8]

    @classmethod
    def of(cls, picture: NDArray[np.uint8], stroke_map: NDArray[np.float32]) -> _Edges:
        strokes = dilate((stroke_map >= _STROKE).astype(np.uint8), _STROKE_RIM_PX)
        return cls(cv2.GaussianBlur(picture, (0, 0), _BLUR_PX).astype(np.float32), (strokes == 0).astype(np.uint8))

    def scored(self, plates: Sequence[Plate]) -> list[Plate]:
        """Plates that are much alike with their scores; -1 where one is none, or little of its outline can be seen."""
        are_ones = [_is_one(plate) for plate in plates]
        ones = list(compress(plates, are_ones))
        scores = iter(_scores(*self._pairs(ones)) if ones else ())
        return [
            replace(plate, score=float(next(scores)) if is_one else -1.0)
            for plate, is_one in zip(plates, are_ones, strict=True)
        ]

    def sides_seen(self, plate: Plate) -> int:
        """How many of its sides, or of a disc's corners, the picture shows; others lie beyond it, or behind letters."""
        pairs = self._pairs([plate])
        gains, weights = _gains(*pairs)
        side = np.unique(pairs[-1]) // PARTS_OF_SIDE % 4
        mean = np.bincount(side, (gains * weights)[0], 4) / np.maximum(np.bincount(side, weights[0], 4), 1)
        return int(np.count_nonzero(mean > _LEAST_SIDE_SCORE))

    def climbed(self, plate: Plate, moves: _Moves) -> Plate:
        """The plate moved by ever smaller steps as long as the score rises.

        The moves are tried side by side; of those that help, the best ones are made together.
        """
        for step_px in _STEPS_PX:
            for _ in range(_MOST_STEPS):
                if plate.score >= _SURE_SCORE:
                    return plate
                ways = moves(step_px)
                tried = iter(self.scored([move(plate) for way in ways for move in way]))
                best = [max(((next(tried).score, move) for move in way), key=itemgetter(0)) for way in ways]
                helpful = sorted((each for each in best if each[0] > plate.score), key=itemgetter(0), reverse=True)
                if not helpful:
                    break
                together = accumulate((move for _, move in helpful), lambda moved, move: move(moved), initial=plate)
                plate = max(self.scored(list(together)), key=lambda each: each.score)
        return plate

    def with_sides(self, plate: Plate, back_px: float, reach_px: float) -> Plate:
        """The rectangle with each side, twice in turn, where the picture shows the best edge along it."""
        for share in (1.0, 0.7):
            for side in range(4):
                if min(plate.size) >= _LEAST_SIDE_PX:
                    plate = self._with_side(plate, side, share * back_px, share * reach_px)
        return plate

    def _with_side(self, plate: Plate, side: int, back_px: float, reach_px: float) -> Plate:
        start, stop = plate.corners[side], plate.corners[(side + 1) % 4]
        outward = turn(-np.pi / 2) @ (stop - start) / np.hypot(*(stop - start))
        along = np.linspace(_SIDE_MARGIN, 1 - _SIDE_MARGIN, _SIDE_SAMPLES)[:, None]
        places = np.arange(-np.ceil(back_px), reach_px + 1, _PLACE_PX)
        line = start + along * (stop - start)
        beside = np.array(_BESIDE_PX)
        points = line + (beside[:, None, None] + places[:, None])[..., None] * outward
        seen = plate.seen(points.reshape(-1, 2)).reshape(points.shape)
        scores = _scores(*self._sides_of(seen), np.arange(_SIDE_SAMPLES) // PART)
        best = int(scores.argmax())
        if scores[best] <= _LEAST_SIDE_SCORE:
            beyond = np.flatnonzero(~self._within(seen).any(axis=(0, 2)))
            if not len(beyond):
                return plate
            best = int(beyond[0])  # the picture ends before the plate does
        return plate.with_side(side, float(places[best]))

    def _pairs(
        self, plates: Sequence[Plate]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], NDArray[np.int_]]:
        """All that `_gains` asks about the outlines of plates that are much alike."""
        outline = Outline.of(plates[0])
        return *self._sides_of(outline.beside(plates, _BESIDE_PX)), outline.parts

    def _sides_of(self, points: Points) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
        """The colours to both sides of points of edges, float32 (..., N, 3), and where both can be seen, (..., N).

        Args:
            points: float64 (K, ..., N, 2), x and y, the first half of the K inside, the others outside.
        """
        shape = points.shape[:-1]
        # OpenCV takes maps of fewer than 32,768 columns: one row for each edge
        x, y = (points[..., axis].astype(np.float32).reshape(-1, shape[-1]) for axis in (0, 1))
        valid = self._within(points) & (cv2.remap(self.clear, x, y, cv2.INTER_NEAREST) > 0).reshape(shape)
        colours = cv2.remap(self.picture, x, y, cv2.INTER_LINEAR).reshape(*shape, 3)
        half = len(points) // 2
        return colours[:half].mean(axis=0), colours[half:].mean(axis=0), np.asarray(valid.all(axis=0))

    def _within(self, points: Points) -> NDArray[np.bool_]:
        """Which points (..., 2) lie in the window."""
        height, width = self.clear.shape
        return np.asarray(((points >= 0) & (points <= (width - 1, height - 1))).all(axis=-1))


# By the length of a step, the ways in which a plate can be moved, each there and back.
_Move = Callable[[Plate], Plate]
_Moves = Callable[[float], list[tuple[_Move, _Move]]]


def _sides_and_turn(step_px: float) -> list[tuple[_Move, _Move]]:
    """Each side moved outwards or inwards, and the whole turned by as much."""

    def turned(plate: Plate, by_px: float) -> Plate:
        return plate.turned(by_px / max(plate.size))

    ways: list[Callable[..., Plate]] = [*(partial(Plate.with_side, side=side) for side in range(4)), turned]
    return [(partial(way, by_px=-step_px), partial(way, by_px=step_px)) for way in ways]


def _corners(step_px: float) -> list[tuple[_Move, _Move]]:
    """Each corner moved along both axes."""
    ways = [(corner, axis) for corner in range(4) for axis in ((step_px, 0.0), (0.0, step_px))]
    return [
        (
            partial(Plate.with_corner, corner=corner, by_px=(-across, -down)),
            partial(Plate.with_corner, corner=corner, by_px=(across, down)),
        )
        for corner, (across, down) in ways
    ]


def _is_one(plate: Plate) -> bool:
    """Whether corners make a plate at all."""
    return min(plate.size) >= _LEAST_SIDE_PX and cv2.isContourConvex(plate.corners.astype(np.float32))


def _gains(
    inside: NDArray[np.float32], outside: NDArray[np.float32], valid: NDArray[np.bool_], parts: NDArray[np.int_]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """How much better one plate explains pairs of colours than a picture that goes on, for P edges, part by part.

    Args:
        inside: float32 (P, N, 3).
        outside: float32 (P, N, 3).
        valid: bool (P, N), pairs that count.
        parts: int (N,), of the outline.

    Returns:
        float32 (P, K) for the K parts in their order: the gain, -1..1; and its weight, the root of the part's pairs, 0
        where these are too few.
    """
    weights = valid + np.float32(1e-9)
    for _ in range(_ROUNDS):
        share = (weights / weights.sum(axis=1, keepdims=True))[..., None]
        middle, beyond = (share * inside).sum(axis=1), (share * outside).sum(axis=1)
        own, other = inside - middle[:, None], outside - beyond[:, None]
        clear = (share * own * other).sum(axis=(1, 2)) / ((share * other**2).sum(axis=(1, 2)) + 1e-3)
        clear = np.clip(clear, 0, _MOST_CLEAR)[:, None]
        colour = np.clip((middle - clear * beyond) / (1 - clear), 0, 255)
        mixed = clear[..., None] * outside + ((1 - clear) * colour)[:, None]
        errors = ((inside - mixed) ** 2).mean(axis=2)
        weights = valid / (1 + errors / (3 * _OFF) ** 2) + np.float32(1e-9)
    steps = ((inside - outside) ** 2).mean(axis=2)
    members = (parts[:, None] == np.unique(parts)).astype(np.float32)
    count = valid @ members
    without, with_it = (
        (np.minimum(each, _MOST_OFF**2) * valid) @ members / np.maximum(count, 1) for each in (steps, errors)
    )
    gains = (without - with_it) / (np.maximum(without, with_it) + _OFF**2)
    return gains, np.sqrt(count) * (count >= _FEWEST_OF_PART)


def _scores(
    inside: NDArray[np.float32], outside: NDArray[np.float32], valid: NDArray[np.bool_], parts: NDArray[np.int_]
) -> NDArray[np.float32]:
    """The mean gains of P edges, -1..1, (P,); -1 for an edge of which too little is valid."""
    gains, weights = _gains(inside, outside, valid, parts)
    scores = (gains * weights).sum(axis=1) / np.maximum(weights.sum(axis=1), 1)
    enough = (valid.sum(axis=1) >= _FEWEST) & (np.count_nonzero(weights, axis=1) >= _FEWEST_PARTS)
    return np.asarray(np.where(enough, scores, -1.0))


def _window_of(block: Block, shape: tuple[int, ...], plate_map: NDArray[np.float32] | None) -> Box:
    """The part of a picture that a block's plate may lie in: round the lines, and what the network sees under them."""
    far = _FAR * block.height_px
    (left, top), (right, bottom) = block.points.min(axis=0) - far, block.points.max(axis=0) + far
    box = Box(int(left), int(top), int(right) + 1, int(bottom) + 1).clip(shape[1], shape[0])
    if plate_map is None:
        return box
    _, labels, stats, _ = cv2.connectedComponentsWithStats((plate_map >= _SEEN).astype(np.uint8))
    for label in np.unique(labels[box.slices][hull(block.points, box) > 0]):
        x, y, width, height = (int(value) for value in stats[label][:4])
        seen = Box(x, y, x + width, y + height).expand(int(far), shape[1], shape[0])
        box = box.union(seen) if label and seen.area_px <= _MOST_OF_BLOCK * box.area_px else box
    return box


def _starts(block: Block, plate_map: NDArray[np.float32] | None, reach_px: float) -> Iterator[tuple[Plate, float]]:
    """Where a plate may be, and how far within its sides may be: round the lines, and where the network sees one.

    Along the lines, and level; where the network sees none (no map), round the lines and along them only, to save time.
    """
    x, y = (float(value) for value in block.points.mean(axis=0))
    seen = np.zeros((0, 2)) if plate_map is None else _seen_under(block, plate_map)
    level = plate_map is not None and abs(block.angle) > 0.02
    for angle in (block.angle, *((0.0,) if level else ())):
        turned = turn(angle)
        lines = (block.points - (x, y)) @ turned
        low, high = lines.min(axis=0), lines.max(axis=0)
        yield Plate.upright((x, y), angle, low, high), _BACK * reach_px
        if len(seen):
            spread = np.quantile((seen - (x, y)) @ turned, [_TAIL, 1 - _TAIL], axis=0)
            low, high = np.minimum(low, spread[0]), np.maximum(high, spread[1])
            yield Plate.upright((x, y), angle, low, high), _BACK_SEEN * float((high - low).min())


def _seen_under(block: Block, plate_map: NDArray[np.float32]) -> Points:
    """Where the network sees plates that reach under a block's lines: float64 (N, 2), x and y."""
    _, labels = cv2.connectedComponents((plate_map >= _SEEN).astype(np.uint8))
    lines_at = hull(block.points, Box(0, 0, plate_map.shape[1], plate_map.shape[0])) > 0
    own = np.unique(labels[lines_at & (labels > 0)])
    return np.argwhere(np.isin(labels, own) & (labels > 0))[:, ::-1].astype(np.float64)


def _agreement(plate: Plate, plate_map: NDArray[np.float32] | None) -> float:
    """How much of a plate and of what the network sees is both, 0..1: a line of a list is none of its own."""
    if plate_map is None or not _is_one(plate):
        return 0.0
    values = plate_map[_GRID // 2 :: _GRID, _GRID // 2 :: _GRID]
    down, across = np.mgrid[: values.shape[0], : values.shape[1]] * _GRID + _GRID // 2
    covered = plate.covers(np.stack([across, down], axis=-1).astype(np.float64))
    return float(values[covered].sum() / (covered.sum() + values[~covered].sum() + 1e-6))
