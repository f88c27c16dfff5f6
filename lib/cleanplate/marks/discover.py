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
from cleanplate.detect.base import Look
from cleanplate.image import Image
from cleanplate.marks.recurring import RecurringMark, to_pngs
from cleanplate.marks.template import estimate
from cleanplate.marks.votes import Pattern, agrees, no_votes, overlap, patterns, votes_of
from cleanplate.records import GATED_KINDS, Box, Detection, Kind, Template
from cleanplate.ring import dilate

logger = logging.getLogger(__name__)
_LEAST_AGREES = 0.4  # of the votes: a picture without the mark has at most .35, by chance
_STROKE = 0.18  # probability from which a detector's pixel is one of a stroke
_HIT_SHARE = 0.4  # of the outlines that a detection must cover
_CONFIRMED_SHARE = 1 / 3  # of the pictures looked at in which it must
# What no picture alone is sure of, all of them may be: confidence along the outlines, also over that elsewhere.
_CONFIDENT, _OVER_ELSEWHERE = 0.15, 5.0
_LEAST_VARIED = 12.0  # grey levels by which the pictures' ground must differ
_SEE_THROUGH = 0.8  # opacity of what only the pictures together are sure of
_NEAR_PX, _RIM_PX = 3, 6
_FOUND_SHARE = 0.8  # of the pictures that a template is made of, on which it must be found
_CROP_PIXELS = 20_000_000  # of all crops together: the estimate holds six such pictures in floats
_MOST_MASK_PX = 250_000  # unknowns of the equations that are solved for each estimate
_NO_MARKS: frozenset[Kind] = frozenset({"scene_text", "object"})
See = Callable[[Image], Look]


@dataclass
class _Carriers:
    """What was seen of the pictures that carry a mark."""

    looked: int = 0
    images: list[str] = field(default_factory=list)
    crops: list[NDArray[np.uint8]] = field(default_factory=list)
    asked: int = 0
    kinds: Counter[Kind] = field(default_factory=Counter)
    along: list[float] = field(default_factory=list)
    elsewhere: list[float] = field(default_factory=list)

    @property
    def confirmed(self) -> bool:
        """Whether detectors see it in enough pictures."""
        return self.kinds.total() >= math.ceil(_CONFIRMED_SHARE * self.asked)

    @property
    def suspected(self) -> bool:
        """Whether all pictures together look like a mark there."""
        over = max(_CONFIDENT, _OVER_ELSEWHERE * float(np.mean(self.elsewhere or [0.0])))
        return bool(self.along) and float(np.mean(self.along)) >= over

    def varied(self, mask: NDArray[np.uint8]) -> bool:
        """Whether the ground is not always the same: there opacity is anybody's guess, and a form's print no mark."""
        grounds = [crop[mask == 0].mean(axis=0) for crop in self.crops]
        return float(np.std(grounds, axis=0).mean()) >= _LEAST_VARIED

    def kind(self, see_through: bool) -> Kind:
        """A kind that the rights gate knows, where any picture says so or the ground shows through; else the usual."""
        gated = [kind for kind, _ in self.kinds.most_common() if kind in GATED_KINDS]
        if gated or see_through or not self.kinds:
            return gated[0] if gated else "watermark"
        return self.kinds.most_common(1)[0][0]


