"""Chooses the cheapest engine that fits a region, and says why in words and numbers."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from cleanplate.config import RouteConfig
from cleanplate.errors import ConfigError
from cleanplate.fill.base import Engine, FillRequest
from cleanplate.records import Region, Route
from cleanplate.ring import fit_plane, noise_sigma, ring

_THIN_PX = 12.0


def features(request: FillRequest, region: Region, ring_px: int = 8) -> dict[str, float]:
    """Describes a hole and its surroundings.

    Args:
        request: the region's crop and masks.
        region: the region itself.
        ring_px: width of the ring that is looked at.

    Returns:
        area_px (core), stroke_px (widest stroke), ring_std (spread of colour, grey levels), texture (spread around a
        plane of colour, without noise), noise (sigma), gradient (grey levels across the crop), coverage (core's share
        of the box), border_px (least distance of the region to the crop's edge), height_px.
    """
    where = ring(request.alpha, request.invalid, ring_px)
    plane = fit_plane(request.crop, where)
    noise = float(noise_sigma(request.crop, where).max())
    height, width = request.alpha.shape
    slope = np.abs(plane.coefficients[1:]) * np.array([[width], [height]])
    return {
        "area_px": float(request.core.sum()),
        "stroke_px": _stroke_px(request),
        "ring_std": plane.raw_spread,
        "texture": float(np.sqrt(max(0.0, plane.spread**2 - noise**2))),
        "noise": noise,
        "gradient": float(slope.max()),
        "coverage": float(request.core.sum()) / max(1, region.box.area_px),
        "border_px": _border_px(request),
        "height_px": region.height_px,
        "ring_px": float(plane.count),
    }


def route(values: Mapping[str, float], config: RouteConfig, engines: Mapping[str, Engine]) -> Route:
    """The first engine, in order of cost, that fits.

    Args:
        values: from `features`.
        config: the section "route".
        engines: those that may be used, by name; others are passed over (tried before, or not permitted).

    Raises:
        ConfigError: none of the configured engines is among `engines`.
    """
    open_engines = [name for name in config.engines if name in engines]
    if not open_engines:
        raise ConfigError(f"route.engines names {', '.join(config.engines)}, none of which is loaded or left to try")
    flat = values["texture"] <= config.flat_ring_std and values["ring_px"] > 0
    compared = f"ring spread {values['texture']:.1f} {'<=' if flat else '>'} {config.flat_ring_std:g}"
    chosen = next((name for name in open_engines if name != "flat" or flat), open_engines[-1])
    shape = "thin strokes" if values["stroke_px"] <= _THIN_PX else f"up to {values['stroke_px']:.0f} px wide"
    return Route(chosen, f"{values['area_px']:,.0f} px, {shape}, {compared}: {chosen}", dict(values))


def _stroke_px(request: FillRequest) -> float:
    """Width of the widest part of the core: twice the largest distance to its edge."""
    padded = np.pad(request.core, 1)
    return float(2 * cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_3).max())


def _border_px(request: FillRequest) -> float:
    rows, columns = np.flatnonzero(request.alpha.any(axis=1)), np.flatnonzero(request.alpha.any(axis=0))
    if len(rows) == 0:
        return 0.0
    height, width = request.alpha.shape
    return float(min(rows[0], columns[0], height - 1 - rows[-1], width - 1 - columns[-1]))
