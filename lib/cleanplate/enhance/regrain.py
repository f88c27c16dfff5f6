"""Gives the noise of the surroundings back to a fill that lacks it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.config import RegrainConfig
from cleanplate.enhance import grain
from cleanplate.enhance.footprint import Footprint, quantised_noise
from cleanplate.enhance.quilt import quilt
from cleanplate.ring import ring

_RING_PX = 8  # in which the level is measured
_GRAIN_PX = 24  # in which the spectrum is measured
_FILL_MEAN_PX = 9  # side of the local mean that a fill's own noise is counted from
_FEWEST_PX = 32
_MEAN_PX = 5  # side of the mean that tells what rounding took


def regrain(
    crop: NDArray[np.uint8],
    alpha: NDArray[np.float32],
    invalid: NDArray[np.uint8],
    seed: int,
    config: RegrainConfig,
    footprint: Footprint | None = None,
) -> NDArray[np.uint8]:
    """Adds what the fill lacks of the ring's noise: spectrum, colours, growth with brightness, level.

    The noise is sewn from patches of calm places nearby (see `quilt`), or where there are none, made by the spectrum of
    the calm pixels round the mask (see `grain`); what the fill has already is taken off it, wave by wave.

    Args:
        crop: uint8 (H, W, 3), RGB, already filled and blended.
        alpha: float32 (H, W), 0..1: where it was filled, and how far.
        invalid: uint8 (H, W), 1 where the ring must not be measured.
        seed: same seed, same noise.
        config: the section "regrain".
        footprint: how the file will quantise the crop, if it is a JPEG.

    Returns:
        uint8 (H, W, 3), RGB; where alpha is 0 it is the crop, bit for bit.
    """
    if not config.enabled or config.scale == 0:
        return crop
    inside = (alpha > 0.5).astype(np.uint8)
    around = ring(alpha, invalid, _RING_PX)
    if inside.sum() < _FEWEST_PX or around.sum() < _FEWEST_PX:
        return crop
    if footprint is not None:
        rng = np.random.default_rng(seed)
        waves = quantised_noise(crop, alpha, invalid, footprint, rng)
        if waves is not None:
            return _add(crop.astype(np.float32), waves * alpha[:, :, None] * config.scale, alpha, crop)
    model = grain.measure(crop, ring(alpha, invalid, _GRAIN_PX))
    if model is None:
        return crop
    # The slow waves of a fill are its shading; they stand for no grain.
    present = grain.measure(crop, inside, model.axes, _FILL_MEAN_PX)
    noise = grain.lacking(_noise(crop, alpha, invalid, model, seed), model, present, config.scale)
    return _add(_unrounded(crop, inside), noise * alpha[:, :, None], alpha, crop)


def _noise(
    crop: NDArray[np.uint8], alpha: NDArray[np.float32], invalid: NDArray[np.uint8], model: grain.Grain, seed: int
) -> NDArray[np.float32]:
    """float32 (H, W, 3): noise as the surroundings have it."""
    rng = np.random.default_rng(seed)
    sewn = quilt(crop, alpha, invalid, rng)
    if sewn is not None:
        return sewn
    light = cv2.blur(crop, (9, 9)).astype(np.float32).mean(axis=2)
    return grain.synthesise(model, (crop.shape[0], crop.shape[1]), rng) * model.level_by(light)[:, :, None]


def _unrounded(crop: NDArray[np.uint8], inside: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The crop with what rounding took from its smooth parts: noise of less than half a grey level would be lost."""
    values = crop.astype(np.float32)
    mean = cv2.blur(values, (_MEAN_PX, _MEAN_PX))
    smooth = cv2.erode(inside, np.ones((_MEAN_PX, _MEAN_PX), np.uint8)) > 0
    smooth &= np.abs(values - mean).max(axis=2) <= 1
    return np.where(smooth[:, :, None], mean, values)


def _add(
    base: NDArray[np.float32], noise: NDArray[np.float32], alpha: NDArray[np.float32], crop: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    grained = np.clip(np.rint(base + noise), 0, 255).astype(np.uint8)
    return np.where(alpha[:, :, None] > 0, grained, crop)
