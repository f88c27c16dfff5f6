"""Grain: the noise of a part of a picture as colour axes, autocovariance along each, and growth with brightness."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft2, next_fast_len, rfft2

from cleanplate.ring import noise_sigma

LAG_PX = 6
MEAN_PX = 21  # side of the local mean that noise is counted from
_SMOOTH_PX = 2.0  # deviation of the blur before structure is looked for
_CALM = 50  # percentile of structure up to which a pixel counts
_BY_NOISE = 1.0  # deviations of white noise that 95 % of its own structure (0.4 per axis, Rayleigh) does not exceed
_OUTLIER = 4.0  # robust deviations beyond which a pixel is detail, no noise
_FEWEST_PAIRS = 24
_BINS = 6
_LEAST_RANGE = 24.0  # grey levels of brightness that a growth must be seen over
_MOST_GAIN = 2.0  # of the level by brightness, either way
_ROUNDING = 1 / 12  # power that rounding to grey levels adds
_FADE = np.outer(*[np.hanning(2 * LAG_PX + 3)[1:-1]] * 2)  # of the covariance by lag, so that the spectrum is smooth


@dataclass(frozen=True)
class Grain:
    """Noise of part of a picture.

    Attributes:
        axes: float64 (3, 3), columns: directions in RGB along which it is uncorrelated.
        covariance: float64 (3, 2 * LAG_PX + 1, 2 * LAG_PX + 1): autocovariance by lag, zero in the middle.
        brightness: mean of the pixels it was measured on, grey levels.
        growth: relative growth of the variance per grey level, about that brightness.
    """

    axes: NDArray[np.float64]
    covariance: NDArray[np.float64]
    brightness: float = 128.0
    growth: float = 0.0

    def level_by(self, brightness: NDArray[np.float32]) -> NDArray[np.float32]:
        """Deviation at a brightness over that at the mean one; float32 of the same shape."""
        variance = 1.0 + self.growth * (brightness - self.brightness)
        return np.sqrt(np.clip(variance, 1 / _MOST_GAIN**2, _MOST_GAIN**2)).astype(np.float32)


def measure(
    crop: NDArray[np.uint8],
    where: NDArray[np.uint8],
    axes: NDArray[np.float64] | None = None,
    mean_px: int = MEAN_PX,
) -> Grain | None:
    """Measures grain where there is least structure.

    Args:
        crop: uint8 (H, W, 3), RGB.
        where: uint8 (H, W), 1 on the pixels that count; others have no influence.
        axes: colour axes to measure along; None for those of the noise itself.
        mean_px: side of the local mean that noise is counted from; slower waves are no noise.

    Returns:
        None where too few pixels count.
    """
    rest, light = residual(crop, where, mean_px)
    still = calm(crop, rest, light, where)
    samples = rest[still]
    if len(samples) < _FEWEST_PAIRS:
        return None
    if axes is None:
        axes = np.linalg.eigh(samples.T.astype(np.float64) @ samples / len(samples))[1]
    along = np.where(still[..., None], rest @ axes.astype(np.float32), 0)
    covariance = np.stack([_autocovariance(along[..., k], still) for k in range(3)])
    mean, growth = _growth(rest, light, still)
    return Grain(axes, covariance, mean, growth)


def residual(
    crop: NDArray[np.uint8], where: NDArray[np.uint8], mean_px: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What differs from the local mean of the pixels that count: float32 (H, W, 3), and that mean, (H, W, 3)."""
    weight = (where > 0).astype(np.float32)
    values = crop.astype(np.float32) * weight[..., None]
    size = (mean_px, mean_px)
    share = cv2.blur(weight, size, borderType=cv2.BORDER_REFLECT_101)
    mean = cv2.blur(values, size, borderType=cv2.BORDER_REFLECT_101) / np.maximum(share, 1e-3)[..., None]
    return np.asarray((values - mean) * weight[..., None], dtype=np.float32), np.asarray(mean, dtype=np.float32)


def calm(
    crop: NDArray[np.uint8], rest: NDArray[np.float32], light: NDArray[np.float32], where: NDArray[np.uint8]
) -> NDArray[np.bool_]:
    """Pixels that count, lie on little structure, and are no outliers.

    What the noise alone makes of structure is none: to leave it out would make the noise finer than it is.

    Args:
        crop: uint8 (H, W, 3), RGB.
        rest: what differs from the local mean; see `residual`.
        light: that mean.
        where: uint8 (H, W), 1 on the pixels that count.

    Returns:
        bool (H, W).
    """
    inside = where > 0
    if not inside.any():
        return inside
    size = np.abs(rest).max(axis=2)
    scale = 1.4826 * float(np.median(size[inside])) + 1.0
    inside = inside & (size <= _OUTLIER * scale)
    smooth = cv2.GaussianBlur(light.mean(axis=2), (0, 0), _SMOOTH_PX)
    structure = np.hypot(cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1))
    grey = np.repeat(crop.mean(axis=2).astype(np.uint8)[:, :, None], 3, axis=2)
    by_noise = _BY_NOISE * float(noise_sigma(grey, where)[0])
    return np.asarray(inside & (structure <= max(np.percentile(structure[where > 0], _CALM), by_noise)))


