"""Whether pixels were once a JPEG, of what quality, on which grid, and whether they were one before that.

A JPEG's coefficients are multiples of the steps of its table, and rounding to pixels moves them by a third of a grey
level only. So the grid is the one of 64 offsets at which most coefficients are (nearly) zero, and the quality is the
one whose standard table explains the coefficients best (`jpeg_steps`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from cleanplate.enhance import jpeg_steps
from cleanplate.enhance.blocks import BLOCK_PX, cut, dct, to_ycc
from cleanplate.enhance.jpeg_tables import QUALITIES, standard_tables

_SMALLEST_PX = 32
_FEW_BLOCKS, _FEWEST_BLOCKS = 200, 24
_MOST_BLOCKS, _GRID_BLOCKS, _ROUGH_BLOCKS = 1200, 700, 150
_NEAR = 8  # qualities that are looked at closely
_NEAR_ZERO = 0.9  # grey levels
_CONTRAST = 8.0  # deviations by which the right grid stands out of the 63 wrong ones
_GAIN = 0.01  # nats per coefficient that steps must save
_GRIDS = 2  # that are looked at closely
_WAVES = tuple((place // BLOCK_PX, place % BLOCK_PX) for place in range(1, BLOCK_PX**2))  # all but the mean
_ORDER = np.add.outer(np.arange(BLOCK_PX), np.arange(BLOCK_PX))

# The compression before the last.
_LEAST_FIRST, _MOST_FIRST = 5, 95  # quality
_LOW = ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0), (1, 2), (2, 1), (0, 3), (3, 0))  # frequencies that outlive a second one
_FEW = tuple((row, column) for row in range(5) for column in range(5) if 0 < row + column < 5)
_TWICE_GAIN = 0.04  # nats per coefficient that steps within steps must save
# What the second compression leaves of the first one's zeros: grey levels below which a coefficient of some waves
# counts as one, and the deviations by which a second grid has to stand out. A coarse second one leaves them only in the
# waves that it does not take for zero itself.
_LEFT = ((3.0, _ORDER >= 0, 6.0), (6.0, (_ORDER >= 2) & (_ORDER <= 6), 12.0))
_DISTURBED = (1.2, 2.0, 3.5, 6.0)  # grey levels by which it moves a coefficient

Offset = tuple[int, int]


@dataclass(frozen=True)
class JpegPast:
    """What the pixels say of the JPEGs they were.

    Attributes:
        quality: of the last one, 1..100; None where there was none (or at a quality that leaves no trace).
        offset: column and row of its first whole block, each 0..7.
        gain: nats per coefficient that its steps save.
        first_quality: of the one before, where it was coarser and still shows; else None.
        first_offset: its grid.
    """

    quality: float | None
    offset: Offset = (0, 0)
    gain: float = 0.0
    first_quality: float | None = None
    first_offset: Offset = (0, 0)

    @property
    def double_compressed(self) -> bool:
        """Whether there was another JPEG before the last."""
        return self.first_quality is not None


@dataclass(frozen=True)
class _Luma:
    """The luma (H, W), and 1 where a sample was clipped."""

    plane: NDArray[np.float32]
    clipped: NDArray[np.float32]


def find_past(rgb: NDArray[np.uint8], known: JpegPast | None = None) -> JpegPast:
    """Looks for the traces of JPEG.

    Args:
        rgb: uint8 (H, W, 3), RGB; not resized since it was a JPEG.
        known: what the file says of its last compression, if it is a JPEG itself.
    """
    if min(rgb.shape[:2]) < _SMALLEST_PX:
        return known or JpegPast(None)
    luma = _Luma(to_ycc(rgb)[..., 0], ((rgb == 0) | (rgb == 255)).any(axis=2).astype(np.float32))
    zeros, *left = _grid_contrasts(luma.plane)
    last = known or _last(luma, zeros)
    return last if last.quality is None else _with_first(luma, last, left)


def _grid_contrasts(plane: NDArray[np.float32]) -> NDArray[np.float64]:
    """float64 (1 + len(_LEFT), 8, 8), by row and column of the grid: zeros, and each kind of what is left of them.

    Above the median of the grids, in robust deviations.
    """
    shares = np.zeros((1 + len(_LEFT), BLOCK_PX, BLOCK_PX))
    for row in range(BLOCK_PX):
        for column in range(BLOCK_PX):
            size = np.abs(dct(_thinned(cut(plane, (column, row)), _GRID_BLOCKS)))
            left = [(size[:, waves] < limit).mean() for limit, waves, _ in _LEFT]
            shares[:, row, column] = (size < _NEAR_ZERO).mean(), *left
    above = shares - np.median(shares, axis=(1, 2), keepdims=True)
    return np.asarray(above / (1.4826 * np.median(np.abs(above), axis=(1, 2), keepdims=True) + 1e-4))


def _last(luma: _Luma, contrast: NDArray[np.float64]) -> JpegPast:
    best = JpegPast(None)
    for place in np.argsort(contrast, axis=None)[::-1][:_GRIDS]:
        row, column = divmod(int(place), BLOCK_PX)
        coefficients = _coefficients(luma, (column, row))
        if contrast[row, column] < _CONTRAST or len(coefficients) < _FEWEST_BLOCKS:
            continue
        quality, gain = _most_likely(coefficients)
        if gain > max(best.gain, _GAIN):
            best = JpegPast(quality, (column, row), gain)
    return best


def _most_likely(coefficients: NDArray[np.float32]) -> tuple[float, float]:
    """The quality, and the nats per coefficient by which its table beats none."""
    rough = _gains(_thinned(coefficients, _ROUGH_BLOCKS), _WAVES, jpeg_steps.stepped, jpeg_steps.smooth)
    near = np.argsort(rough)[::-1][:_NEAR]
    gains = np.full(len(QUALITIES), -np.inf)
    gains[near] = _gains(coefficients, _WAVES, jpeg_steps.stepped, jpeg_steps.smooth, near)
    return float(QUALITIES[int(np.argmax(gains))]), float(gains.max())


def _with_first(luma: _Luma, last: JpegPast, contrasts: Sequence[NDArray[np.float64]]) -> JpegPast:
    """Adds the compression before the last, on the same grid or on a shifted one."""
    same = _first_on_same_grid(_coefficients(luma, last.offset), round(last.quality or 0))
    if same is not None:
        return replace(last, first_quality=same, first_offset=last.offset)
    offset = _second_grid(contrasts, last.offset)
    coefficients = _coefficients(luma, offset or (0, 0))
    if offset is None or len(coefficients) < _FEWEST_BLOCKS:
        return last
    return replace(last, first_quality=_first_on_shifted_grid(coefficients), first_offset=offset)


def _first_on_same_grid(coefficients: NDArray[np.float32], last: int) -> float | None:
    """A coarser quality whose multiples the last one's still are (double quantisation), or None."""
    if len(coefficients) < _FEWEST_BLOCKS or last <= _LEAST_FIRST:
        return None
    lasting = standard_tables()[last - 1, 0]
    gains = np.zeros(len(QUALITIES))
    for wave in _LOW:
        gains += _gains(coefficients, (wave,), partial(jpeg_steps.stepped_twice, last=int(lasting[wave])))
    coarser = gains[_LEAST_FIRST - 1 : last - 1] / len(_LOW)
    best = int(np.argmax(coarser))
    return float(best + _LEAST_FIRST) if coarser[best] > _TWICE_GAIN else None


