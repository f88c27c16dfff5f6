"""The noise of a photograph: how strong in luma and chroma, how coarse, and how it grows with the light.

It is measured where there is least structure (Liu, Tanaka and Okutomi, IEEE TIP 22(12), 2013, choose so too): in the
8x8 blocks whose quarters have nearly the same mean, as the median power of each cosine wave over these blocks. White
noise has the same power in all waves, so the quick ones tell its level, where photographs have next to nothing; of
coarse noise (resized, compressed, scanned) all waves count.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cleanplate.enhance.blocks import BLOCK_PX, cut, dct, to_ycc

_FLAT_SHARE = 0.15
_CLIPPED_SHARE = 0.05  # of a block's samples, beyond which it says nothing of the noise
_FEWEST_BLOCKS = 20
_BINS = 8
_WHITE = 0.5  # of the power of middling waves that quick ones must have
_ORDER = np.add.outer(np.arange(BLOCK_PX), np.arange(BLOCK_PX))  # of a wave: row and column together
_LOW, _NEXT, _MIDDLE, _QUICK = _ORDER < 3, (_ORDER >= 3) & (_ORDER <= 4), (_ORDER >= 4) & (_ORDER < 8), _ORDER >= 8


@dataclass(frozen=True)
class NoiseProfile:
    """Noise, in grey levels 0..255.

    Attributes:
        rgb: standard deviation, root mean square of the three channels.
        luma: of BT.601 luma; white noise that is the same in each channel but independent has 0.67 of its own.
        chroma: of Cb and Cr, root mean square.
        correlation: of horizontal and vertical neighbours in luma, -1..1; 0 = white.
        slope: growth of luma variance per grey level of brightness; 0 = independent of the signal.
    """

    rgb: float
    luma: float
    chroma: float
    correlation: float
    slope: float


def profile(rgb: NDArray[np.uint8], where: NDArray[np.uint8] | None = None) -> NoiseProfile:
    """Measures the noise of a picture.

    Args:
        rgb: uint8 (H, W, 3), RGB.
        where: uint8 (H, W), 1 on the pixels that count; None = all. A block counts where all its pixels do.

    Returns:
        The noise; all 0 where fewer than twenty blocks are left.
    """
    planes = np.concatenate([to_ycc(rgb), rgb.astype(np.float32)], axis=2).transpose(2, 0, 1)
    luma = cut(planes[0])
    counts = np.ones_like(planes[0]) if where is None else where.astype(np.float32)
    flat = _flattest(luma, cut(counts).min(axis=(1, 2)) > 0)
    if len(flat) < _FEWEST_BLOCKS:
        return NoiseProfile(0.0, 0.0, 0.0, 0.0, 0.0)
    spectra = [_spectrum(cut(plane)[flat]) for plane in planes]
    levels = [_level(spectrum) for spectrum in spectra]
    return NoiseProfile(
        rgb=_root_mean_square(levels[3:]),
        luma=levels[0],
        chroma=_root_mean_square(levels[1:3]),
        correlation=_neighbour_correlation(spectra[0]),
        slope=_slope(luma[flat]),
    )


def _root_mean_square(values: list[float]) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def _flattest(blocks: NDArray[np.float32], whole: NDArray[np.bool_]) -> NDArray[np.intp]:
    """The whole blocks with least structure: by the coarse differences, which noise moves little."""
    quarters = blocks.reshape(-1, 2, 4, 2, 4).mean(axis=(2, 4)).reshape(-1, 4)
    clipped = ((blocks <= 1) | (blocks >= 254)).mean(axis=(1, 2)) > _CLIPPED_SHARE
    spread = np.where(clipped | ~whole, np.inf, quarters.std(axis=1))
    count = min(int(np.isfinite(spread).sum()), max(_FEWEST_BLOCKS, int(_FLAT_SHARE * np.count_nonzero(whole))))
    return np.argsort(spread, kind="stable")[:count]


def _spectrum(blocks: NDArray[np.float32]) -> NDArray[np.float64]:
    """float64 (8, 8): power by frequency, the median over blocks; the mean and the lowest waves as their neighbours."""
    power = np.median(dct(blocks).astype(np.float64) ** 2, axis=0) / 0.4549  # the median of chi-square with one degree
    # Structure hides in the slowest waves; noise has no more power there than in those beside them.
    power[_LOW] = np.minimum(power[_LOW], power[_NEXT].mean())
    power[0, 0] = power[_LOW].max()
    return np.asarray(power)


def _neighbour_correlation(spectrum: NDArray[np.float64]) -> float:
    wave = np.cos(np.pi * np.arange(BLOCK_PX) / BLOCK_PX)
    total = max(float(spectrum.sum()), 1e-9)
    return float(((spectrum.sum(axis=0) + spectrum.sum(axis=1)) @ wave) / (2 * total))


def _level(spectrum: NDArray[np.float64]) -> float:
    """By the quick waves where the noise is white; by all where they are weaker."""
    quick = float(spectrum[_QUICK].mean())
    is_white = quick >= _WHITE * spectrum[_MIDDLE].mean()
    return float(np.sqrt(quick if is_white else spectrum.mean()))


def _slope(blocks: NDArray[np.float32]) -> float:
    """Robust line through the variance of the flat blocks over their brightness (median of the slopes between bins)."""
    order = np.array_split(np.argsort(blocks.mean(axis=(1, 2)), kind="stable"), _BINS)
    light = np.array([blocks[part].mean() for part in order if len(part)])
    power = np.array([np.median(dct(blocks[part])[:, 2:, 2:] ** 2) / 0.4549 for part in order if len(part)])
    first, second = np.triu_indices(len(light), 1)
    distant = np.abs(light[second] - light[first]) > 8
    if not distant.any():
        return 0.0
    return float(np.median((power[second] - power[first])[distant] / (light[second] - light[first])[distant]))
