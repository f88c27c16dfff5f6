"""Boxes and masks that the manifest gives, as detections."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from cleanplate.config import Config
from cleanplate.models.registry import Registry
from cleanplate.records import Box, Detection, GivenRegion, Job, Kind

BOX_SOURCE = "given_box"
MASK_SOURCE = "given_mask"
# Height of a line of letters as a share of the box: a stamp or a watermark is no line of text, an object has none.
_LINE_SHARE = {"object": 0.0, "stamp": 0.1, "watermark": 0.1}


class GivenDetector:
    """Turns what the manifest says into detections; it looks at no pixel of the picture."""

    name = "given"

    @classmethod
    def build(cls, config: Config, registry: Registry, device: str) -> GivenDetector:
        """Needs neither settings nor weights."""
        return cls()

    def detect(self, jobs: Sequence[Job]) -> list[list[Detection]]:
        """One detection per given box and per connected part of the given mask."""
        return [_from_mask(job) + [_from_box(region, job) for region in job.regions] for job in jobs]


def _from_box(region: GivenRegion, job: Job) -> Detection:
    box = region.box.clip(job.image.width, job.image.height)
    confidence = np.ones((box.height, box.width), np.float32)
    height_px = float(min(box.height, box.width)) * _LINE_SHARE.get(region.kind, 1.0)
    return Detection(region.kind, 1.0, box, confidence, BOX_SOURCE, height_px=height_px)


def _from_mask(job: Job) -> list[Detection]:
    if job.mask is None:
        return []
    count, labels, stats, _ = cv2.connectedComponentsWithStats((job.mask > 0).astype(np.uint8), connectivity=8)
    found = []
    for label in range(1, count):
        left, top, width, height = (int(value) for value in stats[label, :4])
        box = Box(left, top, left + width, top + height)
        alpha = np.where(labels[box.slices] == label, job.mask[box.slices], 0).astype(np.float32)
        found.append(Detection(_kind_of_mask(box, job), float(alpha.max()), box, alpha, MASK_SOURCE))
    return found


def _kind_of_mask(box: Box, job: Job) -> Kind:
    """A mask says where, not what: the kind of a given box around it counts, else it is an object."""
    around = [region for region in job.regions if region.box.intersects(box)]
    return around[0].kind if around else "object"