def _second_grid(contrasts: Sequence[NDArray[np.float64]], last: Offset) -> Offset | None:
    """Another grid with many small coefficients; the last one's peaks hide those in its row or column, or beside."""
    for contrast, (_, _, least) in zip(contrasts, _LEFT, strict=True):
        turned = np.roll(contrast, (-last[1], -last[0]), axis=(0, 1))
        rest = turned - np.median(turned, axis=1, keepdims=True)
        rest = (rest - np.median(rest, axis=0, keepdims=True))[1:, 1:]
        rest[np.ix_([0, -1], [0, -1])] = 0
        row, column = divmod(int(np.argmax(rest)), BLOCK_PX - 1)
        if rest[row, column] >= least * 1.4826 * np.median(np.abs(rest)) + 1e-9:
            return (column + 1 + last[0]) % BLOCK_PX, (row + 1 + last[1]) % BLOCK_PX
    return None


def _first_on_shifted_grid(coefficients: NDArray[np.float32]) -> float:
    """The quality whose steps show best through what the second compression disturbed, of unknown strength."""
    gains = [
        _gains(coefficients, _FEW, partial(jpeg_steps.stepped, sigma=sigma), partial(jpeg_steps.smooth, sigma=sigma))
        for sigma in _DISTURBED
    ]
    return float(QUALITIES[int(np.argmax(np.max(gains, axis=0)[:_MOST_FIRST]))])


def _gains(
    coefficients: NDArray[np.float32],
    waves: tuple[tuple[int, int], ...],
    stepped: Callable[[NDArray[np.float32], int], float],
    smooth: Callable[[NDArray[np.float32]], float] = lambda _: 0.0,
    among: NDArray[np.intp] | slice = slice(None),
) -> NDArray[np.float64]:
    """Nats per coefficient that the luma table of each quality (among some) saves, mean of the frequencies."""
    tables = standard_tables()[among, 0]
    totals = np.zeros(len(tables))
    for wave in waves:
        steps, place = np.unique(tables[:, wave[0], wave[1]], return_inverse=True)
        values = coefficients[:, wave[0], wave[1]]
        totals += np.array([stepped(values, int(step)) for step in steps])[place] - smooth(values)
    return totals / (len(waves) * max(len(coefficients), 1))


def _coefficients(luma: _Luma, offset: Offset) -> NDArray[np.float32]:
    """float32 (N, 8, 8): transforms of blocks that are not flat and in which no sample was clipped, or few were."""
    blocks, clipped = cut(luma.plane, offset), cut(luma.clipped, offset).mean(axis=(1, 2))
    busy = np.ptp(blocks, axis=(1, 2)) > 1
    whole = busy & (clipped == 0)
    if whole.sum() < _FEW_BLOCKS:
        whole = busy & (clipped <= np.sort(clipped[busy])[:_FEW_BLOCKS].max(initial=0.0))
    return dct(_thinned(blocks[whole], _MOST_BLOCKS) - 128.0)


def _thinned(blocks: NDArray[np.float32], most: int) -> NDArray[np.float32]:
    if len(blocks) <= most:
        return blocks
    return blocks[np.linspace(0, len(blocks) - 1, most).astype(int)]
