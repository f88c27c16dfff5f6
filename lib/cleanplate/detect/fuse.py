"""Joins lines of text with stroke maps: what each thing is, whether it lies on the picture or in it, which pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.config import DetectConfig
from cleanplate.detect import db, screen
from cleanplate.detect.components import Group, group_strokes
from cleanplate.models.stroke_net import CHANNELS, KIND_CHANNELS
from cleanplate.records import Box, Detection, Kind
from cleanplate.ring import dilate
from cleanplate.windows import place

SOURCE = "text"
_OVERLAY_KINDS: tuple[Kind, ...] = tuple(kind for kind in KIND_CHANNELS if kind != "scene_text")
_PLATE = CHANNELS.index("plate")
_INK_QUANTILE = 0.9  # of a line's area: strokes cover a fifth of it, rarely less than a tenth
_LEAST_INK = 0.45  # confidence of the surest strokes of a line under which it has none
_FAINT = 0.5  # of that confidence: from here on a pixel of a faint line is a stroke ...
_STROKE = 0.4  # ... as sure as this
_REACH_SHARE = 0.25  # of a line's height: how far beyond its outline its strokes may lie
_MEMBER_SHARE = 0.6  # of a group's mass that must lie near a line for the group to be part of it
_PLATE_LEVEL = 0.6
_PLATE_FILL = 0.72  # of its smallest rectangle that a plate fills
_PLATE_LEAST_PX = 6
_PLAIN_SPREAD = 30.0  # grey levels: half the way from the 16th to the 84th percentile, of the channel that varies most
_BARE = 0.2  # confidence of strokes up to which a plate's own colour shows
_MOST_SAMPLES = 4096


@dataclass(frozen=True)
class _Part:
    """A thing before it has a kind: the pixels it may claim, float32 (h, w) in its box, and its outline."""

    box: Box
    claim: NDArray[np.float32]
    score: float
    polygon: NDArray[np.float32]
    height_px: float


def fuse(
    picture: NDArray[np.uint8],
    lines: Sequence[db.Line],
    line_map: NDArray[np.float32],
    maps: NDArray[np.float32],
    config: DetectConfig,
) -> list[Detection]:
    """One detection per line or mark of a picture.

    A line of text in which the stroke network sees no overlay belongs to the photographed world; strokes that make no
    line are marks of their own.

    Args:
        picture: uint8 (H, W, 3), RGB.
        lines: of text, as PP-OCR sees them.
        line_map: float32 (H, W), 0..1, its probability of text.
        maps: float32 (7, H, W), 0..1, the stroke network's, in the order of stroke_net.CHANNELS.
        config: the section "detect".
    """
    parts = [part for part in (_line_part(line, line_map.shape) for line in lines) if part is not None]
    members, marks = _split(parts, maps, config)
    plates = _Plates.of(picture, maps[_PLATE], maps[0])
    seen = screen.Seen(picture, line_map, maps, config.strokes_threshold)
    inks = [_ink_of(part, members, maps[0], config) for part in parts]
    found = [
        _line_detection(part, ink, chance, seen, plates, config)
        for part, ink, chance in zip(parts, inks, screen.line_chances(inks, seen), strict=True)
    ]
    alone = [
        _mark_detection(group, chance, maps, plates)
        for group, chance in zip(marks, screen.mark_chances(marks, seen), strict=True)
        if chance >= config.strokes_score
    ]
    return [*found, *alone]


def inks_and_marks(
    lines: Sequence[db.Line], maps: NDArray[np.float32], config: DetectConfig
) -> tuple[list[Group], list[Group]]:
    """The strokes of each line of text, and the groups of strokes that are part of no line.

    Args:
        lines: as PP-OCR sees them.
        maps: float32 (7, H, W), 0..1, the stroke network's.
        config: the section "detect".
    """
    parts = [part for part in (_line_part(line, maps.shape[1:]) for line in lines) if part is not None]
    members, marks = _split(parts, maps, config)
    return [_ink_of(part, members, maps[0], config) for part in parts], marks


def _line_part(line: db.Line, shape: tuple[int, ...]) -> _Part | None:
    """A line with a rim in which its tails and shadows lie."""
    reach_px = max(2, round(_REACH_SHARE * line.height_px))
    box = line.box.expand(reach_px, shape[1], shape[0])
    if not box.area_px:
        return None
    claim = dilate(db.inside(line.polygon, box).astype(np.uint8), reach_px).astype(np.float32)
    return _Part(box, claim, line.score, line.polygon, line.height_px)


def _split(
    parts: Sequence[_Part], maps: NDArray[np.float32], config: DetectConfig
) -> tuple[list[Group], list[Group]]:
    """Groups of strokes that are part of lines, and those that stand alone."""
    near = np.zeros(maps.shape[1:], np.uint8)
    for part in parts:
        near[part.box.slices] |= (part.claim > 0).astype(np.uint8)
    groups = group_strokes(maps[0], config.strokes_threshold, config.min_side_px)
    members: list[Group] = []
    marks: list[Group] = []
    for group in groups:
        inside = float((group.confidence * near[group.box.slices]).sum())
        (members if inside >= _MEMBER_SHARE * float(group.confidence.sum()) else marks).append(group)
    return members, marks


def _ink_of(part: _Part, members: Sequence[Group], stroke_map: NDArray[np.float32], config: DetectConfig) -> Group:
    """The strokes of a line: what the network sees near it, and in the groups that reach into it."""
    box = part.box
    own = [group for group in members if group.box.intersects(box) and _overlaps(group, part)]
    for group in own:
        box = box.union(group.box)
    claim = place(part.claim, part.box, box)
    for group in own:
        claim = np.maximum(claim, place((group.confidence > 0).astype(np.float32), group.box, box))
    strokes = stroke_map[box.slices] * claim
    ink = strokes[strokes >= config.strokes_threshold]
    return Group(box, strokes, float(ink.mean()) if ink.size else 0.0, part.polygon, part.height_px)


def _line_detection(
    part: _Part, ink: Group, chance: float, seen: screen.Seen, plates: _Plates, config: DetectConfig
) -> Detection:
    box, strokes, maps = ink.box, ink.confidence, seen.maps
    inside = db.inside(part.polygon, box) > 0
    confidence = np.maximum(seen.line_map[box.slices] * inside, strokes)
    surest = float(np.quantile(strokes[inside], _INK_QUANTILE)) if inside.any() else 0.0
    if surest < _LEAST_INK or chance < config.overlay_score:
        return Detection("scene_text", part.score, box, confidence, SOURCE, part.polygon, part.height_px)
    kind = vote(maps[(slice(None), *box.slices)], strokes, _OVERLAY_KINDS)
    # Where the line is sure, faint strokes are strokes: what counts is how they stand out within it.
    strokes = np.minimum(strokes * max(1.0, _STROKE / (_FAINT * surest)), 1.0).astype(np.float32)
    if kind == "overlay_text":
        box, confidence, strokes = plates.joined(box, confidence, strokes)
    return Detection(kind, part.score, box, confidence, SOURCE, part.polygon, part.height_px, strokes=strokes)


def _mark_detection(group: Group, chance: float, maps: NDArray[np.float32], plates: _Plates) -> Detection:
    kind = vote(maps[(slice(None), *group.box.slices)], group.confidence, KIND_CHANNELS)
    box, confidence, strokes = group.box, group.confidence, group.confidence
    if kind == "overlay_text":
        box, confidence, strokes = plates.joined(box, confidence, strokes)
    return Detection(kind, chance, box, confidence, SOURCE, group.polygon, group.height_px, strokes=strokes)


def _overlaps(group: Group, part: _Part) -> bool:
    return bool((place(group.confidence, group.box, part.box) * part.claim).any())


def vote(maps: NDArray[np.float32], confidence: NDArray[np.float32], kinds: Sequence[Kind]) -> Kind:
    """The kind that most of some pixels speak for.

    Args:
        maps: float32 (7, h, w), 0..1, the network's maps in a box.
        confidence: float32 (h, w), 0..1, the weight of each pixel.
        kinds: to choose from.
    """
    return max(kinds, key=lambda kind: float((maps[CHANNELS.index(kind)] * confidence).sum()))


@dataclass(frozen=True)
class _Plates:
    """The plates of a picture: labels, int32 (H, W), and the map that they were found in."""

    labels: NDArray[np.int32]
    boxes: list[Box]
    map: NDArray[np.float32]

    @classmethod
    def of(
        cls, picture: NDArray[np.uint8], plate_map: NDArray[np.float32], stroke_map: NDArray[np.float32]
    ) -> _Plates:
        """Finds the plates in the network's map: rectangles of one colour, but for the strokes on them."""
        _, labels, stats, _ = cv2.connectedComponentsWithStats((plate_map >= _PLATE_LEVEL).astype(np.uint8))
        boxes = [Box(int(x), int(y), int(x + w), int(y + h)) for x, y, w, h, _ in stats]
        found = np.asarray(labels, np.int32)
        for label in range(1, len(boxes)):
            part = boxes[label].slices
            inside = found[part]
            bare = (inside == label) & (stroke_map[part] < _BARE)
            if not (_is_rectangle(inside == label) and _is_plain(picture[part][bare])):
                inside[inside == label] = 0
        return cls(found, boxes, plate_map)

    def joined(
        self, box: Box, confidence: NDArray[np.float32], strokes: NDArray[np.float32]
    ) -> tuple[Box, NDArray[np.float32], NDArray[np.float32]]:
        """Adds the plates that a thing's strokes lie on; returns box, confidence and strokes."""
        under = self.labels[box.slices]
        found = [int(label) for label in np.unique(under[strokes >= _PLATE_LEVEL]) if label]
        if not found:
            return box, confidence, strokes
        whole = box
        for label in found:
            whole = whole.union(self.boxes[label])
        plate = np.where(np.isin(self.labels[whole.slices], found), self.map[whole.slices], 0).astype(np.float32)
        return (
            whole,
            np.maximum(place(confidence, box, whole), plate),
            np.maximum(place(strokes, box, whole), plate),
        )


def _is_plain(pixels: NDArray[np.uint8]) -> bool:
    """Whether pixels, (N, 3), have about one colour: what shines through a plate is weakened."""
    if not len(pixels):
        return True
    low, high = np.percentile(pixels[:: max(1, len(pixels) // _MOST_SAMPLES)], [16, 84], axis=0)
    return bool((high - low).max() / 2 <= _PLAIN_SPREAD)


def _is_rectangle(shape: NDArray[np.bool_]) -> bool:
    """Whether a shape fills a rectangle, upright or turned, as plates do."""
    contours, _ = cv2.findContours(shape.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    largest = max(contours, key=cv2.contourArea)
    width, height = cv2.minAreaRect(largest)[1]
    return min(width, height) >= _PLATE_LEAST_PX and cv2.contourArea(largest) >= _PLATE_FILL * width * height
