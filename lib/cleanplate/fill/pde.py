"""Diffusion fills: Telea (2004), Navier-Stokes (Bertalmio et al., CVPR 2001), and the biharmonic surfaces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.config import Config, FillConfig, PdeMethod
from cleanplate.enhance.footprint import Footprint
from cleanplate.fill.base import EngineSpec, FillRequest
from cleanplate.fill.biharmonic import biharmonic
from cleanplate.models.registry import Registry
from cleanplate.pull_push import pull_push
from cleanplate.ring import noise_sigma, ring

_RIM_PX = 8  # in which the noise is measured
_CHROMA_PX = 12  # round the hole: what its chroma is made of
_LEAST_NOISE = 0.7  # grey levels
_BILATERAL_RANGE, _BILATERAL_PX = 6.0, 3.0  # deviations of the noise, over the sum of three channels; pixels
_RINGING_PX = 5.0  # the same, where a JPEG's ringing goes with the noise
_TENSION_PX = 2.0
_FAR = -2000.0  # a colour that no pixel is near to
_Fill = Callable[[NDArray[np.uint8], NDArray[np.uint8], float], NDArray[np.uint8]]


@dataclass(frozen=True)
class _Method:
    """A way to fill.

    Attributes:
        fill: what does it.
        largest_px: area of a part of the hole, in pixels, from which it works at lower resolution.
        sloping: whether it goes on with the slopes of the rim, and so with those of its noise.
    """

    fill: _Fill
    largest_px: int
    sloping: bool = False


def _by_opencv(flag: int) -> _Fill:
    return lambda crop, hole, radius_px: np.asarray(cv2.inpaint(crop, hole, radius_px, flag), np.uint8)


def _by_surface(tension_px: float | None) -> _Fill:
    return lambda crop, hole, _: np.clip(np.rint(biharmonic(crop, hole, tension_px)), 0, 255).astype(np.uint8)


# Time grows with the area of a hole's largest part: beyond these a crop of one megapixel would take some seconds.
_METHODS: dict[PdeMethod, _Method] = {
    "telea": _Method(_by_opencv(cv2.INPAINT_TELEA), 60_000),
    "navier_stokes": _Method(_by_opencv(cv2.INPAINT_NS), 60_000),
    "biharmonic": _Method(_by_surface(None), 12_000, sloping=True),
    "tension": _Method(_by_surface(_TENSION_PX), 12_000, sloping=True),
}


class PdeEngine:
    """Continues the surroundings into the hole by diffusion."""

    spec = EngineSpec("pde", "Apache-2.0", cost_units_per_mpx=5.0, smooth=True)

    def __init__(self, config: FillConfig) -> None:
        """Keeps method and radius."""
        self._method = config.pde_method
        self._radius_px = config.pde_radius_px

    @classmethod
    def build(cls, config: Config, registry: Registry, device: str) -> PdeEngine:
        """Needs no weights."""
        return cls(config.fill)

    def fill(self, requests: Sequence[FillRequest]) -> list[NDArray[np.uint8]]:
        """See `Engine.fill`."""
        calm = [without_noise(request.crop, request.hole, footprint=request.footprint) for request in requests]
        fills = [
            diffuse(crop, request.hole, self._method, self._radius_px)
            for crop, request in zip(calm, requests, strict=True)
        ]
        if not _METHODS[self._method].sloping:
            return fills
        return [calm_chroma(filled, request.hole) for filled, request in zip(fills, requests, strict=True)]


def without_noise(
    crop: NDArray[np.uint8], hole: NDArray[np.uint8], least: float = _LEAST_NOISE, footprint: Footprint | None = None
) -> NDArray[np.uint8]:
    """The crop with less noise round a hole, by a bilateral filter (Tomasi and Manduchi, ICCV 1998) as wide as it is.

    Diffusion takes the noise of the rim for colour and carries it into the hole as clouds and streaks, which no regrain
    takes away. What is in the hole has no part in it. In a JPEG, what is removed has left its ringing in the rim: a few
    steps of the tables high.

    Args:
        crop: uint8 (H, W, 3), RGB.
        hole: uint8 (H, W), 0 or 1.
        least: noise in grey levels from which it is filtered.
        footprint: how the crop's file quantises it, if it is a JPEG.

    Returns:
        uint8 (H, W, 3), RGB; the crop where there is less noise.
    """
    sigma = float(noise_sigma(crop, ring(hole.astype(np.float32), hole, _RIM_PX)).max())
    reach_px = _BILATERAL_PX
    if footprint is not None:
        sigma, reach_px = max(sigma, footprint.step), _RINGING_PX
    if sigma < least:
        return crop
    apart = np.where(hole[:, :, None] > 0, np.float32(_FAR), crop.astype(np.float32))
    smooth = cv2.bilateralFilter(apart, -1, _BILATERAL_RANGE * sigma, reach_px)
    return np.where(hole[:, :, None] > 0, crop, np.clip(np.rint(smooth), 0, 255).astype(np.uint8))


def calm_chroma(filled: NDArray[np.uint8], hole: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A fill with the rim's chroma, continued as smoothly as can be; its luma stays.

    JPEG leaves chroma in steps of 16 px, and a surface that takes their slopes for the picture's swings out into clouds
    of colour: 88 % of the filled chroma blocks of JPEGs of quality 60 had waves, 43 % of the untouched ones.

    Args:
        filled: uint8 (H, W, 3), RGB.
        hole: uint8 (H, W), 0 or 1.

    Returns:
        uint8 (H, W, 3), RGB; where the hole is 0 the fill, bit for bit.
    """
    known = ring(hole.astype(np.float32), hole, _CHROMA_PX).astype(np.float32)[:, :, None]
    if not known.any():
        return filled
    ycc = cv2.cvtColor(filled.astype(np.float32) / 255, cv2.COLOR_RGB2YCrCb)
    smooth = pull_push(ycc * known, known)
    ycc[:, :, 1:] = smooth[:, :, 1:]
    rgb = np.clip(np.rint(cv2.cvtColor(ycc, cv2.COLOR_YCrCb2RGB) * 255), 0, 255).astype(np.uint8)
    return np.where(hole[:, :, None] > 0, rgb, filled)