def synthesise(wanted: Grain, shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """Normal noise with a grain's spectrum.

    Args:
        wanted: grain of the surroundings.
        shape: height and width.
        rng: source of chance.

    Returns:
        float32 (H, W, 3), RGB, grey levels, for the mean brightness of `wanted`.
    """
    size = _size(shape)
    white = rng.standard_normal((3, *size))
    along = irfft2(rfft2(white) * np.sqrt(_spectrum(wanted.covariance, size)), s=size)[:, : shape[0], : shape[1]]
    return np.asarray(np.einsum("khw,ck->hwc", along, wanted.axes), dtype=np.float32)


def lacking(
    noise: NDArray[np.float32], wanted: Grain, present: Grain | None, scale: float = 1.0
) -> NDArray[np.float32]:
    """What is wanted of noise and not there yet: each wave by its share of the power (a Wiener filter's root).

    Args:
        noise: float32 (H, W, 3), RGB, of the grain that is wanted.
        wanted: grain of the surroundings.
        present: grain that is there already, along the same axes; None for none.
        scale: of the level that is wanted.

    Returns:
        float32 (H, W, 3), RGB; so much that it comes out right once it is added and rounded to grey levels.
    """
    size = _size(noise.shape[:2])
    power = _spectrum(wanted.covariance, size)
    missing = scale**2 * power - _ROUNDING
    if present is not None:
        missing = missing - _spectrum(present.covariance, size)
    share = np.sqrt(np.maximum(missing, 0) / np.maximum(power, _ROUNDING))
    along = np.einsum("hwc,ck->khw", noise, wanted.axes)
    along = irfft2(rfft2(along, s=size) * share, s=size)[:, : noise.shape[0], : noise.shape[1]]
    return np.asarray(np.einsum("khw,ck->hwc", along, wanted.axes), dtype=np.float32)


def _size(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Of the transform of a part of a picture, with room for what wraps round."""
    return tuple(next_fast_len(side + 2 * LAG_PX, real=True) for side in shape)


def _autocovariance(values: NDArray[np.float32], where: NDArray[np.bool_]) -> NDArray[np.float64]:
    """float64 (2 L + 1, 2 L + 1): mean product of the pairs at each lag, both of which count."""
    size = tuple(next_fast_len(side + LAG_PX, real=True) for side in values.shape)
    products, pairs = (irfft2(np.abs(rfft2(v, s=size)) ** 2, s=size) for v in (values, where.astype(np.float32)))
    lags = np.arange(-LAG_PX, LAG_PX + 1)
    products, pairs = products[np.ix_(lags, lags)], pairs[np.ix_(lags, lags)]
    return np.where(pairs >= _FEWEST_PAIRS, products / np.maximum(pairs, 1), 0.0)


def _spectrum(covariance: NDArray[np.float64], size: tuple[int, ...]) -> NDArray[np.float64]:
    """Power by frequency, (3, h, w // 2 + 1), never negative; the lags fade out, so that it is smooth."""
    lags = np.arange(-LAG_PX, LAG_PX + 1)
    placed = np.zeros((3, *size))
    placed[:, lags[:, None], lags[None, :]] = covariance * _FADE
    return np.maximum(rfft2(placed).real, 0)


def _growth(rest: NDArray[np.float32], light: NDArray[np.float32], still: NDArray[np.bool_]) -> tuple[float, float]:
    """Mean brightness, and the relative growth of the variance by it: the median slope between bins (Theil and Sen)."""
    brightness, power = light[still].mean(axis=1), (rest[still] ** 2).mean(axis=1)
    mean = float(brightness.mean())
    low, high = np.percentile(brightness, [5, 95])
    if high - low < _LEAST_RANGE or power.mean() <= 0:
        return mean, 0.0
    bins = np.array_split(np.argsort(brightness, kind="stable"), _BINS)
    x, y = (np.array([values[part].mean() for part in bins]) for values in (brightness, power))
    first, second = np.triu_indices(_BINS, 1)
    far = x[second] - x[first] > _LEAST_RANGE / 4
    if not far.any():
        return mean, 0.0
    slope = float(np.median((y[second] - y[first])[far] / (x[second] - x[first])[far]))
    return mean, slope / float(power.mean())
