"""OpenCV's diffusion fills: Telea's fast marching (2004) and Navier-Stokes (Bertalmio et al., CVPR 2001)."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.config import Config, FillConfig
from cleanplate.fill.base import EngineSpec, FillRequest
from cleanplate.models.registry import Registry

_METHODS = {"telea": cv2.INPAINT_TELEA, "navier_stokes": cv2.INPAINT_NS}
_LARGEST_HOLE_PX = 60_000  # time grows with the hole's area; a larger one is filled at lower resolution


class PdeEngine:
    """Continues the surroundings into the hole by diffusion."""

    spec = EngineSpec("pde", "Apache-2.0", cost_units_per_mpx=5.0)

    def __init__(self, config: FillConfig) -> None:
        """Keeps method and radius."""
        self._method = _METHODS[config.pde_method]
        self._radius_px = config.pde_radius_px

    @classmethod
    def build(cls, config: Config, registry: Registry, device: str) -> PdeEngine:
        """Needs no weights."""
        return cls(config.fill)

    def fill(self, requests: Sequence[FillRequest]) -> list[NDArray[np.uint8]]:
        """See `Engine.fill`."""
        return [self._fill_one(request) for request in requests]

    def _fill_one(self, request: FillRequest) -> NDArray[np.uint8]:
        # What the blend mixes in must not be a source either: the rim of a letter is no background.
        hole = ((request.alpha > 0) | (request.invalid > 0)).astype(np.uint8)
        if hole.all():
            return _without_source(request)
        area_px = int(hole.sum())
        if area_px <= _LARGEST_HOLE_PX:
            return self._inpaint(request.crop, hole)
        return self._inpaint_small(request.crop, hole, (_LARGEST_HOLE_PX / area_px) ** 0.5)

    def _inpaint(self, crop: NDArray[np.uint8], hole: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.asarray(cv2.inpaint(crop, hole, self._radius_px, self._method), dtype=np.uint8)

    def _inpaint_small(
        self, crop: NDArray[np.uint8], hole: NDArray[np.uint8], scale: float
    ) -> NDArray[np.uint8]:
        """Fills a big hole at lower resolution; only valid pixels are averaged into the small picture."""
        height, width = hole.shape
        size = (max(8, round(width * scale)), max(8, round(height * scale)))
        valid = (1 - hole).astype(np.float32)
        weight = cv2.resize(valid, size, interpolation=cv2.INTER_AREA)
        colour = cv2.resize(crop.astype(np.float32) * valid[:, :, None], size, interpolation=cv2.INTER_AREA)
        small = np.clip(np.rint(colour / np.maximum(weight, 1e-6)[:, :, None]), 0, 255).astype(np.uint8)
        missing = (weight < 1e-3).astype(np.uint8)
        painted = self._inpaint(small, missing) if not missing.all() else small
        large = cv2.resize(painted, (width, height), interpolation=cv2.INTER_CUBIC)
        return np.where(hole[:, :, None] > 0, large, crop)


def _without_source(request: FillRequest) -> NDArray[np.uint8]:
    """A crop that is all hole: nothing may be used, so a mid grey that the verifier will turn down."""
    return np.full_like(request.crop, 128)
