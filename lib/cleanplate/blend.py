"""Puts a fill into its surroundings: colour continued from the feather, then mixed by the soft mask."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.config import BlendConfig
from cleanplate.metrics.seam import seam_error
from cleanplate.pull_push import pull_push
from cleanplate.ring import dilate, ring

_LEAST_WEIGHT = 0.02
_RIM_PX = 4  # on either side of a border, whose colours are matched
_LEVELS = np.linspace(2, 98, 25)  # percentiles
_CLEARLY = 0.9  # of the first method's seam error: a dearer one must be better by so much
_Offset = Callable[[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]], NDArray[np.float32]]


def composite(
    crop: NDArray[np.uint8],
    filled: NDArray[np.uint8],
    alpha: NDArray[np.float32],
    invalid: NDArray[np.uint8],
    config: BlendConfig,
) -> tuple[NDArray[np.uint8], str]:
    """Mixes a fill into a crop, by the method that is configured or by the one whose seam shows least.

    All methods move colours by an offset that changes slowly, so the fill's own detail stays what it is.

    Args:
        crop: uint8 (H, W, 3), RGB: the picture so far.
        filled: uint8 (H, W, 3), RGB: the engine's, of any value where alpha is 0.
        alpha: float32 (H, W), 0..1, 1 = replace.
        invalid: uint8 (H, W), 0 or 1: cores of all regions, which no seam is measured against.
        config: the section "blend".

    Returns:
        uint8 (H, W, 3), RGB; where alpha is 0 it is the crop, bit for bit. And the method's name.
    """
    if config.method != "auto":
        return mixed(crop, filled, alpha, config.method), config.method
    results = {name: mixed(crop, filled, alpha, name) for name in ("near", "membrane")}
    core = (alpha > 0.5).astype(np.uint8)
    errors = {name: seam_error(result, core, invalid) for name, result in results.items()}
    name = "membrane" if errors["membrane"] < _CLEARLY * errors["near"] else "near"
    return results[name], name


def mixed(
    crop: NDArray[np.uint8], filled: NDArray[np.uint8], alpha: NDArray[np.float32], method: str
) -> NDArray[np.uint8]:
    """Mixes by one of METHODS; see `composite`."""
    layer = filled.astype(np.float32) + METHODS[method](crop, filled, alpha)
    weight = alpha[:, :, None]
    result = np.clip(np.rint(layer * weight + crop * (1 - weight)), 0, 255).astype(np.uint8)
    return np.where(weight > 0, result, crop)


def match_histogram(
    crop: NDArray[np.uint8], filled: NDArray[np.uint8], alpha: NDArray[np.float32], invalid: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Moves a fill's colours so that those along its rim are distributed as those just outside.

    Args:
        crop: uint8 (H, W, 3), RGB: the picture so far.
        filled: uint8 (H, W, 3), RGB: the engine's.
        alpha: float32 (H, W), 0..1.
        invalid: uint8 (H, W), 0 or 1: what the outside leaves out.

    Returns:
        uint8 (H, W, 3), RGB: the fill, each channel mapped by its percentiles along the rim, and shifted beyond them.
    """
    core = (alpha > 0.5).astype(np.uint8)
    inside, outside = core * dilate(1 - core, _RIM_PX) > 0, ring(alpha, invalid, _RIM_PX) > 0
    if not inside.any() or not outside.any():
        return filled
    moved = np.empty(filled.shape, np.float32)
    for channel in range(3):
        values = filled[:, :, channel].astype(np.float32)
        given, wanted = (np.percentile(p[:, :, channel][w], _LEVELS) for p, w in ((filled, inside), (crop, outside)))
        moved[:, :, channel] = values + np.interp(values, given, wanted - given)
    return np.clip(np.rint(moved), 0, 255).astype(np.uint8)


def _nothing(
    crop: NDArray[np.uint8], filled: NDArray[np.uint8], alpha: NDArray[np.float32]
) -> NDArray[np.float32]:
    return np.zeros(crop.shape, np.float32)


def near_offset(
    crop: NDArray[np.uint8], filled: NDArray[np.uint8], alpha: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The offset that lets the fill meet the picture in the feather, where both are known, fading inward.

    Normalised convolution (Knutsson and Westin, CVPR 1993) of the difference over the feather (0 < alpha < 0.5); where
    no feather is near, there is no offset.

    Returns:
        float32 (H, W, 3), grey levels.
    """
    known, difference = _known(crop, filled, alpha)
    if not known.any():
        return np.zeros(crop.shape, np.float32)
    size = (9, 9)
    weight = cv2.blur(known, size)
    offset = cv2.blur(difference, size) / np.maximum(weight, _LEAST_WEIGHT)[:, :, None]
    return np.where(weight[:, :, None] >= _LEAST_WEIGHT, offset, np.float32(0))


def membrane_offset(
    crop: NDArray[np.uint8], filled: NDArray[np.uint8], alpha: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The offset of Poisson image editing (Perez et al., SIGGRAPH 2003): the feather's difference as a membrane.

    The membrane is found by pull and push over a pyramid (Gortler et al., SIGGRAPH 1996), which comes as close to
    Laplace's equation as an offset of colour needs.

    Returns:
        float32 (H, W, 3), grey levels; zeros where there is no feather.
    """
    known, difference = _known(crop, filled, alpha)
    if not known.any():
        return np.zeros(crop.shape, np.float32)
    return pull_push(difference, known[:, :, None])


METHODS: Mapping[str, _Offset] = {"feather": _nothing, "near": near_offset, "membrane": membrane_offset}


def _known(
    crop: NDArray[np.uint8], filled: NDArray[np.uint8], alpha: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Where both pictures are known, float32 (H, W), and their difference there, float32 (H, W, 3)."""
    known = ((alpha > 0) & (alpha < 0.5)).astype(np.float32)
    return known, (crop.astype(np.float32) - filled.astype(np.float32)) * known[:, :, None]
