"""Where a picture comes from, by rules that can be read: a camera, a social network, a scanner, a screen."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cleanplate.codec.metadata import summarise_exif
from cleanplate.image import Carried

Origin = Literal["camera", "social_jpeg", "scan", "screenshot"]

_SCANNERS = ("scan", "epson perfection", "canoscan", "scanjet", "fi-", "vuescan", "silverfast", "coolscan", "imacon")
_SCREENS = ("screenshot", "snip", "gnome-screenshot", "spectacle", "greenshot", "shutter", "lightshot")
_SCAN_DPI = 150.0
_SOCIAL_QUALITY = 88.0
_SOCIAL_LONG_SIDE_PX = 2560
_SAME_SHARE = 0.65  # of neighbours that are equal to the last bit; a smooth sky in a lossy file reaches 0.61
_PAPER_SHARE = 0.55
_PAPER_LEVEL = 20


def origin_of(
    carried: Carried, rgb: NDArray[np.uint8], jpeg_quality: float | None, long_side_px: int
) -> tuple[Origin, str]:
    """Decides by what the file says of itself first, then by the pixels.

    Args:
        carried: what the file carried.
        rgb: uint8 (H, W, 3), RGB: what the analysis looks at.
        jpeg_quality: of the last JPEG it was, None for none.
        long_side_px: of the whole picture.

    Returns:
        The origin, and the rule in words and numbers.
    """
    exif = summarise_exif(carried.exif)
    named = f"{exif.device} {exif.software}".lower()
    if any(word in named for word in _SCANNERS):
        return "scan", f"EXIF names {named.strip()!r}"
    if any(word in named for word in _SCREENS):
        return "screenshot", f"EXIF names {named.strip()!r}"
    if exif.device:
        return "camera", f"EXIF names {exif.device!r}"
    return _by_pixels(carried, rgb, jpeg_quality, long_side_px)


def _by_pixels(
    carried: Carried, rgb: NDArray[np.uint8], jpeg_quality: float | None, long_side_px: int
) -> tuple[Origin, str]:
    same = _equal_neighbours(rgb)
    if jpeg_quality is None and same >= _SAME_SHARE:
        return "screenshot", f"{same:.0%} of neighbouring pixels are equal"
    dpi = max(carried.dpi) if carried.dpi else 0.0
    paper = _paper_share(rgb)
    if dpi >= _SCAN_DPI and paper >= _PAPER_SHARE / 2:
        return "scan", f"{dpi:.0f} dpi, no camera named, {paper:.0%} of one bright grey"
    if paper >= _PAPER_SHARE:
        return "scan", f"{paper:.0%} of one bright grey"
    if jpeg_quality is not None and jpeg_quality < _SOCIAL_QUALITY and long_side_px <= _SOCIAL_LONG_SIDE_PX:
        return "social_jpeg", f"JPEG quality {jpeg_quality:.0f}, no camera named, long side {long_side_px} px"
    return "camera", "no sign of a screen, a scanner or strong compression"


def _equal_neighbours(rgb: NDArray[np.uint8]) -> float:
    return float((rgb[:, 1:] == rgb[:, :-1]).all(axis=2).mean()) if rgb.shape[1] > 1 else 0.0


def _paper_share(rgb: NDArray[np.uint8]) -> float:
    """Share of pixels near the commonest brightness, where that is bright and they are nearly grey."""
    small = rgb[::4, ::4].astype(np.int16)
    light, colour = small.mean(axis=2), small.max(axis=2) - small.min(axis=2)
    counts = np.bincount(light.astype(np.int64).ravel(), minlength=256)
    peak = int(np.argmax(np.convolve(counts, np.ones(9), "same")))
    if peak < 170:
        return 0.0
    return float(((np.abs(light - peak) <= _PAPER_LEVEL) & (colour <= 2 * _PAPER_LEVEL)).mean())
