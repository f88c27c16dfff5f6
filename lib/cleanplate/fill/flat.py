"""Fills with the ring's colour, or with the plane of colour that the ring lies on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cleanplate.config import Config
from cleanplate.fill.base import EngineSpec, FillRequest
from cleanplate.models.registry import Registry
from cleanplate.ring import Plane, fit_plane, ring

_GRADIENT_GAIN = 0.9  # a plane must lower the spread at least to this share, else one colour is the safer model


class FlatEngine:
    """One robust colour or a linear gradient, by the ring around the mask."""

    spec = EngineSpec("flat", "Apache-2.0", cost_units_per_mpx=1.0, smooth=True)

    def __init__(self, ring_px: int) -> None:
        """Keeps the width of the ring."""
        self._ring_px = ring_px

    @classmethod
    def build(cls, config: Config, registry: Registry, device: str) -> FlatEngine:
        """Needs no weights."""
        return cls(config.route.ring_px)

    def fill(self, requests: Sequence[FillRequest]) -> list[NDArray[np.uint8]]:
        """See `Engine.fill`."""
        return [self._fill_one(request) for request in requests]

    def _fill_one(self, request: FillRequest) -> NDArray[np.uint8]:
        where = ring(request.alpha, request.invalid, self._ring_px)
        plane = fit_plane(request.crop, where)
        height, width = request.alpha.shape
        colours = self._model(plane, request.crop, where).render(height, width)
        painted = np.clip(np.rint(colours), 0, 255).astype(np.uint8)
        return np.where(request.alpha[:, :, None] > 0, painted, request.crop)

    def _model(self, plane: Plane, crop: NDArray[np.uint8], where: NDArray[np.uint8]) -> Plane:
        if plane.count == 0 or plane.spread <= _GRADIENT_GAIN * plane.raw_spread:
            return plane
        median = np.median(crop[where > 0].astype(np.float64), axis=0)
        return Plane(np.vstack([median, np.zeros((2, 3))]), plane.raw_spread, plane.raw_spread, plane.count)
