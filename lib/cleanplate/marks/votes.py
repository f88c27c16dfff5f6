"""Where the pictures of a batch agree: what many show at one place, whatever else they show, is no part of them.

In each picture every pair of neighbours votes for the sign of its step. Photographs vote either way; a mark's outlines
get the votes of all pictures that carry it. As in Dekel, Rubinstein, Liu and Freeman, "On the Effectiveness of Visible
Watermarks" (CVPR 2017), but with signs in place of medians: they add up, so that partitions can count apart, and a mark
that only a part of the pictures carries is seen too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.marks.recurring import ANCHORS, Anchor, anchor_point
from cleanplate.records import Box
from cleanplate.ring import dilate

_LONG_SIDE_PX = 768  # of the largest frame; larger pictures are looked at smaller
_SMALL_SHARE = 0.2  # of the pictures that may be too small for the frames
_LEAST_SIDE_PX = 48
_STEP = 2.0  # grey levels under which a step votes for neither sign
_LEAST_SURPLUS, _LEAST_STANDARD = 0.2, 3.3  # of one sign over the other, of all pictures; over its standard deviation
_NEAR_PX, _FEWEST_NEAR = 7, 7  # side of a square, and the pixels in it that must agree: chance is alone
_JOIN_PX, _CLOSE_PX = 32, 6  # gaps between the parts of one mark; between the two outlines of a stroke
_FEWEST_PX = 60  # of outlines that agree
_STRAIGHT = 0.5  # of the outlines in four rows or four columns: a border, not a mark
_MARGIN_PX = 24  # of ground around a mark that its template shows


@dataclass(frozen=True)
class Frame:
    """A part of each picture, where pictures of any size are laid upon each other.

    Attributes:
        anchor: what they are laid upon each other by.
        width: in pixels of the picture.
        height: likewise.
        scale: of the look, at most 1.
    """

    anchor: Anchor
    width: int
    height: int
    scale: float

    def box(self, width: int, height: int) -> Box | None:
        """The frame in a picture of width x height; None where that is too small."""
        if width < self.width or height < self.height:
            return None
        x, y = anchor_point(self.anchor, width, height)
        own_x, own_y = anchor_point(self.anchor, self.width, self.height)
        return Box(0, 0, self.width, self.height).moved(x - own_x, y - own_y)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the look."""
        return max(1, round(self.height * self.scale)), max(1, round(self.width * self.scale))


@dataclass(frozen=True)
class Votes:
    """The votes of some pictures on a frame; those of other pictures can be added.

    Attributes:
        surplus: int16 (2, H, W): votes for a rising step less those for a falling one, to the right and downwards.
        cast: int16 (2, H, W): votes for either.
        pictures: how many there were.
    """

    surplus: NDArray[np.int16]
    cast: NDArray[np.int16]
    pictures: int

    def __add__(self, other: Votes) -> Votes:
        return Votes(self.surplus + other.surplus, self.cast + other.cast, self.pictures + other.pictures)


@dataclass(frozen=True)
class Pattern:
    """A place where pictures agree.

    Attributes:
        frame: in which it was found.
        box: its place in the frame, in pixels of the picture, with ground around it.
        signs: int8 (2, h, w): the sign that the steps have, 0 where the pictures do not agree; at the look's scale.
        mask: uint8 (box.height, box.width), 1 where a mark may be.
        share: of the pictures that agree, on average.
    """

    frame: Frame
    box: Box
    signs: NDArray[np.int8]
    mask: NDArray[np.uint8]
    share: float

    @property
    def offset(self) -> tuple[int, int]:
        """From the anchor of a picture to the left and upper edge of its box, in pixels."""
        x, y = anchor_point(self.frame.anchor, self.frame.width, self.frame.height)
        return self.box.left - x, self.box.top - y

    def place(self, width: int, height: int) -> Box | None:
        """Its place in a picture of width x height; None where that is too small for the frame."""
        inside = self.frame.box(width, height)
        return None if inside is None else self.box.moved(inside.left, inside.top)


