"""Joins masks that belong together, drops what a given or known one covers, numbers the rest in reading order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from cleanplate.records import GATED_KINDS, Box, Kind, Region
from cleanplate.ring import dilate
from cleanplate.windows import place

_COVERED_SHARE = 0.8
_KNOWN_SHARE, _NEAR_PX = 0.6, 3  # of a core that a known mark covers, or nearly: the mark again, as a detector sees it
_GIVEN = "given"
# Kinds that are mostly opaque: a see-through mark has the ground's colours as well as its own, and is one thing all the
# same.
_ONE_INK_KINDS: frozenset[Kind] = frozenset({"overlay_text", "handwriting"})
_TWO_INKS = 90.0  # grey levels, of the channel that differs most


@dataclass(frozen=True)
class _Inked:
    """A region with its ink, float32 (3,), RGB, 0..255; None where its ink does not keep it from its neighbours."""

    region: Region
    ink: NDArray[np.float32] | None


def tidy(regions: Sequence[Region], gap_px: int, picture: NDArray[np.uint8]) -> list[Region]:
    """Drops, joins and numbers the regions of one image.

    A recurring mark stays by itself, and what a detector found of it goes: its template is better.
    Two lines of text of two inks whose boxes overlap, but not their masks, stay two: what is filled, un-blended and
    judged together must be one thing.

    Args:
        regions: in any order; their region_id does not matter.
        gap_px: regions of one kind whose boxes are at most this far apart become one.
        picture: uint8 (H, W, 3), RGB, which they are regions of.
    """
    given = [region for region in regions if region.source.startswith(_GIVEN)]
    found = [r for r in regions if not r.source.startswith(_GIVEN) and not any(_covers(g, r) for g in given)]
    known = [region for region in found if region.known is not None]
    rest = [r for r in found if r.known is None and not any(_is_known(mark, r) for mark in known)]
    found = [*known, *(part for r in rest if (part := _beside(r, known)) is not None)]
    inked = [_Inked(region, _ink(region, picture)) for region in [*given, *found]]
    joined = [_join([member.region for member in group]) for group in _groups(inked, gap_px)]
    return [replace(region, region_id=index) for index, region in enumerate(_reading_order(joined))]


def _ink(region: Region, picture: NDArray[np.uint8]) -> NDArray[np.float32] | None:
    """The median colour of the strokes, which the core reaches beyond by its dilation."""
    if region.kind not in _ONE_INK_KINDS or not region.core.any():
        return None
    strokes = 1 - dilate(1 - np.pad(region.core, 1), region.dilation_px)[1:-1, 1:-1]
    inside = strokes if strokes.any() else region.core
    return np.asarray(np.median(picture[region.box.slices][inside > 0], axis=0), np.float32)


def _covers(given: Region, found: Region) -> bool:
    if not given.box.intersects(found.box):
        return False
    inside = place(given.core.astype(np.float32), given.box, found.box) * found.alpha
    return float(inside.sum()) >= _COVERED_SHARE * float(found.alpha.sum())


def _is_known(mark: Region, found: Region) -> bool:
    """Whether a region is a known mark as a detector sees it."""
    if not mark.box.intersects(found.box, _NEAR_PX) or not found.core.any():
        return False
    if _hides_a_gated(mark, found):
        return False
    inside = _near(mark, _NEAR_PX, found.box) * found.core
    return float(inside.sum()) >= _KNOWN_SHARE * float(found.core.sum())


def _hides_a_gated(mark: Region, found: Region) -> bool:
    """Whether the rights gate would no longer see what a detector takes for a watermark or stamp."""
    return found.kind in GATED_KINDS and mark.kind not in GATED_KINDS


def _beside(found: Region, known: Sequence[Region]) -> Region | None:
    """What of a region no known mark covers: two fills of the same pixels would undo each other."""
    touched = [mark for mark in known if mark.box.intersects(found.box) and not _hides_a_gated(mark, found)]
    if not touched:
        return found
    taken = reduce(np.maximum, (place(mark.core.astype(np.float32), mark.box, found.box) for mark in touched)) > 0
    core = found.core * (1 - taken.astype(np.uint8))
    return replace(found, core=core, alpha=np.where(taken, np.float32(0), found.alpha)) if core.any() else None


def _groups(regions: Sequence[_Inked], gap_px: int) -> list[list[_Inked]]:
    groups: list[list[_Inked]] = []
    for region in regions:
        near = [group for group in groups if any(_touch(region, other, gap_px) for other in group)]
        groups = [group for group in groups if group not in near]
        groups.append([*(member for group in near for member in group), region])
    return groups


def _touch(one: _Inked, other: _Inked, gap_px: int) -> bool:
    first, second = one.region, other.region
    if first.kind != second.kind or not first.box.intersects(second.box, gap_px):
        return False
    if first.known is not None or second.known is not None:
        return False
    if one.ink is None or other.ink is None or np.abs(one.ink - other.ink).max() <= _TWO_INKS:
        return True
    return _masks_meet(first, second, gap_px)


def _masks_meet(one: Region, other: Region, gap_px: int) -> bool:
    return bool((_near(other, gap_px, one.box) * one.core).any())


def _near(region: Region, reach_px: int, window: Box) -> NDArray[np.float32]:
    """A region's core grown by a disc, as a window shows it."""
    box = region.box
    grown = Box(
        box.left - reach_px, box.top - reach_px, box.right + reach_px, box.bottom + reach_px
    )  # may reach beyond the picture, where nothing is
    return place(dilate(np.pad(region.core, reach_px), reach_px).astype(np.float32), grown, window)


def _join(group: list[Region]) -> Region:
    if len(group) == 1:
        return group[0]
    box = reduce(lambda union, region: union.union(region.box), group[1:], group[0].box)
    alpha = reduce(np.maximum, (place(region.alpha, region.box, box) for region in group))
    core = reduce(np.maximum, (place(region.core.astype(np.float32), region.box, box) for region in group))
    confidence = reduce(np.maximum, (place(region.confidence, region.box, box) for region in group))
    return replace(
        group[0],
        score=max(region.score for region in group),
        box=box,
        alpha=alpha,
        core=core.astype(np.uint8),
        confidence=confidence,
        dilation_px=max(region.dilation_px for region in group),
        height_px=float(np.median([region.height_px for region in group])),
        source="+".join(dict.fromkeys(region.source for region in group)),
        transcript=" ".join(region.transcript for region in group if region.transcript),
    )


def _reading_order(regions: list[Region]) -> list[Region]:
    """Top to bottom in bands of half a box, left to right within one."""
    ordered: list[list[Region]] = []
    for region in sorted(regions, key=lambda item: (item.box.top + item.box.bottom, item.box.left)):
        middle = (region.box.top + region.box.bottom) / 2
        if ordered and ordered[-1][0].box.top <= middle < ordered[-1][0].box.bottom:
            ordered[-1].append(region)
        else:
            ordered.append([region])
    return [region for band in ordered for region in sorted(band, key=lambda item: (item.box.left, item.box.top))]
