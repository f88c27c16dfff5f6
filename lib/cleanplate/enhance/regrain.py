"""Gives the noise of the surroundings back to a fill that lacks it."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.config import RegrainConfig
from cleanplate.enhance import grain
from cleanplate.enhance.footprint import Footprint, quantised_noise
from cleanplate.enhance.noise_profile import profile
from cleanplate.enhance.quilt import quilt
from cleanplate.ring import ring

_RING_PX = 8  # in which something must be known
_GRAIN_PX = 24  # in which the spectrum is measured
_FILL_MEAN_PX = 9  # side of the local mean that a fill's own noise is counted from
_FEWEST_PX = 32
_MOST_LEVEL = 1.5  # times that of the flattest places: noise grows with brightness
_ROUNDING = 0.29  # of a step
_MEAN_PX = 5  # side of the mean that tells what rounding took


def regrain(
    crop: NDArray[np.uint8],
    alpha: NDArray[np.float32],
    invalid: NDArray[np.uint8],
    seed: int,
    config: RegrainConfig,
    footprint: Footprint | None = None,
    smooth: bool = True,
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
        smooth: whether the fill has no texture of its own; one that has gets no more than the picture's noise.

    Returns:
        uint8 (H, W, 3), RGB; where alpha is 0 it is the crop, bit for bit.
    """
    if not config.enabled or config.scale == 0:
        return crop
    inside = (alpha > 0.5).astype(np.uint8)
    around = ring(alpha, invalid, _RING_PX)
    if inside.sum() < _FEWEST_PX or around.sum() < _FEWEST_PX:
        return crop
    rng = np.random.default_rng(seed)
    if footprint is not None:
        waves = quantised_noise(crop, alpha, invalid, footprint, rng)
        if waves is not None:
            if not smooth:
                waves = _bounded(waves, crop, alpha, invalid, footprint.step)
            return _add(crop.astype(np.float32), waves * alpha[:, :, None] * config.scale, alpha, crop)
    model = grain.measure(crop, ring(alpha, invalid, _GRAIN_PX))
    if model is None:
        return crop
    # The slow waves of a fill are its shading; they stand for no grain.
    present = grain.measure(crop, inside, model.axes, _FILL_MEAN_PX)
    noise = _noise(crop, alpha, invalid, model, rng)
    if not smooth:
        noise = _bounded(noise, crop, alpha, invalid, 1.0)
    noise = grain.lacking(noise, model, present, config.scale)
    return _add(_unrounded(crop, inside), noise * alpha[:, :, None], alpha, crop)


def _noise(
    crop: NDArray[np.uint8],
    alpha: NDArray[np.float32],
    invalid: NDArray[np.uint8],
    model: grain.Grain,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """float32 (H, W, 3): noise as the surroundings have it."""
    sewn = quilt(crop, alpha, invalid, rng)
    if sewn is not None:
        return sewn
    light = cv2.blur(crop, (9, 9)).astype(np.float32).mean(axis=2)
    return grain.synthesise(model, (crop.shape[0], crop.shape[1]), rng) * model.level_by(light)[:, :, None]


def _bounded(
    noise: NDArray[np.float32],
    crop: NDArray[np.uint8],
    alpha: NDArray[np.float32],
    invalid: NDArray[np.uint8],
    step: float,
) -> NDArray[np.float32]:
    """Noise no stronger than the flattest places of the whole crop say that it can be.

    Where all that is near has texture, its calmest part passes for noise; sewn together by chance it is neither. What
    rounding to steps of `step` grey levels makes is allowed for.
    """
    level = profile(crop, ((alpha == 0) & (invalid == 0)).astype(np.uint8)).rgb
    most = _MOST_LEVEL * math.hypot(level, _ROUNDING * step)
    own = math.sqrt(float(np.square(noise[alpha > 0.5]).mean()))
    return noise if level == 0 or own <= most else np.asarray(noise * (most / own), dtype=np.float32)


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
