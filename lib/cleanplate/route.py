"""Chooses the engine of a region by rules over its features, and says why in words and numbers."""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.config import RouteConfig, parse_condition
from cleanplate.errors import ConfigError
from cleanplate.fill.base import FillRequest
from cleanplate.metrics.blocking import blocking
from cleanplate.records import Box, Region, Route
from cleanplate.ring import dilate, fit_plane, noise_sigma, ring

_THIN_PX = 12.0
_EDGE = 12.0  # grey levels per pixel
_SIGNS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


def features(request: FillRequest, region: Region, ring_px: int = 8) -> dict[str, float]:
    """Describes a hole and its surroundings.

    Args:
        request: the region's crop and masks.
        region: the region itself.
        ring_px: width of the ring that is looked at.

    Returns:
        area_px (core), stroke_px (widest stroke), ring_std (spread of colour, grey levels), texture (spread around a
        plane of colour, without noise), noise (sigma), gradient (grey levels across the crop), edges (share of the ring
        on an edge), coverage (core's share of the box), border_px (least distance of the region to the crop's edge),
        height_px, ring_px (pixels of the ring), blocking (of JPEG, 1 = none; see `metrics.blocking`): those of
        config.ROUTE_FEATURES.
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
        "edges": _edges(request, where, noise),
        "coverage": float(request.core.sum()) / max(1, region.box.area_px),
        "border_px": _border_px(request),
        "height_px": region.height_px,
        "ring_px": float(plane.count),
        "blocking": blocking(request.crop, 1 - request.hole),
    }


def route(values: Mapping[str, float], kind: str, config: RouteConfig, engines: Collection[str]) -> Route:
    """The engine of the first rule that fits.

    Where none fits, it is the cheapest that no rule speaks of, else the dearest.

    Args:
        values: from `features`.
        kind: of the region.
        config: the section "route".
        engines: names of those that may be used; others are passed over (tried before, or not permitted).

    Raises:
        ConfigError: none of the configured engines is among `engines`.
    """
    usable = [name for name in config.engines if name in engines]
    if not usable:
        raise ConfigError(f"route.engines names {', '.join(config.engines)}, none of which is loaded or left to try")
    shape = "thin strokes" if values["stroke_px"] <= _THIN_PX else f"up to {values['stroke_px']:.0f} px wide"
    start = f"{values['area_px']:,.0f} px, {shape}"
    for rule in config.rules:
        if rule.engine not in usable or (rule.kinds and kind not in rule.kinds):
            continue
        conditions = [parse_condition(text) for text in rule.when]
        if all(_SIGNS[sign](values[name], limit) for name, sign, limit in conditions):
            told = [f"{_told(name, values[name])} {sign} {limit:g}" for name, sign, limit in conditions]
            rival = rule.against if rule.against in usable else ""
            return Route(rule.engine, f"{', '.join([start, *told])}: {rule.engine}", dict(values), rival)
    ruled = {rule.engine for rule in config.rules}
    chosen = next((name for name in usable if name not in ruled), usable[-1])
    return Route(chosen, f"{start}, no rule fits: {chosen}", dict(values))


def _told(name: str, value: float) -> str:
    unit = " px" if name.endswith("_px") else ""
    return f"{name.removesuffix('_px')} {value:,.0f}{unit}" if unit else f"{name} {value:.1f}"


def _edges(request: FillRequest, where: NDArray[np.uint8], noise: float) -> float:
    """Share of the ring where an edge of the picture runs: steps well above the noise."""
    if not where.any():
        return 0.0
    grey = cv2.cvtColor(request.crop, cv2.COLOR_RGB2GRAY).astype(np.float32)
    step = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)) / 4
    # A step that the hole itself makes is none of the picture's.
    clear = where * (1 - dilate(request.hole, 2))
    return float((step[clear > 0] > _EDGE + 2 * noise).mean()) if clear.any() else 0.0


def _stroke_px(request: FillRequest) -> float:
    """Width of the widest part of the core: twice the largest distance to its edge."""
    padded = np.pad(request.core, 1)
    return float(2 * cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_3).max())


def _border_px(request: FillRequest) -> float:
    box, (height, width) = Box.around(request.alpha), request.alpha.shape
    return float(min(box.top, box.left, height - box.bottom, width - box.right)) if box.area_px else 0.0
