"""Brings out fine detail a little, without halos and without raising the noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.config import Config
from cleanplate.enhance.tiling import tiled
from cleanplate.models.registry import Registry
from cleanplate.records import Box

if TYPE_CHECKING:
    from cleanplate.enhance.analyse import Analysis

_RADIUS_PX = 3
_EDGE = 16.0  # grey levels: what deviates more from its surroundings is an edge, and stays as it is
_GAIN = 0.8
_CORE = 3.0  # deviations of the noise below which detail counts as noise
_TILE_PX = 1024
_HALO_PX = 2 * _RADIUS_PX + 1


class Polish:
    """Adds what a guided filter takes for detail, within the range of each pixel's neighbours.

    The guided filter (He, Sun and Tang, PAMI 35(6), 2013) keeps edges in its base, so that they are not in the detail;
    and no pixel leaves the range of its 3x3 neighbours in the source, channel by channel, so that nothing overshoots.
    """

    name = "polish"
    scale = 1
    synthetic = False

    @classmethod
    def build(cls, config: Config, registry: Registry, device: str) -> Polish:
        """Needs nothing."""
        return cls()

    def apply(self, rgb: NDArray[np.uint8], analysis: Analysis) -> NDArray[np.uint8]:
        """See `Enhancer.apply`."""

        def polish(tile: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
            return sharpen(tile, analysis.noise_luma)

        return tiled(rgb, polish, _TILE_PX, _HALO_PX)


def sharpen(rgb: NDArray[np.uint8], noise_luma: float) -> NDArray[np.uint8]:
    """Polishes a picture at once.

    Args:
        rgb: uint8 (H, W, 3), RGB.
        noise_luma: standard deviation of the luma's noise, grey levels.

    Returns:
        uint8 (H, W, 3), RGB.
    """
    luma = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    detail = luma - _guided(luma, _RADIUS_PX, _EDGE**2)
    power = detail * detail
    detail *= _GAIN * power / (power + (_CORE * noise_luma) ** 2 + 1e-6)
    kernel = np.ones((3, 3), np.uint8)
    wanted = np.rint(rgb + detail[:, :, None])
    return np.asarray(np.clip(wanted, cv2.erode(rgb, kernel), cv2.dilate(rgb, kernel)), dtype=np.uint8)


def _guided(plane: NDArray[np.float32], radius_px: int, epsilon: float) -> NDArray[np.float32]:
    """The guided filter with the plane itself as its guide: smooth where the variance is well below epsilon."""
    mean = _box(plane, radius_px)
    variance = np.maximum(_box(plane * plane, radius_px) - mean * mean, np.float32(0))
    slope = np.asarray(variance / (variance + np.float32(epsilon)), np.float32)
    return np.asarray(_box(slope, radius_px) * plane + _box(mean * (1 - slope), radius_px), np.float32)


def _box(plane: NDArray[np.float32], radius_px: int) -> NDArray[np.float32]:
    size = (2 * radius_px + 1, 2 * radius_px + 1)
    return np.asarray(cv2.blur(plane, size, borderType=cv2.BORDER_REFLECT_101), np.float32)