def discover(
    pattern: Pattern, pictures: Callable[[], Iterable[tuple[str, Image]]], see: See, config: MarksConfig
) -> RecurringMark | None:
    """Makes a mark of a place where pictures agree.

    Pictures of a batch may have other things in common, such as a margin, a form or a scene. So the detectors must see
    a mark there, if only in a third of the pictures: what they are unsure of in the others is the same mark. Or they
    are somewhat sure in many: of a faint mark no picture alone can tell.

    Args:
        pattern: the place.
        pictures: gives them with their ids, in an order that is always the same; they are read twice, as far as needed.
        see: what the detectors make of a picture.
        config: the section "marks".

    Returns:
        None where too few carry it, the detectors see none, or no template explains it.
    """
    pattern = _whole(pattern, pictures(), config)
    if pattern.mask.all() or not is_small_enough(pattern, config):  # such as a fixed camera's pictures
        return None
    carriers = _collected(pattern, pictures(), see, config, _most_crops(pattern, config))
    enough = len(carriers.crops) >= config.fewest_images and carriers.varied(pattern.mask)
    if not enough or not (carriers.confirmed or carriers.suspected):
        logger.info(
            "what recurs at %s is no mark: %d pictures carry it, detectors see one in %d of %d",
            pattern.box, len(carriers.crops), carriers.kinds.total(), carriers.asked,
        )  # fmt: skip
        return None
    template = _estimated(carriers.crops, pattern.mask)
    there = template.alpha[template.alpha > 0]
    see_through = bool(there.size) and float(np.median(there)) <= _SEE_THROUGH
    if not there.size or not (carriers.confirmed or see_through):
        return None
    height, width = template.alpha.shape
    tight = Box.around(template.alpha).expand(_RIM_PX, width, height)
    parts = (template.alpha, template.colour, template.error)
    cut = Template(*(np.ascontiguousarray(part[tight.slices]) for part in parts))
    left, top, kind = pattern.offset[0] + tight.left, pattern.offset[1] + tight.top, carriers.kind(see_through)
    told = f"{kind}/{pattern.frame.anchor}/{left}/{top}/".encode()
    mark = RecurringMark(
        mark_id="m-" + hashlib.sha256(told + b"".join(to_pngs(cut))).hexdigest()[:8],
        kind=kind,
        anchor=pattern.frame.anchor,
        left=left,
        top=top,
        template=cut,
        support=len(carriers.crops) / carriers.looked,
        images=tuple(carriers.images),
    )
    return mark if _holds(mark, carriers.crops, tight) else None


def is_small_enough(pattern: Pattern, config: MarksConfig) -> bool:
    """Whether a template of a place can be estimated in a worker's memory and time."""
    if _most_crops(pattern, config) >= config.fewest_images and pattern.mask.sum() <= _MOST_MASK_PX:
        return True
    logger.info("what recurs at %s is too large for a template", pattern.box)
    return False


def _most_crops(pattern: Pattern, config: MarksConfig) -> int:
    return min(config.template_images, _CROP_PIXELS // max(1, pattern.box.area_px))


def _whole(pattern: Pattern, pictures: Iterable[tuple[str, Image]], config: MarksConfig) -> Pattern:
    """The place as those pictures show it that agree there: where few of a batch do, only parts of a mark stood out."""
    votes = no_votes(pattern.frame)
    for _, image in pictures:
        own = votes_of(image.rgb, pattern.frame) if agrees(image.rgb, pattern) >= _LEAST_AGREES else None
        votes = votes if own is None else votes + own
        if votes.pictures == config.template_images:
            break
    found = [*patterns(votes, pattern.frame, config.fewest_images), pattern]
    return max(found, key=lambda each: overlap(each.mask, each.box, pattern.mask, pattern.box))


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
            look = see(image)
            kind = _kind_there(pattern, picture.shape[:2], look.detections)
            carriers.kinds.update([] if kind is None else [kind])
            if look.confidence is not None:
                carriers.along.append(_along(pattern, look.confidence))
                carriers.elsewhere.append(float(look.confidence.mean()))
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


def _along(pattern: Pattern, confidence: NDArray[np.float32]) -> float:
    """Mean confidence along the outlines of a pattern."""
    frame = pattern.frame.box(confidence.shape[1], confidence.shape[0])
    outline = (pattern.signs != 0).any(axis=0)
    if frame is None:
        return 0.0
    wide = cv2.dilate(confidence[frame.slices], np.ones((3, 3), np.uint8))
    return float(cv2.resize(wide, outline.shape[::-1], interpolation=cv2.INTER_AREA)[outline].mean())


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
