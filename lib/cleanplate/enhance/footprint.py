"""The footprint of JPEG: noise that, once the file's own tables have quantised it, has the power of the blocks around.

What an encoder does to noise decides what is left of it: a wave weaker than half its step goes, a stronger one becomes
a whole step. So the deviation of each wave is the one of which rounding leaves as much as the surroundings have.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.fft import idctn
from scipy.special import ndtr

from cleanplate.codec import jpeg_markers
from cleanplate.enhance.blocks import BLOCK_PX, TO_YCC, dct, to_ycc
from cleanplate.errors import CleanplateError
from cleanplate.image import Image
from cleanplate.records import Box
from cleanplate.ring import ring

_NEAR_PX = 40
_CALM = 50  # percentile of structure up to which a block counts
_TEXTURE, _USUAL = 4.0, 85  # times the median energy, or percentile, beyond which a block has texture, not noise
_FEWEST_BLOCKS = 8
_LEAST_POWER = 2e-3  # of a step's square: rarer than that, a step is no noise
_LEAST_SHARE, _MOST_BOOST = 0.2, 3.0  # of a block that is filled in part: what is lacking must fit into that part


@dataclass(frozen=True)
class Footprint:
    """How a JPEG file quantises a part of its picture.

    Attributes:
        luma: int64 (8, 8), steps of the luma's waves.
        chroma: int64 (8, 8), of the chroma's; None for a grey file.
        subsampling: columns and rows of pixels to a chroma sample.
        origin: column and row of the part's first pixel in the picture.
    """

    luma: NDArray[np.int64]
    chroma: NDArray[np.int64] | None
    subsampling: tuple[int, int]
    origin: tuple[int, int]


def footprint_of(image: Image, box: Box) -> Footprint | None:
    """The footprint of a part of an image; None where it is no JPEG, or one that is stored turned.

    Args:
        image: as decoded.
        box: the part, upright.
    """
    if image.carried.format != "JPEG" or image.carried.orientation != 1:
        return None
    try:
        segments = jpeg_markers.split_header(image.data)
        tables, frame = jpeg_markers.read_tables(segments), jpeg_markers.read_frame(segments)
    except CleanplateError:
        return None
    components = frame.components
    used = [tables.get(component.table) for component in components]
    if any(table is None for table in used):
        return None
    luma, *chroma = [np.array(table, np.int64).reshape(BLOCK_PX, BLOCK_PX) for table in used]
    across = max(c.horizontal for c in components) // components[-1].horizontal
    down = max(c.vertical for c in components) // components[-1].vertical
    return Footprint(luma, chroma[0] if chroma else None, (across, down), (box.left, box.top))


def quantised_noise(
    crop: NDArray[np.uint8],
    alpha: NDArray[np.float32],
    invalid: NDArray[np.uint8],
    footprint: Footprint,
    rng: np.random.Generator,
) -> NDArray[np.float32] | None:
    """Noise for the filled blocks, by the waves of the calm blocks around.

    Args:
        crop: uint8 (H, W, 3), RGB, filled.
        alpha: float32 (H, W), 0..1: where it was filled.
        invalid: uint8 (H, W), 1 on what may not be measured.
        footprint: of the crop.
        rng: source of chance.

    Returns:
        float32 (H, W, 3), RGB, grey levels, 0 in blocks without a filled pixel; None where too few blocks are near.
    """
    ycc = to_ycc(crop) - np.array([128, 0, 0], np.float32)
    free = ring(alpha, invalid, _NEAR_PX).astype(np.float32)
    noise = np.zeros_like(ycc)
    for channel, table in enumerate((footprint.luma, footprint.chroma, footprint.chroma)):
        if table is None:
            continue
        cell = footprint.subsampling if channel else (1, 1)
        grid = _Grid((crop.shape[0], crop.shape[1]), cell, footprint.origin)
        blocks, share, outside = (grid.cut(plane) for plane in (ycc[..., channel], alpha, free))
        made = _waves(blocks, share.mean(axis=(1, 2)), grid.calm(blocks, outside), table, rng)
        if made is None and channel == 0:
            return None
        if made is not None:
            grid.put(made, noise[..., channel])
    return np.asarray(noise @ np.linalg.inv(TO_YCC).T, dtype=np.float32)


class _Grid:
    """The whole blocks of one component in a part of a picture."""

    def __init__(self, shape: tuple[int, int], cell: tuple[int, int], origin: tuple[int, int]) -> None:
        self._cell = cell
        self._start = tuple(-first % (BLOCK_PX * side) for first, side in zip(origin, cell, strict=True))
        self._count = tuple(
            max(0, size - start) // (BLOCK_PX * side)
            for size, start, side in zip(shape[::-1], self._start, cell, strict=True)
        )

    def cut(self, plane: NDArray[np.float32]) -> NDArray[np.float32]:
        """(H, W) to (N, 8, 8), the mean of the pixels of each sample."""
        (wide, high), (across, down) = self._count, self._cell
        means = self._part(plane).reshape(high, BLOCK_PX, down, wide, BLOCK_PX, across).mean(axis=(2, 5))
        return np.asarray(means.swapaxes(1, 2).reshape(-1, BLOCK_PX, BLOCK_PX))

    def put(self, blocks: NDArray[np.float32], plane: NDArray[np.float32]) -> None:
        """Writes blocks back, every pixel of a sample alike."""
        (wide, high), (across, down) = self._count, self._cell
        joined = blocks.reshape(high, wide, BLOCK_PX, BLOCK_PX).swapaxes(1, 2).reshape(high * BLOCK_PX, wide * BLOCK_PX)
        self._part(plane)[...] = joined.repeat(down, axis=0).repeat(across, axis=1)

    def calm(self, blocks: NDArray[np.float32], outside: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Those of N blocks that lie outside, whose mean changes little to the next ones, and that are no texture."""
        whole = outside.min(axis=(1, 2), initial=1.0) > 0
        if whole.sum() < _FEWEST_BLOCKS or min(self._count) < 2:
            return whole
        down, across = np.gradient(blocks.mean(axis=(1, 2)).reshape(self._count[::-1]))
        slope = np.hypot(down, across).ravel()
        whole &= slope <= np.percentile(slope[whole], _CALM)
        energy = blocks.var(axis=(1, 2))
        limit = max(_TEXTURE * float(np.median(energy[whole])), float(np.percentile(energy[whole], _USUAL)))
        return np.asarray(whole & (energy <= limit))

    def _part(self, plane: NDArray[np.float32]) -> NDArray[np.float32]:
        (left, top), (wide, high), (across, down) = self._start, self._count, self._cell
        return plane[top : top + high * BLOCK_PX * down, left : left + wide * BLOCK_PX * across]


