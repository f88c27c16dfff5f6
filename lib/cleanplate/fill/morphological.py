"""Fills thin strokes on plain ground by a rank filter of what lies beside them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.config import Config
from cleanplate.fill.base import EngineSpec, FillRequest
from cleanplate.fill.pde import diffuse
from cleanplate.models.registry import Registry

_BEYOND_PX = 3  # how far a window reaches beyond the middle of a stroke's rim
_LARGEST_PX = 12  # radius of a window; wider strokes are no case for this engine
_FEWEST_SHARE = 0.12  # of a window that must be known
_CHUNK = 16_384  # pixels at a time, which bounds memory to about 100 MB


class MorphologicalEngine:
    """The median of the known pixels around each unknown one.

    A rank filter (Serra, Image Analysis and Mathematical Morphology, 1982) as wide as the strokes: it keeps edges that
    run under thin strokes sharper than diffusion does, and takes no colour that is not there. What it cannot reach is
    diffused.
    """

    spec = EngineSpec("morphological", "Apache-2.0", cost_units_per_mpx=3.0, smooth=True)

    @classmethod
    def build(cls, config: Config, registry: Registry, device: str) -> MorphologicalEngine:
        """Needs no weights and has no settings."""
        return cls()

    def fill(self, requests: Sequence[FillRequest]) -> list[NDArray[np.uint8]]:
        """See `Engine.fill`."""
        return [_fill_one(request.crop, request.hole) for request in requests]


def _fill_one(crop: NDArray[np.uint8], hole: NDArray[np.uint8]) -> NDArray[np.uint8]:
    filled = diffuse(crop, hole, "telea")
    if hole.all() or not hole.any():
        return filled
    depth = cv2.distanceTransform(np.pad(hole, 1), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    radius = int(min(np.ceil(depth.max()) + _BEYOND_PX, _LARGEST_PX))
    rows, columns = np.nonzero(hole)
    for start in range(0, len(rows), _CHUNK):
        part = slice(start, start + _CHUNK)
        values, enough = _medians(crop, hole, rows[part], columns[part], radius)
        filled[rows[part][enough], columns[part][enough]] = values[enough]
    return filled


def _medians(
    crop: NDArray[np.uint8], hole: NDArray[np.uint8], rows: NDArray[np.intp], columns: NDArray[np.intp], radius: int
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The median of the known pixels in the disc around each place, and whether there are enough of them."""
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disc = np.hypot(y, x) <= radius + 0.5
    dy, dx = y[disc], x[disc]
    known = np.pad(1 - hole, radius)
    padded = np.pad(crop, ((radius, radius), (radius, radius), (0, 0)))
    at = (rows[:, None] + radius + dy, columns[:, None] + radius + dx)
    valid = known[at] > 0
    values = np.where(valid[..., None], padded[at], np.uint16(256)).astype(np.uint16)  # unknown ones sort to the end
    values.sort(axis=1)
    count = valid.sum(axis=1)
    middle = np.maximum(count - 1, 0)
    low, high = (np.take_along_axis(values, i[:, None, None], axis=1)[:, 0] for i in (middle // 2, (middle + 1) // 2))
    return ((low + high + 1) // 2).clip(0, 255).astype(np.uint8), count >= _FEWEST_SHARE * len(dy)
