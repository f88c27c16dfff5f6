"""The rights gate: watermarks and stamps go only where somebody may remove them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cleanplate.attempts import Work
from cleanplate.records import GATED_KINDS, Job, Region, RegionOutcome, Route

SUFFICIENT_RIGHTS = frozenset({"owned", "licensed", "public_domain"})
OVERLAP_SHARE = 0.5


def gate(jobs: Sequence[Job], regions: Sequence[Sequence[Region]]) -> list[Work]:
    """Sorts the regions of every image into those to fill, those to keep and those nobody may remove.

    A region that mostly lies on a watermark or stamp is gated with it: the letters of a watermark are no caption.

    Args:
        jobs: the images.
        regions: the masks of each.

    Returns:
        One piece of work per job; `settled` holds the regions that keep their pixels, each with its reason.
    """
    return [_gate_image(job, found) for job, found in zip(jobs, regions, strict=True)]


def _gate_image(job: Job, regions: Sequence[Region]) -> Work:
    may_remove = job.rights in SUFFICIENT_RIGHTS
    marks = [] if may_remove else [region for region in regions if region.kind in GATED_KINDS]
    to_fill: list[Region] = []
    settled: list[RegionOutcome] = []
    for region in regions:
        if any(_lies_on(region, mark) for mark in marks):
            settled.append(RegionOutcome(region, "gated", route=Route("none", _gate_reason(job, region))))
        elif region.kind not in job.remove:
            settled.append(RegionOutcome(region, "kept", route=Route("none", f"{region.kind} is kept")))
        else:
            to_fill.append(region)
    return Work(job, tuple(to_fill), tuple(settled))


def _lies_on(region: Region, mark: Region) -> bool:
    if region is mark:
        return True
    box, other = region.box, mark.box
    width = min(box.right, other.right) - max(box.left, other.left)
    height = min(box.bottom, other.bottom) - max(box.top, other.top)
    if width <= 0 or height <= 0:
        return False
    top, left = max(box.top, other.top) - box.top, max(box.left, other.left) - box.left
    inside = float(np.sum(region.alpha[top : top + height, left : left + width]))
    return inside >= OVERLAP_SHARE * float(np.sum(region.alpha))


def _gate_reason(job: Job, region: Region) -> str:
    return (
        f"{region.kind} kept: rights are {job.rights!r}; it is removed only where the manifest states "
        f"one of {', '.join(sorted(SUFFICIENT_RIGHTS))}"
    )