def _waves(
    blocks: NDArray[np.float32],
    share: NDArray[np.float32],
    calm: NDArray[np.bool_],
    table: NDArray[np.int64],
    rng: np.random.Generator,
) -> NDArray[np.float32] | None:
    """Noise (N, 8, 8) for the blocks of which a share is filled, whose steps are as frequent as in the calm blocks."""
    waves = dct(blocks).astype(np.float64)
    filled = share > min(0.5, float(share.max(initial=0.0)) / 2)
    if calm.sum() < _FEWEST_BLOCKS or not filled.any():
        return None
    power = (np.rint(waves[calm] / table) ** 2).mean(axis=0)
    wanted, around = (table * _deviation_before(power)) ** 2, power * table**2
    inside = (waves[filled] ** 2).mean(axis=0)
    part = np.maximum(share, _LEAST_SHARE)[:, None, None].astype(np.float64)
    # What is not filled of a block brings its own waves.
    lacking = np.clip((wanted - (1 - part) * around - part * inside) / part, 0, _MOST_BOOST * wanted)
    lacking[:, 0, 0] = 0
    noise = idctn(rng.standard_normal(blocks.shape) * np.sqrt(lacking), axes=(1, 2), norm="ortho")
    return np.asarray(np.where(share[:, None, None] > 0, noise, 0), dtype=np.float32)


def _deviation_before(power: NDArray[np.float64]) -> NDArray[np.float64]:
    """Deviation, in steps, of normal values whose rounding to whole steps has a power (in squared steps)."""
    deviation, rounded = _rounding_law()
    return np.where(power < _LEAST_POWER, 0.0, np.interp(power, rounded, deviation))


@cache
def _rounding_law() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Deviations in steps, and the mean square of what rounding makes of them: 2 sum (2k - 1) P(x > k - 1/2)."""
    deviation = np.geomspace(0.05, 60, 400)
    k = np.arange(1, 400)[:, None]
    return deviation, (2 * (2 * k - 1) * ndtr(-(k - 0.5) / deviation)).sum(axis=0)
