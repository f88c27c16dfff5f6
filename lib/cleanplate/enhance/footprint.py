"""The footprint of JPEG: noise that, once the file's own tables have quantised it, is that of the blocks around.

What an encoder does to noise decides what is left of it: a wave weaker than half its step goes, a stronger one becomes
a whole step, and which ones stand together is no longer chance. So a filled block is given the quantised waves of a
calm block nearby, mirrored at random, where it has none of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import idctn

from cleanplate.codec import jpeg_markers
from cleanplate.enhance import givers
from cleanplate.enhance.blocks import BLOCK_PX, TO_YCC, dct, to_ycc
from cleanplate.errors import CleanplateError
from cleanplate.image import Image
from cleanplate.records import Box
from cleanplate.ring import ring

_SLOW = 3  # waves of lower order, across and down, are slow
_NEAR_PX = 40
_CALM = 50  # percentile of structure up to which a block counts
_FEWEST_BLOCKS = 8
_MIRRORED = np.where(np.arange(BLOCK_PX) % 2 == 1, -1.0, 1.0)
_CHOICE = 20  # calm blocks that one is drawn from
_AS_FAR = 24.0  # grey levels that count as one block of distance
_LEAST_SHARE, _MOST_BOOST = 0.2, 1.35  # of a block that is filled in part: what is lacking must fit into that part


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

    @property
    def step(self) -> float:
        """Mean step of the luma's slow waves, grey levels: what is left of an edge's ringing is a few of them."""
        return float(self.luma[:_SLOW, :_SLOW].mean())


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
        made = _waves(blocks, share.mean(axis=(1, 2)), grid.calm(blocks, outside), grid.places(), table, rng)
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
        return np.asarray(whole & (energy <= givers.texture_from(energy[whole])))

    def places(self) -> NDArray[np.float32]:
        """Row and column of each of the N blocks, float32 (N, 2)."""
        return np.argwhere(np.ones(self._count[::-1], bool)).astype(np.float32)

    def _part(self, plane: NDArray[np.float32]) -> NDArray[np.float32]:
        (left, top), (wide, high), (across, down) = self._start, self._count, self._cell
        return plane[top : top + high * BLOCK_PX * down, left : left + wide * BLOCK_PX * across]


def _waves(
    blocks: NDArray[np.float32],
    share: NDArray[np.float32],
    calm: NDArray[np.bool_],
    places: NDArray[np.float32],
    table: NDArray[np.int64],
    rng: np.random.Generator,
) -> NDArray[np.float32] | None:
    """Noise (N, 8, 8) for the blocks of which a share is filled: the waves of calm blocks, where they have none."""
    waves = dct(blocks).astype(np.float64)
    if calm.sum() < _FEWEST_BLOCKS or not (share > 0).any():
        return None
    filled = share > 0
    steps = np.rint(waves / table)
    seen = np.column_stack([places, blocks.mean(axis=(1, 2)) / _AS_FAR])
    given = steps[calm][givers.drawn(seen[calm], seen[filled], _CHOICE, rng)]
    signs = np.where(rng.random((2, len(given), 1)) < 0.5, _MIRRORED, 1.0)  # a mirrored block has odd waves turned
    given = given * signs[0][:, :, None] * signs[1][:, None, :]
    # What lies below half a step is lost in the file, so it gives way to the wave that is to stand there.
    lacking = np.where((steps[filled] == 0) & (given != 0), given * table - waves[filled], 0)
    lacking[:, 0, 0] = 0
    boost = np.minimum(1 / np.maximum(share[filled], _LEAST_SHARE), _MOST_BOOST)[:, None, None]
    noise = np.zeros(blocks.shape, np.float32)
    noise[filled] = idctn(lacking * boost, axes=(1, 2), norm="ortho")
    return noise
