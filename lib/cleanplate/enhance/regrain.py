"""Gives the noise of the surroundings back to a fill that lacks it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.config import RegrainConfig
from cleanplate.enhance import grain
from cleanplate.enhance.footprint import Footprint, quantised_noise
from cleanplate.ring import noise_sigma, ring

_LEAST_SIGMA = 0.4  # grey levels; less is rounding
_RING_PX = 8  # in which the level is measured
_GRAIN_PX = 24  # in which the spectrum is measured
_FILL_MEAN_PX = 9  # side of the local mean that a fill's own noise is counted from
_FEWEST_PX = 32
_ROUNDS = 3  # of adjusting the level: rounding and clipping take some of it
_MOST_STEP = 2.0  # by which a round may change it


def regrain(
    crop: NDArray[np.uint8],
    alpha: NDArray[np.float32],
    invalid: NDArray[np.uint8],
    seed: int,
    config: RegrainConfig,
    footprint: Footprint | None = None,
) -> NDArray[np.uint8]:
    """Adds what the fill lacks of the ring's noise: spectrum, colours, growth with brightness, level.

    The spectrum (see `grain`) is that of the calm pixels round the mask less that of the fill; the level is adjusted
    until the fill's is the ring's.

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
            return _add(crop, waves * alpha[:, :, None], np.full(3, config.scale), alpha)
    wanted = noise_sigma(crop, around) * config.scale
    if np.sqrt(np.maximum(0.0, wanted**2 - noise_sigma(crop, inside) ** 2)).max() < _LEAST_SIGMA:
        return crop
    noise = _noise(crop, alpha, invalid, seed)
    if noise is None:
        return crop
    return _adjusted(crop, noise * alpha[:, :, None], alpha, inside, wanted)


def _noise(
    crop: NDArray[np.uint8], alpha: NDArray[np.float32], invalid: NDArray[np.uint8], seed: int
) -> NDArray[np.float32] | None:
    """float32 (H, W, 3): noise with the spectrum, colours and growth that the fill lacks."""
    model = grain.measure(crop, ring(alpha, invalid, _GRAIN_PX))
    if model is None:
        return None
    # The slow waves of a fill are its shading; they stand for no grain.
    present = grain.measure(crop, (alpha > 0.5).astype(np.uint8), model.axes, _FILL_MEAN_PX)
    made = grain.synthesise(model, present, (crop.shape[0], crop.shape[1]), np.random.default_rng(seed))
    light = cv2.blur(crop, (9, 9)).astype(np.float32).mean(axis=2)
    return made * model.level_by(light)[:, :, None]


def _adjusted(
    crop: NDArray[np.uint8],
    noise: NDArray[np.float32],
    alpha: NDArray[np.float32],
    inside: NDArray[np.uint8],
    wanted: NDArray[np.float64],
) -> NDArray[np.uint8]:
    """The crop with so much of the noise that the level inside is as wanted, channel by channel."""
    before, gain = noise_sigma(crop, inside), np.ones(3)
    result = _add(crop, noise, gain, alpha)
    for _ in range(_ROUNDS):
        added = noise_sigma(result, inside) ** 2 - before**2
        ratio = np.maximum(wanted**2 - before**2, 0) / np.maximum(added, 0.05)
        gain = gain * np.clip(np.sqrt(ratio), 1 / _MOST_STEP, _MOST_STEP)
        result = _add(crop, noise, gain, alpha)
    return result


def _add(
    crop: NDArray[np.uint8], noise: NDArray[np.float32], gain: NDArray[np.float64], alpha: NDArray[np.float32]
) -> NDArray[np.uint8]:
    grained = np.clip(np.rint(crop + noise * gain.astype(np.float32)), 0, 255).astype(np.uint8)
    return np.where(alpha[:, :, None] > 0, grained, crop)