def diffuse(
    crop: NDArray[np.uint8], hole: NDArray[np.uint8], method: PdeMethod, radius_px: float = 4.0
) -> NDArray[np.uint8]:
    """Fills a hole by diffusion from its rim; one with large parts at lower resolution.

    Args:
        crop: uint8 (H, W, 3), RGB.
        hole: uint8 (H, W), 0 or 1.
        method: which equation.
        radius_px: how far Telea's and Navier-Stokes' look.

    Returns:
        uint8 (H, W, 3), RGB; mid grey where the hole is the whole crop, since there is nothing to continue.
    """
    if hole.all():
        return np.full_like(crop, 128)
    chosen = _METHODS[method]
    area_px = _largest_part_px(hole)
    if area_px <= chosen.largest_px:
        return chosen.fill(crop, hole, radius_px)
    return _filled_small(crop, hole, (chosen.largest_px / area_px) ** 0.5, chosen.fill, radius_px)


def _largest_part_px(hole: NDArray[np.uint8]) -> int:
    stats = cv2.connectedComponentsWithStats(hole, connectivity=8)[2]
    return int(stats[1:, cv2.CC_STAT_AREA].max(initial=0))


def _filled_small(
    crop: NDArray[np.uint8], hole: NDArray[np.uint8], scale: float, fill: _Fill, radius_px: float
) -> NDArray[np.uint8]:
    """Fills at lower resolution; only known pixels are averaged into the small picture."""
    height, width = hole.shape
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    known = (1 - hole).astype(np.float32)
    weight = cv2.resize(known, size, interpolation=cv2.INTER_AREA)
    colour = cv2.resize(crop.astype(np.float32) * known[:, :, None], size, interpolation=cv2.INTER_AREA)
    small = np.clip(np.rint(colour / np.maximum(weight, 1e-6)[:, :, None]), 0, 255).astype(np.uint8)
    missing = (weight < 1e-3).astype(np.uint8)
    painted = fill(small, missing, radius_px) if missing.any() and not missing.all() else small
    large = cv2.resize(painted, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.where(hole[:, :, None] > 0, large, crop)
