"""A recurring mark: what it looks like, from which corner of a picture its place counts, and whether it is on one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.errors import ContractError
from cleanplate.fill.opacity import invert
from cleanplate.records import Box, Kind, KnownMark, Template
from cleanplate.windows import place

Anchor = Literal[
    "top_left", "top", "top_right", "left", "middle", "right", "bottom_left", "bottom", "bottom_right",
]  # fmt: skip
# Where a picture's size holds an anchor, in halves of its width and height.
ANCHORS: dict[Anchor, tuple[int, int]] = {
    "top_left": (0, 0), "top": (1, 0), "top_right": (2, 0),
    "left": (0, 1), "middle": (1, 1), "right": (2, 1),
    "bottom_left": (0, 2), "bottom": (1, 2), "bottom_right": (2, 2),
}  # fmt: skip
# Of eight marks on held-out photographs, three of 18 % opacity, pictures with the mark agree by .17 to .83, in JPEGs of
# quality 70 too, pictures without by .07 at most.
LEAST_AGREEMENT = 0.12
_APART_PX = 3  # the two sides of an outline, whose own pixels are both
_CLEAR, _MOST_THIN = 0.05, 0.6  # opacity from one side to the other; of the thinner one, which shows the ground
_AWAY_PX = 1  # an odd size may round a middle to either side
_LEAST_SEEN = 0.6  # of a mark that must lie within the picture
_FLAT = 1.0  # grey level, mean along the outlines, under which there is nothing to be seen
_LEVELS_16, _LEVELS_8 = np.float32(65535), np.float32(255)


@dataclass(frozen=True)
class RecurringMark:
    """A mark that many pictures of a batch carry.

    Attributes:
        mark_id: identity in its run.
        kind: what the detectors take it for.
        anchor: from which its place counts, so that it is found in pictures of other sizes.
        left: of its template's left edge, from the anchor to the right, in pixels.
        top: of its template's upper edge, from the anchor downwards, in pixels.
        template: what it looks like.
        support: share of the pictures looked at that carry it.
        images: ids of the pictures that the template was made of.
    """

    mark_id: str
    kind: Kind
    anchor: Anchor
    left: int
    top: int
    template: Template
    support: float = 1.0
    images: tuple[str, ...] = ()

    def __reduce__(self) -> tuple[Callable[..., RecurringMark], tuple[object, ...]]:
        """Travels to the workers as its PNGs, a tenth of its arrays; one that comes from a table loses nothing."""
        told = (self.mark_id, self.kind, self.anchor, self.left, self.top, self.support, self.images)
        return _unpacked, (told, to_pngs(self.template))

    def place(self, width: int, height: int) -> Box:
        """Where it lies in a picture of width x height; it may stick out."""
        x, y = anchor_point(self.anchor, width, height)
        rows, columns = self.template.alpha.shape
        return Box(x + self.left, y + self.top, x + self.left + columns, y + self.top + rows)

    def found_on(self, picture: NDArray[np.uint8]) -> tuple[KnownMark, float] | None:
        """The mark on a picture, and how well that agrees; None where the picture does not carry it.

        Args:
            picture: uint8 (H, W, 3), RGB.
        """
        middle = self.place(picture.shape[1], picture.shape[0])
        steps = range(-_AWAY_PX, _AWAY_PX + 1)
        places = [middle.moved(right, down) for down in steps for right in steps]
        nearest = sorted(places, key=lambda box: abs(box.left - middle.left) + abs(box.top - middle.top))
        agreements = [agreement(self.template, picture, box) for box in nearest]
        best = int(np.argmax(agreements))  # of equals the nearest
        if agreements[best] < LEAST_AGREEMENT:
            return None
        return KnownMark(self.mark_id, self.template, nearest[best]), agreements[best]


def without_doubles(marks: Sequence[RecurringMark], sizes: Sequence[tuple[int, int]]) -> list[RecurringMark]:
    """Marks without those that mostly lie on another one, which more pictures carry, in pictures of any of the sizes.

    Args:
        marks: of one batch.
        sizes: width and height of its pictures.
    """
    kept: list[RecurringMark] = []
    for mark in sorted(marks, key=lambda each: (-each.support, -len(each.images), each.mark_id)):
        if not any(_lies_on(mark, other, size) for other in kept for size in set(sizes)):
            kept.append(mark)
    return kept


def _lies_on(mark: RecurringMark, other: RecurringMark, size: tuple[int, int]) -> bool:
    box, other_box = mark.place(*size), other.place(*size)
    own, others = mark.template.alpha > 0, other.template.alpha > 0
    there = place(other.template.alpha, other_box, box) > 0
    return 2 * int((own & there).sum()) > min(int(own.sum()), int(others.sum()))


def anchor_point(anchor: Anchor, width: int, height: int) -> tuple[int, int]:
    """Where an anchor lies, x and y, in a picture of width x height."""
    across, down = ANCHORS[anchor]
    return width * across // 2, height * down // 2


def agreement(template: Template, picture: NDArray[np.uint8], at: Box) -> float:
    """Whether a mark explains a picture's steps across the mark's outlines, -1..1; above 0 it seems to be there.

    What lies on the more opaque side of an outline is foretold from the other side, with the mark and without it. That
    holds for any colour and opacity of the mark, and for any ground that is much the same on both sides.

    Args:
        template: of the mark.
        picture: uint8 (H, W, 3), RGB.
        at: its place, of the template's size; it may stick out of the picture.

    Returns:
        The errors' sum without the mark less that with it, over both; 0 where little of the mark is inside, or no step
        can be seen.
    """
    inside = at.clip(picture.shape[1], picture.shape[0])
    if inside.area_px < _LEAST_SEEN * at.area_px:
        return 0.0
    cut = KnownMark("", template, at).within(inside)
    seen = picture[inside.slices].astype(np.float32)
    without = with_it = pixels = 0.0
    for near, far in _sides(cut.alpha.shape):
        for thin, thick in ((near, far), (far, near)):
            outline = (cut.alpha[thick] - cut.alpha[thin] > _CLEAR) & (cut.alpha[thin] < _MOST_THIN)
            ground = invert(seen[thin][outline], cut.alpha[thin][outline], cut.colour[thin][outline])
            opacity = cut.alpha[thick][outline][:, None]
            foretold = (1 - opacity) * ground + opacity * cut.colour[thick][outline]
            without += float(np.abs(seen[thick][outline] - ground).mean(axis=1).sum())
            with_it += float(np.abs(seen[thick][outline] - foretold).mean(axis=1).sum())
            pixels += float(outline.sum())
    if without + with_it < _FLAT * max(1.0, pixels):
        return 0.0
    return (without - with_it) / (without + with_it)


def _sides(shape: tuple[int, ...]) -> list[tuple[tuple[slice, slice], tuple[slice, slice]]]:
    """Where the pairs of pixels are that lie _APART_PX apart, across and down: indices of the first, of the second."""
    all_of = slice(None)
    early, late = slice(None, -_APART_PX), slice(_APART_PX, None)
    return [((all_of, early), (all_of, late)), ((early, all_of), (late, all_of))]


def _unpacked(
    told: tuple[str, Kind, Anchor, int, int, float, tuple[str, ...]], pngs: tuple[bytes, bytes, bytes]
) -> RecurringMark:
    mark_id, kind, anchor, left, top, support, images = told
    return RecurringMark(mark_id, kind, anchor, left, top, from_pngs(*pngs), support, images)


def to_pngs(template: Template) -> tuple[bytes, bytes, bytes]:
    """Opacity, colour (over 255) and error (over 255) of a template, each as a PNG of 16 bits."""
    pictures = (template.alpha, template.colour[..., ::-1] / _LEVELS_8, template.error / _LEVELS_8)
    levels = (np.rint(np.clip(each, 0, 1) * _LEVELS_16).astype(np.uint16) for each in pictures)
    alpha, colour, error = (cv2.imencode(".png", each)[1].tobytes() for each in levels)
    return alpha, colour, error


def from_pngs(alpha_png: bytes, colour_png: bytes, error_png: bytes) -> Template:
    """What `to_pngs` wrote.

    Raises:
        ContractError: they are not of one template.
    """
    files = (alpha_png, colour_png, error_png)
    decoded = [cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED) if png else None for png in files]
    read = [each for each in decoded if each is not None and each.dtype == np.uint16]
    if len(read) < len(files) or len({each.shape[:2] for each in read}) > 1:
        raise ContractError("the pictures of a recurring mark are damaged: `clean --new-run` estimates it again")
    alpha, colour, error = (each.astype(np.float32) / _LEVELS_16 for each in read)
    return Template(alpha, np.ascontiguousarray(colour[..., ::-1]) * _LEVELS_8, error * _LEVELS_8)
