"""Joins lines of text with stroke maps: what each thing is, whether it lies on the picture or in it, which pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components
from scipy.special import expit

from cleanplate.config import DetectConfig
from cleanplate.detect import db, screen
from cleanplate.detect.clusters import cluster, gaps, ink_colour
from cleanplate.detect.components import Group, group_strokes
from cleanplate.detect.inks import sharpened
from cleanplate.detect.plate_shapes import Block
from cleanplate.detect.plates import Plates
from cleanplate.detect.terms import Seen, ink_px
from cleanplate.models.stroke_net import CHANNELS, KIND_CHANNELS
from cleanplate.records import Box, Detection, Kind
from cleanplate.ring import dilate
from cleanplate.windows import place, trim

SOURCE = "text"
_OVERLAY_KINDS: tuple[Kind, ...] = tuple(kind for kind in KIND_CHANNELS if kind != "scene_text")
_PLATE = CHANNELS.index("plate")
_INK_QUANTILE = 0.9  # of a line's area: strokes cover a fifth of it, rarely less than a tenth
_LEAST_INK = 0.35  # confidence of the surest strokes of a line under which it has none
_FAINT = 0.5  # of that confidence: from here on a pixel of a faint line is a stroke ...
_STROKE = 0.4  # ... as sure as this
_REACH_SHARE = 0.25  # of a line's height: how far beyond its outline all strokes are its own
_NEAR_SHARE, _FAR_SHARE = 0.35, 0.8  # and how near most of a stroke must lie, and where the rest of it is cut off
_MEMBER_SHARE = 0.6  # of a stroke's mass that must lie so near
_RIM_PX = 2  # of such a stroke, fainter than it
_ALIKE_HEIGHTS, _BLOCK_GAP, _BLOCK_ACROSS = 1.5, 0.5, 0.3  # of heights and widths: lines that make a block
_ROW_OVERLAP, _ROW_GAP = 0.6, 6.0  # of heights: lines of a row of it
_LEAST_CHANCE = 0.02  # one line may not outweigh all others


@dataclass(frozen=True)
class _Part:
    """A line before it has a kind: the pixels that are its own and those near it, uint8 (h, w), 0 or 1, in its box."""

    box: Box
    claim: NDArray[np.uint8]
    near: NDArray[np.uint8]
    score: float
    polygon: NDArray[np.float32]
    height_px: float


def fuse(
    picture: NDArray[np.uint8],
    lines: Sequence[db.Line],
    line_map: NDArray[np.float32],
    maps: NDArray[np.float32],
    config: DetectConfig,
    look: screen.Look,
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
        look: what groups of strokes look like, see `screen.chances`.
    """
    parts, inks, marks = _sorted(lines, maps, config)
    seen = Seen(picture, line_map, maps, config.strokes_threshold)
    of_lines, of_marks = screen.chances(inks, marks, seen, look)
    chances = np.concatenate([_block_chances(parts, inks, of_lines), of_marks])
    is_mark = np.arange(len(chances)) >= len(inks)
    sure = chances >= np.where(is_mark, config.strokes_score, config.overlay_score)
    # A line of text is nobody's part: one false mark would take a wall of signs along.
    possible = sure | (is_mark & (chances >= config.part_score))
    lies_on = _with_their_parts([*inks, *marks], sure, possible, seen)
    of_overlays = [part for part, overlay in zip(parts, lies_on[: len(parts)], strict=True) if overlay]
    plates = Plates.of(picture, maps[0], maps[_PLATE], _blocks(of_overlays))
    lies_on[: len(parts)] |= np.array([plates.holds(part.polygon) for part in parts], bool)
    found = [
        _line_detection(part, ink, bool(overlay), seen, plates, config)
        for part, ink, overlay in zip(parts, inks, lies_on[: len(inks)], strict=True)
    ]
    alone = [
        _mark_detection(group, float(chance), seen, plates)
        for group, chance, overlay in zip(marks, of_marks, lies_on[len(inks) :], strict=True)
        if overlay
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
    _, inks, marks = _sorted(lines, maps, config)
    return inks, marks


def _sorted(
    lines: Sequence[db.Line], maps: NDArray[np.float32], config: DetectConfig
) -> tuple[list[_Part], list[Group], list[Group]]:
    """The lines, the strokes of each of them, and the groups of all other strokes."""
    parts = [part for part in (_line_part(line, maps.shape[1:]) for line in lines) if part is not None]
    members, marks = _split(parts, maps, config)
    return parts, [_ink_of(part, members, maps[0], config) for part in parts], marks


def _line_part(line: db.Line, shape: tuple[int, ...]) -> _Part | None:
    """A line with a rim in which its tails and shadows lie."""
    own_px, near_px, far_px = (round(share * line.height_px) for share in (_REACH_SHARE, _NEAR_SHARE, _FAR_SHARE))
    box = line.box.expand(max(2, far_px), shape[1], shape[0])
    if not box.area_px:
        return None
    outside = (db.inside(line.polygon, box) == 0).astype(np.uint8)
    away = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)  # a large letter's disc takes far longer
    claim, near = ((away <= max(2, reach)).astype(np.uint8) for reach in (own_px, near_px))
    return _Part(box, claim, near, line.score, line.polygon, line.height_px)