def frames_for(sizes: Sequence[tuple[int, int]]) -> list[Frame]:
    """The frames in which pictures are compared.

    Args:
        sizes: width and height of each picture of a sample.

    Returns:
        One frame, the whole of it, where all pictures are of one size; else one of what all (but a fifth) have in
        common around the middle, and one of three quarters of that for each side and corner. None for tiny pictures.
    """
    if not sizes:
        return []
    width, height = (int(np.quantile([size[axis] for size in sizes], _SMALL_SHARE)) for axis in (0, 1))
    if min(width, height) < _LEAST_SIDE_PX:
        return []
    scale = min(1.0, _LONG_SIDE_PX / max(width, height))
    if len(set(sizes)) == 1:
        return [Frame("top_left", width, height, scale)]
    wide, high = width * 3 // 4, height * 3 // 4
    others = [Frame(anchor, wide, high, scale) for anchor in ANCHORS if anchor != "middle"]
    return [Frame("middle", width, height, scale), *others]


def no_votes(frame: Frame) -> Votes:
    """What no picture votes."""
    empty = np.zeros((2, *frame.shape), np.int16)
    return Votes(empty, empty.copy(), 0)


def votes_of(picture: NDArray[np.uint8], frame: Frame) -> Votes | None:
    """The votes of one picture; None where it is too small for the frame.

    Args:
        picture: uint8 (H, W, 3), RGB.
        frame: the frame.
    """
    box = frame.box(picture.shape[1], picture.shape[0])
    if box is None:
        return None
    signs = _signs(picture[box.slices], frame.shape)
    return Votes(signs.astype(np.int16), np.abs(signs).astype(np.int16), 1)


