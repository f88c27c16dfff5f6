"""From a place where pictures agree to a mark: who carries it, whether the detectors see one there, its template."""

from __future__ import annotations

import hashlib
import logging
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.config import MarksConfig
from cleanplate.image import Image
from cleanplate.marks.recurring import RecurringMark, to_pngs
from cleanplate.marks.template import estimate
from cleanplate.marks.votes import Pattern, agrees, no_votes, patterns, votes_of
from cleanplate.records import Box, Detection, Kind, Template
from cleanplate.ring import dilate

logger = logging.getLogger(__name__)
_LEAST_AGREES = 0.4  # of the votes: a picture without the mark has at most .35, by chance
_STROKE = 0.18  # probability from which a detector's pixel is one of a stroke
_HIT_SHARE = 0.4  # of the outlines that a detection must cover
_CONFIRMED_SHARE = 1 / 3  # of the pictures looked at in which it must
_NEAR_PX, _RIM_PX = 3, 6
_FOUND_SHARE = 0.8  # of the pictures that a template is made of, on which it must be found
_CROP_PIXELS = 40_000_000  # of all crops together, which bounds memory to about 2 GB
_NO_MARKS: frozenset[Kind] = frozenset({"scene_text", "object"})
See = Callable[[Image], Sequence[Detection]]


@dataclass
class _Carriers:
    """What was seen of the pictures that carry a mark."""

    looked: int = 0
    images: list[str] = field(default_factory=list)
    crops: list[NDArray[np.uint8]] = field(default_factory=list)
    asked: int = 0
    kinds: Counter[Kind] = field(default_factory=Counter)

    @property
    def seen(self) -> int:
        """In how many pictures a detector saw it."""
        return self.kinds.total()


def discover(
    pattern: Pattern, pictures: Callable[[], Iterable[tuple[str, Image]]], see: See, config: MarksConfig
) -> RecurringMark | None:
    """Makes a mark of a place where pictures agree.

    Pictures of a batch may have other things in common, such as a margin, a form or a scene. So the detectors must see
    a mark there, if only in a third of the pictures: what they are unsure of in the others is the same mark.

    Args:
        pattern: the place.
        pictures: gives them with their ids, in an order that is always the same; they are read twice, as far as needed.
        see: what the detectors find on a picture.
        config: the section "marks".

    Returns:
        None where too few carry it, the detectors see none, or no template explains it.
    """
    pattern = _whole(pattern, pictures(), config)
    if pattern.mask.all():  # pictures that are alike everywhere, such as those of a fixed camera
        return None
    most = min(config.template_images, _CROP_PIXELS // max(1, pattern.box.area_px))
    if most < config.fewest_images:
        logger.info("what recurs at %s is too large for a template", pattern.box)
        return None
    carriers = _collected(pattern, pictures(), see, config, most)
    if len(carriers.crops) < config.fewest_images or carriers.seen < math.ceil(_CONFIRMED_SHARE * carriers.asked):
        logger.info(
            "what recurs at %s is no mark: %d pictures carry it, detectors see one in %d of %d",
            pattern.box, len(carriers.crops), carriers.seen, carriers.asked,
        )  # fmt: skip
        return None
    template = _estimated(carriers.crops, pattern.mask)
    if not template.alpha.any():
        return None
    height, width = template.alpha.shape
    tight = Box.around(template.alpha).expand(_RIM_PX, width, height)
    parts = (template.alpha, template.colour, template.error)
    cut = Template(*(np.ascontiguousarray(part[tight.slices]) for part in parts))
    mark = RecurringMark(
        mark_id="m-" + hashlib.sha256(b"".join(to_pngs(cut))).hexdigest()[:8],
        kind=carriers.kinds.most_common(1)[0][0],
        anchor=pattern.frame.anchor,
        left=pattern.offset[0] + tight.left,
        top=pattern.offset[1] + tight.top,
        template=cut,
        support=len(carriers.crops) / carriers.looked,
        images=tuple(carriers.images),
    )
    return mark if _holds(mark, carriers.crops, tight) else None


def _whole(pattern: Pattern, pictures: Iterable[tuple[str, Image]], config: MarksConfig) -> Pattern:
    """The place as those pictures show it that agree there: where few of a batch do, only parts of a mark stood out."""
    votes = no_votes(pattern.frame)
    for _, image in pictures:
        own = votes_of(image.rgb, pattern.frame) if agrees(image.rgb, pattern) >= _LEAST_AGREES else None
        votes = votes if own is None else votes + own
        if votes.pictures == config.template_images:
            break
    found = patterns(votes, pattern.frame, config.fewest_images)
    return next((each for each in found if each.box.intersects(pattern.box)), pattern)


def _collected(
    pattern: Pattern, pictures: Iterable[tuple[str, Image]], see: See, config: MarksConfig, most: int
) -> _Carriers:
    carriers = _Carriers()
    for image_id, image in pictures:
        picture = image.rgb
        place = pattern.place(image.width, image.height)
        if place is None:
            continue
        carriers.looked += 1
        if agrees(picture, pattern) < _LEAST_AGREES:
            continue
        carriers.images.append(image_id)
        carriers.crops.append(picture[place.slices].copy())
        if carriers.asked < config.confirm_images:
            carriers.asked += 1
            kind = _kind_there(pattern, picture.shape[:2], see(image))
            carriers.kinds.update([] if kind is None else [kind])
        if len(carriers.crops) == most:
            break
    return carriers


def _kind_there(pattern: Pattern, shape: tuple[int, ...], detections: Sequence[Detection]) -> Kind | None:
    """The kind of the mark that detectors see at a pattern; None where they see none."""
    frame = pattern.frame.box(shape[1], shape[0])
    if frame is None:
        return None
    outline = (pattern.signs != 0).any(axis=0)
    covered: Counter[Kind] = Counter()
    for detection in detections:
        if detection.kind in _NO_MARKS:
            continue
        there = np.zeros(shape, np.float32)
        there[detection.box.slices] = detection.confidence if detection.strokes is None else detection.strokes
        strokes = dilate((there[frame.slices] >= _STROKE).astype(np.uint8), _NEAR_PX)
        small = cv2.resize(strokes.astype(np.float32), outline.shape[::-1], interpolation=cv2.INTER_AREA) > 0
        covered[detection.kind] += int(small[outline].sum())
    if covered.total() < _HIT_SHARE * outline.sum():
        return None
    return covered.most_common(1)[0][0]


def _estimated(crops: Sequence[NDArray[np.uint8]], mask: NDArray[np.uint8]) -> Template:
    """A template, estimated twice: the tighter the mask, the nearer is the ground that it is told from."""
    first = estimate(crops, [mask] * len(crops))
    closer = dilate((first.alpha > 0).astype(np.uint8), _NEAR_PX) * mask
    return estimate(crops, [closer] * len(crops)) if closer.any() else first


def _holds(mark: RecurringMark, crops: Sequence[NDArray[np.uint8]], tight: Box) -> bool:
    """Whether the pictures that a mark was made of show it; in a crop it lies where its template was cut out."""
    inside = replace(mark, anchor="top_left", left=tight.left, top=tight.top)
    found = sum(inside.found_on(crop) is not None for crop in crops)
    if found < _FOUND_SHARE * len(crops):
        logger.info("what recurs at %s is no mark: its template explains %d of %d pictures", tight, found, len(crops))
    return found >= _FOUND_SHARE * len(crops)