def _split(
    parts: Sequence[_Part], maps: NDArray[np.float32], config: DetectConfig
) -> tuple[NDArray[np.int32], list[Group]]:
    """Strokes that are part of lines, int32 (H, W), their numbers, 0 elsewhere; and the groups of the others.

    Strokes are told apart where they do not touch: a mast beside a caption is none of its letters.
    """
    near = np.zeros(maps.shape[1:], np.uint8)
    for part in parts:
        near[part.box.slices] |= part.near
    _, labels = cv2.connectedComponents((maps[0] >= config.strokes_threshold).astype(np.uint8), connectivity=8)
    mass = np.bincount(labels.ravel(), maps[0].ravel())
    near_mass = np.bincount(labels[near > 0], maps[0][near > 0], minlength=len(mass))
    is_member = near_mass >= _MEMBER_SHARE * mass
    is_member[0] = False
    members = np.where(is_member[labels], labels, 0).astype(np.int32)
    others = np.where(members > 0, np.float32(0), maps[0])
    return members, group_strokes(others, config.strokes_threshold, config.min_side_px)


def _ink_of(part: _Part, members: NDArray[np.int32], stroke_map: NDArray[np.float32], config: DetectConfig) -> Group:
    """The strokes of a line: all that the network sees close to it, and those that reach into it."""
    numbers = members[part.box.slices]
    own = np.unique(numbers[(part.near > 0) & (numbers > 0)])
    reaching = dilate(np.isin(numbers, own).astype(np.uint8), _RIM_PX)
    trimmed = trim(np.maximum(part.claim, reaching).astype(np.float32), part.box)
    claim, box = trimmed if trimmed is not None else (part.claim.astype(np.float32), part.box)
    strokes = stroke_map[box.slices] * claim
    ink = strokes[strokes >= config.strokes_threshold]
    return Group(box, strokes, float(ink.mean()) if ink.size else 0.0, part.polygon, part.height_px)