def patterns(votes: Votes, frame: Frame, fewest: int) -> list[Pattern]:
    """The places where a vote is clear.

    Args:
        votes: of all pictures.
        frame: in which they were cast.
        fewest: pictures that have to vote.
    """
    if votes.pictures < fewest:
        return []
    surplus, cast = votes.surplus.astype(np.float32), votes.cast.astype(np.float32)
    share = surplus / votes.pictures
    standard = surplus / np.sqrt(np.maximum(cast, 1))
    clear = (np.abs(share) >= _LEAST_SURPLUS) & (np.abs(standard) >= _LEAST_STANDARD)
    signs = np.where(clear, np.sign(surplus), 0).astype(np.int8)
    outline: NDArray[np.uint8] = np.asarray(clear.any(axis=0), np.uint8)
    near = cv2.boxFilter(outline, cv2.CV_32F, (_NEAR_PX, _NEAR_PX), normalize=False, borderType=cv2.BORDER_CONSTANT)
    outline = outline * (near >= _FEWEST_NEAR)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(dilate(outline, _JOIN_PX // 2), connectivity=8)
    found = []
    for label in range(1, count):
        left, top, width, height = (int(value) for value in stats[label, :4])
        box = Box(left, top, left + width, top + height)
        own = outline[box.slices] * (labels[box.slices] == label)
        if own.sum() >= _FEWEST_PX and not _is_border(own):
            strength = float(np.abs(share[(slice(None), *box.slices)]).max(axis=0)[own > 0].mean())
            found.append(_pattern(frame, box, signs, (labels == label) & (outline > 0), strength))
    return sorted(found, key=lambda each: -each.share)


def distinct(found: Sequence[Pattern], sizes: Sequence[tuple[int, int]]) -> list[Pattern]:
    """Patterns without those that are another one, seen in a frame that fits it less well.

    Args:
        found: of all frames.
        sizes: width and height of each picture of the sample.

    Returns:
        The strongest first.
    """
    kept: list[Pattern] = []
    for pattern in sorted(found, key=lambda each: -each.share):
        if not any(_is_the_same(pattern, other, sizes) for other in kept):
            kept.append(pattern)
    return kept


def _is_the_same(one: Pattern, other: Pattern, sizes: Sequence[tuple[int, int]]) -> bool:
    """Whether half of the smaller one lies on the other, in most pictures in which both have a place."""
    if one.frame == other.frame:
        return False
    pairs = [(one.place(*size), other.place(*size), count) for size, count in Counter(sizes).items()]
    both = [(first, second, count) for first, second, count in pairs if first is not None and second is not None]
    half = min(int(one.mask.sum()), int(other.mask.sum())) / 2
    same = sum(count for first, second, count in both if overlap(one.mask, first, other.mask, second) >= half)
    return bool(both) and same > sum(count for _, _, count in both) / 2


def overlap(one: NDArray[np.uint8], box: Box, other: NDArray[np.uint8], other_box: Box) -> int:
    """How many pixels two masks share, uint8 (H, W), 0 or 1, each in its box."""
    shared = box.intersection(other_box)
    if not shared.area_px:
        return 0
    first, second = (
        mask[shared.moved(-own.left, -own.top).slices] for mask, own in ((one, box), (other, other_box))
    )
    return int(np.count_nonzero(first & second))


def agrees(picture: NDArray[np.uint8], pattern: Pattern) -> float:
    """The share of a picture's votes that are the pattern's, less that of those against it, -1..1."""
    box = pattern.frame.box(picture.shape[1], picture.shape[0])
    if box is None:
        return 0.0
    cast = _signs(picture[box.slices], pattern.frame.shape) * pattern.signs
    asked = int((pattern.signs != 0).sum())
    return float(cast.sum()) / max(1, asked)


def _signs(part: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.int8]:
    """The votes of the pixels of a frame, int8 (2, H, W)."""
    grey = cv2.cvtColor(part, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, shape[::-1], interpolation=cv2.INTER_AREA).astype(np.float32)
    steps = np.zeros((2, *shape), np.float32)
    steps[0, :, :-1], steps[1, :-1] = np.diff(small, axis=1), np.diff(small, axis=0)
    return (np.sign(steps) * (np.abs(steps) >= _STEP)).astype(np.int8)


def _is_border(outline: NDArray[np.uint8]) -> bool:
    """Whether most of it is a few straight lines: the edge of a frame or a margin, the pictures' own."""
    straight = sum(float(np.sort(outline.sum(axis=axis))[-4:].sum()) for axis in (0, 1))
    return straight >= 2 * _STRAIGHT * float(outline.sum())


def _pattern(
    frame: Frame, box: Box, signs: NDArray[np.int8], outline: NDArray[np.bool_], share: float
) -> Pattern:
    """A pattern from its outlines in the look."""
    rows, columns = frame.shape
    around = box.expand(round(_MARGIN_PX * max(frame.scale, 0.5)), columns, rows)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _CLOSE_PX + 1, 2 * _CLOSE_PX + 1))
    padded = np.pad(outline[around.slices].astype(np.uint8), _CLOSE_PX)
    closed = np.asarray(cv2.morphologyEx(padded, cv2.MORPH_CLOSE, disc), np.uint8)
    mask = dilate(_without_holes(closed[_CLOSE_PX:-_CLOSE_PX, _CLOSE_PX:-_CLOSE_PX]), 2)
    into = 1 / frame.scale
    left, top = round(around.left * into), round(around.top * into)
    right, bottom = min(frame.width, round(around.right * into)), min(frame.height, round(around.bottom * into))
    whole = Box(left, top, right, bottom)
    size = (whole.width, whole.height)
    return Pattern(
        frame, whole, np.where(outline, signs, 0).astype(np.int8),
        (cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_LINEAR) > 0).astype(np.uint8), share,
    )  # fmt: skip


def _without_holes(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A mask with what it encloses: of a letter or a logo that is one area, only the outline steps."""
    outer, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(np.zeros_like(mask), outer, -1, 1, cv2.FILLED), np.uint8)
