"""Gives the noise of the surroundings back to a fill that lacks it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.config import RegrainConfig
from cleanplate.ring import noise_sigma, ring

_LEAST_SIGMA = 0.4  # grey levels; less is rounding
_RING_PX = 8
_FEWEST_PX = 32


def regrain(
    crop: NDArray[np.uint8],
    alpha: NDArray[np.float32],
    invalid: NDArray[np.uint8],
    seed: int,
    config: RegrainConfig,
) -> NDArray[np.uint8]:
    """Adds noise inside the mask until its level is the ring's.

    The noise has the ring's covariance between the channels and, roughly, its correlation between neighbouring pixels.

    Args:
        crop: uint8 (H, W, 3), RGB, already filled and blended.
        alpha: float32 (H, W), 0..1: where it was filled, and how far.
        invalid: uint8 (H, W), 1 where the ring must not be measured.
        seed: same seed, same noise.
        config: the section "regrain".

    Returns:
        uint8 (H, W, 3), RGB; where alpha is 0 it is the crop, bit for bit.
    """
    if not config.enabled or config.scale == 0:
        return crop
    inside = (alpha > 0.5).astype(np.uint8)
    around = ring(alpha, invalid, _RING_PX)
    if inside.sum() < _FEWEST_PX or around.sum() < _FEWEST_PX:
        return crop
    wanted = noise_sigma(crop, around) * config.scale
    lacking = np.sqrt(np.maximum(0.0, wanted**2 - noise_sigma(crop, inside) ** 2))
    if lacking.max() < _LEAST_SIGMA:
        return crop
    noise = _noise(crop, around, seed) * lacking.astype(np.float32)
    grained = np.clip(np.rint(crop + noise * alpha[:, :, None]), 0, 255).astype(np.uint8)
    return np.where(alpha[:, :, None] > 0, grained, crop)


def _noise(crop: NDArray[np.uint8], around: NDArray[np.uint8], seed: int) -> NDArray[np.float32]:
    """float32 (H, W, 3) of unit high-pass level per channel, correlated like the ring's."""
    rng = np.random.default_rng(seed)
    white = rng.standard_normal(crop.shape, dtype=np.float32)
    high = _high_pass(crop.astype(np.float32))
    mixed = white @ _channel_mix(high[around > 0]).T.astype(np.float32)
    sigma = _blur_sigma(high, around)
    blurred = np.asarray(cv2.GaussianBlur(mixed, (3, 3), sigma, borderType=cv2.BORDER_REFLECT_101), np.float32)
    level = np.median(np.abs(_high_pass(blurred)), axis=(0, 1)) * 1.4826 / 6.0
    return np.asarray(blurred / np.maximum(level, 1e-6), dtype=np.float32)


def _high_pass(values: NDArray[np.float32]) -> NDArray[np.float32]:
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    return np.asarray(cv2.filter2D(values, -1, kernel, borderType=cv2.BORDER_REFLECT_101), dtype=np.float32)


def _channel_mix(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """Lower triangle L with L @ L.T = the correlation of the channels, by the samples that are no edges."""
    size = np.abs(samples).max(axis=1)
    calm = samples[size <= np.percentile(size, 80)]
    deviation = calm.std(axis=0) + 1e-6
    correlation = np.cov((calm / deviation).T) if len(calm) > 3 else np.eye(3)
    return np.asarray(np.linalg.cholesky(0.98 * correlation + 0.05 * np.eye(3)), dtype=np.float64)


def _blur_sigma(high: NDArray[np.float32], around: NDArray[np.uint8]) -> float:
    """Width of the grain: none where neighbours alternate as white noise does, up to 0.8 px where they agree.

    The second-difference filter makes white noise's neighbours correlate by -2/3; coarser grain lessens that.
    """
    green = high[:, :, 1]
    pairs = (around[:, 1:] > 0) & (around[:, :-1] > 0)
    left, right = green[:, :-1][pairs], green[:, 1:][pairs]
    if len(left) < _FEWEST_PX:
        return 0.3
    limit = np.percentile(np.abs(left), 80)
    calm = (np.abs(left) <= limit) & (np.abs(right) <= limit)
    power = float(np.mean(left[calm] ** 2)) + 1e-6
    correlation = float(np.mean(left[calm] * right[calm])) / power
    return float(np.clip(0.3 + (correlation + 0.5) * 0.8, 0.3, 0.8))