def _block_chances(
    parts: Sequence[_Part], inks: Sequence[Group], chances: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Gives the lines of a block the mean of their odds, by their ink: nobody prints every second line of a list."""
    if not parts:
        return chances
    blocks = _block_numbers(parts)
    weights = np.array([float(ink.confidence.sum()) + 1e-3 for ink in inks])
    odds = screen.log_odds(chances, _LEAST_CHANCE)
    return np.asarray(expit(np.bincount(blocks, weights * odds) / np.bincount(blocks, weights)))[blocks]


def _blocks(parts: Sequence[_Part]) -> list[Block]:
    """Lines that follow each other."""
    if not parts:
        return []
    numbers = _block_numbers(parts)
    members = [[parts[int(index)] for index in np.flatnonzero(numbers == number)] for number in np.unique(numbers)]
    return [Block.of([part.polygon for part in own], [part.height_px for part in own]) for own in members]


def _with_their_parts(
    groups: Sequence[Group], sure: NDArray[np.bool_], possible: NDArray[np.bool_], seen: Seen
) -> NDArray[np.bool_]:
    """Which groups lie on the picture, bool (G,): the sure ones, and near each the possible ones of the same ink."""
    asked = [index for index, group in enumerate(groups) if possible[index] and ink_px(group, seen.threshold)]
    if sure[asked].sum() in (0, len(asked)):
        return sure
    members = [groups[index] for index in asked]
    colours = np.stack([ink_colour(group, seen.picture, seen.threshold) for group in members])
    things = cluster(members, colours)
    found = sure.copy()
    found[asked] = np.isin(things, things[sure[asked]])
    return found


def _block_numbers(parts: Sequence[_Part]) -> NDArray[np.int32]:
    """The number of the block of each of N lines, int32 (N,); N is at least one."""
    return np.asarray(connected_components(_in_one_block(parts), directed=False)[1], np.int32)


def _in_one_block(parts: Sequence[_Part]) -> NDArray[np.bool_]:
    """Which of N lines follow each other, one below the other or in one row, as in a list; bool (N, N)."""
    start = np.array([part.polygon.min(axis=0) for part in parts])  # x and y
    stop = np.array([part.polygon.max(axis=0) for part in parts])
    height = np.array([part.height_px for part in parts])
    least, most = np.minimum.outer(height, height), np.maximum.outer(height, height)
    beside, below = gaps(start, stop)
    width, tall = (np.minimum.outer(size, size) for size in (stop - start).T)
    stacked = -beside >= _BLOCK_ACROSS * width
    in_row = (-below >= _ROW_OVERLAP * tall) & (beside <= _ROW_GAP * least)
    near = np.where(stacked, below <= _BLOCK_GAP * least, in_row)
    return np.asarray(near & (most <= _ALIKE_HEIGHTS * least))


def _line_detection(
    part: _Part, ink: Group, lies_on: bool, seen: Seen, plates: Plates, config: DetectConfig
) -> Detection:
    box, strokes, maps = ink.box, ink.confidence, seen.maps
    inside = db.inside(part.polygon, box) > 0
    confidence = np.maximum(seen.line_map[box.slices] * inside, strokes)
    surest = float(np.quantile(strokes[inside], _INK_QUANTILE)) if inside.any() else 0.0
    if surest < _LEAST_INK or not lies_on:
        return Detection("scene_text", part.score, box, confidence, SOURCE, part.polygon, part.height_px)
    kind = vote(maps[(slice(None), *box.slices)], strokes, _OVERLAY_KINDS)
    # Where the line is sure, faint strokes are strokes: what counts is how they stand out within it.
    strokes = np.minimum(strokes * max(1.0, _STROKE / (_FAINT * surest)), 1.0).astype(np.float32)
    return _drawn_detection(kind, part.score, replace(ink, confidence=strokes), confidence, seen, plates)


def _mark_detection(group: Group, chance: float, seen: Seen, plates: Plates) -> Detection:
    kind = vote(seen.maps[(slice(None), *group.box.slices)], group.confidence, KIND_CHANNELS)
    return _drawn_detection(kind, chance, group, group.confidence, seen, plates)


def _drawn_detection(
    kind: Kind, score: float, group: Group, confidence: NDArray[np.float32], seen: Seen, plates: Plates
) -> Detection:
    """What lies on the picture, with its pixels: sharpened strokes, and the plates that they lie on."""
    strokes, box = sharpened(seen.picture, group.confidence, group.box, seen.maps[0])
    confidence = place(confidence, group.box, box)
    if kind == "overlay_text":
        box, confidence, strokes = plates.joined(group, box, confidence, strokes)
    return Detection(kind, score, box, confidence, SOURCE, group.polygon, group.height_px, strokes=strokes)


def vote(maps: NDArray[np.float32], confidence: NDArray[np.float32], kinds: Sequence[Kind]) -> Kind:
    """The kind that most of some pixels speak for.

    Args:
        maps: float32 (7, h, w), 0..1, the network's maps in a box.
        confidence: float32 (h, w), 0..1, the weight of each pixel.
        kinds: to choose from.
    """
    return max(kinds, key=lambda kind: float((maps[CHANNELS.index(kind)] * confidence).sum()))
