"""Joins masks that touch, drops those that a given one covers, numbers the rest in reading order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce

import numpy as np

from cleanplate.records import Region
from cleanplate.windows import place

_COVERED_SHARE = 0.8
_GIVEN = "given"


def tidy(regions: Sequence[Region], gap_px: int) -> list[Region]:
    """Drops, joins and numbers the regions of one image.

    Args:
        regions: in any order; their region_id does not matter.
        gap_px: regions of one kind whose boxes are at most this far apart become one.
    """
    given = [region for region in regions if region.source.startswith(_GIVEN)]
    found = [r for r in regions if not r.source.startswith(_GIVEN) and not any(_covers(g, r) for g in given)]
    joined = [_join(group) for group in _groups([*given, *found], gap_px)]
    return [replace(region, region_id=index) for index, region in enumerate(_reading_order(joined))]


def _covers(given: Region, found: Region) -> bool:
    if not given.box.intersects(found.box):
        return False
    inside = place(given.core.astype(np.float32), given.box, found.box) * found.alpha
    return float(inside.sum()) >= _COVERED_SHARE * float(found.alpha.sum())


def _groups(regions: list[Region], gap_px: int) -> list[list[Region]]:
    groups: list[list[Region]] = []
    for region in regions:
        near = [group for group in groups if any(_touch(region, other, gap_px) for other in group)]
        groups = [group for group in groups if group not in near]
        groups.append([*(member for group in near for member in group), region])
    return groups


def _touch(one: Region, other: Region, gap_px: int) -> bool:
    return one.kind == other.kind and one.box.intersects(other.box, gap_px)


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
