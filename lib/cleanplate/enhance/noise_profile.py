"""The noise of a photograph: how strong in luma and chroma, how coarse, and how it grows with the light.

The level is the one of white noise by the smallest principal components of the patches (Chen, Zhu and Heng, ICCV 2015):
a photograph lies in few of them, white noise in all alike, so texture hardly counts. Coarse noise (resized, compressed,
scanned) is not white; of it the flattest blocks tell the level, and the spectrum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from cleanplate.enhance.blocks import BLOCK_PX, cut, dct, to_ycc

_STRIDE_PX = 3
_MOST_PATCHES = 30000
_FLAT_SHARE = 0.1
_FEWEST_BLOCKS = 20
_BINS = 8
_WHITE = 0.15  # correlation of neighbours up to which noise counts as white


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


def profile(rgb: NDArray[np.uint8]) -> NoiseProfile:
    """Measures the noise of a picture.

    Args:
        rgb: uint8 (H, W, 3), RGB.
    """
    planes = np.concatenate([to_ycc(rgb), rgb.astype(np.float32)], axis=2).transpose(2, 0, 1)
    luma = cut(planes[0])
    flat = _flattest(luma)
    if len(flat) < _FEWEST_BLOCKS:
        return NoiseProfile(0.0, 0.0, 0.0, 0.0, 0.0)
    spectra = [_spectrum(cut(plane)[flat]) for plane in planes]
    levels = [_level(plane, spectrum) for plane, spectrum in zip(planes, spectra, strict=True)]
    return NoiseProfile(
        rgb=_root_mean_square(levels[3:]),
        luma=levels[0],
        chroma=_root_mean_square(levels[1:3]),
        correlation=_neighbour_correlation(spectra[0]),
        slope=_slope(luma[flat]),
    )


def _root_mean_square(values: list[float]) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def white_level(plane: NDArray[np.float32]) -> float:
    """Standard deviation of white noise by principal components.

    Args:
        plane: float32 (H, W).
    """
    patches = sliding_window_view(plane, (BLOCK_PX, BLOCK_PX))[::_STRIDE_PX, ::_STRIDE_PX].reshape(-1, BLOCK_PX**2)
    if len(patches) > _MOST_PATCHES:
        patches = patches[np.linspace(0, len(patches) - 1, _MOST_PATCHES).astype(int)]
    values = np.clip(np.linalg.eigvalsh(np.cov(patches.T.astype(np.float64)))[::-1], 0, None)
    for start in range(len(values)):
        rest = values[start:]
        middle = rest.mean()
        if np.count_nonzero(rest > middle) >= np.count_nonzero(rest < middle):
            return float(np.sqrt(middle))
    return float(np.sqrt(values[-1]))


def _flattest(blocks: NDArray[np.float32]) -> NDArray[np.intp]:
    """The blocks with least structure: by the coarse differences, which noise moves little."""
    quarters = blocks.reshape(-1, 2, 4, 2, 4).mean(axis=(2, 4)).reshape(-1, 4)
    clipped = (blocks.min(axis=(1, 2)) <= 1) | (blocks.max(axis=(1, 2)) >= 254)
    spread = np.where(clipped, np.inf, quarters.std(axis=1))
    count = min(int(np.isfinite(spread).sum()), max(_FEWEST_BLOCKS, int(_FLAT_SHARE * len(blocks))))
    return np.argsort(spread, kind="stable")[:count]


def _spectrum(blocks: NDArray[np.float32]) -> NDArray[np.float64]:
    """float64 (8, 8): power by frequency, the median over blocks; the mean and the lowest waves as their neighbours."""
    power = np.median(dct(blocks).astype(np.float64) ** 2, axis=0) / 0.4549  # the median of chi-square with one degree
    power[0, 1] = power[1, 0] = power[0, 0] = (power[0, 2] + power[2, 0] + power[1, 1]) / 3
    return np.asarray(power)


def _neighbour_correlation(spectrum: NDArray[np.float64]) -> float:
    wave = np.cos(np.pi * np.arange(BLOCK_PX) / BLOCK_PX)
    total = max(float(spectrum.sum()), 1e-9)
    return float(((spectrum.sum(axis=0) + spectrum.sum(axis=1)) @ wave) / (2 * total))


def _level(plane: NDArray[np.float32], spectrum: NDArray[np.float64]) -> float:
    if abs(_neighbour_correlation(spectrum)) <= _WHITE:
        return white_level(plane)
    return float(np.sqrt(spectrum.mean()))


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
