"""Whether pixels were once a JPEG, and of what quality: by the steps that their cosine transforms keep to.

A JPEG's coefficients are multiples of the steps of its table, and rounding to pixels moves them by a third of a grey
level only. So the grid is the one of 64 offsets at which most coefficients are (nearly) zero, and the quality is the
one whose standard table describes the coefficients in the fewest nats: number of the step and distance to it, against
what they cost without any steps (maximum likelihood, after Fan and de Queiroz, IEEE TIP 12(2), 2003).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cleanplate.enhance.blocks import BLOCK_PX, cut, dct, to_ycc
from cleanplate.enhance.jpeg_tables import QUALITIES, standard_tables

_ROUNDING = 0.40  # grey levels: deviation that rounding to luma samples and then to RGB leaves on a coefficient
_OUTLIERS = 0.02  # share of coefficients that keep to no step (saturated or edited blocks)
_MOST_BLOCKS = 1500
_GRID_BLOCKS = 700
_SMALLEST_PX = 32
_FEW_BLOCKS, _FEWEST_BLOCKS = 200, 24
_NEAR_ZERO = 0.9  # grey levels
_CONTRAST = 8.0  # deviations by which the right grid stands out of the 63 wrong ones
_GAIN = 0.01  # nats per coefficient that steps must save


@dataclass(frozen=True)
class JpegPast:
    """What the pixels say of the last JPEG they were.

    Attributes:
        quality: 1..100; None where they were none (or at a quality that leaves no trace).
        offset: column and row of the first whole block, each 0..7.
        gain: nats per coefficient that the steps of this quality save.
        double_compressed: whether there was another JPEG before.
    """

    quality: float | None
    offset: tuple[int, int] = (0, 0)
    gain: float = 0.0
    double_compressed: bool = False


def find_past(rgb: NDArray[np.uint8]) -> JpegPast:
    """Looks for the traces of JPEG.

    Args:
        rgb: uint8 (H, W, 3), RGB; not resized since it was a JPEG.
    """
    if min(rgb.shape[:2]) < _SMALLEST_PX:
        return JpegPast(None)
    luma = to_ycc(rgb)[..., 0]
    saturated = ((rgb == 0) | (rgb == 255)).any(axis=2).astype(np.float32)
    contrast = _grid_contrast(luma)
    best = JpegPast(None)
    for row, column in _highest(contrast, 2):
        coefficients = _coefficients(luma, saturated, (column, row), _MOST_BLOCKS)
        if len(coefficients) < _FEWEST_BLOCKS:
            continue
        quality, gain = _most_likely(coefficients)
        if gain > best.gain:
            best = JpegPast(float(quality), (column, row), gain)
    peak = float(contrast[best.offset[1], best.offset[0]])
    if best.gain < _GAIN or peak < _CONTRAST:
        return JpegPast(None)
    return best


def _grid_contrast(luma: NDArray[np.float32]) -> NDArray[np.float64]:
    """float64 (8, 8), by row and column of the grid: zeros above the median of the grids, in robust deviations."""
    zeros = np.zeros((BLOCK_PX, BLOCK_PX))
    for row in range(BLOCK_PX):
        for column in range(BLOCK_PX):
            coefficients = dct(_thinned(cut(luma, (column, row)), _GRID_BLOCKS))
            zeros[row, column] = (np.abs(coefficients) < _NEAR_ZERO).mean()
    middle = np.median(zeros)
    return np.asarray((zeros - middle) / (1.4826 * np.median(np.abs(zeros - middle)) + 1e-4))


def _highest(contrast: NDArray[np.float64], count: int) -> list[tuple[int, int]]:
    places = np.argsort(contrast, axis=None)[::-1][:count]
    return [(int(place) // BLOCK_PX, int(place) % BLOCK_PX) for place in places]


def _coefficients(
    luma: NDArray[np.float32], saturated: NDArray[np.float32], offset: tuple[int, int], most: int
) -> NDArray[np.float32]:
    """float32 (N, 8, 8): transforms of blocks that are not flat and in which no sample was clipped, or few were."""
    blocks, clipped = cut(luma, offset), cut(saturated, offset).mean(axis=(1, 2))
    busy = np.ptp(blocks, axis=(1, 2)) > 1
    whole = busy & (clipped == 0)
    if whole.sum() < _FEW_BLOCKS:
        whole = busy & (clipped <= np.sort(clipped[busy])[:_FEW_BLOCKS].max(initial=0.0))
    return dct(_thinned(blocks[whole], most) - 128.0)


def _thinned(blocks: NDArray[np.float32], most: int) -> NDArray[np.float32]:
    if len(blocks) <= most:
        return blocks
    return blocks[np.linspace(0, len(blocks) - 1, most).astype(int)]


def _most_likely(coefficients: NDArray[np.float32]) -> tuple[int, float]:
    """The quality, and the nats per coefficient by which its table beats none."""
    tables = standard_tables()[:, 0]
    totals = np.zeros(len(QUALITIES))
    for row in range(BLOCK_PX):
        for column in range(BLOCK_PX):
            if row == column == 0:
                continue
            values = coefficients[:, row, column]
            steps, place = np.unique(tables[:, row, column], return_inverse=True)
            found = np.array([_log_likelihood(values, int(step)) for step in steps])
            totals += found[place] - _smooth_log_likelihood(values)
    best = int(np.argmax(totals))
    return QUALITIES[best], float(totals[best]) / (63 * len(coefficients))


def _log_likelihood(values: NDArray[np.float32], step: int) -> float:
    """Of multiples of a step, their numbers two-sided geometric beside a free share of zeros, plus rounding."""
    number = np.rint(values / step)
    rest = values - number * step
    near = (1 - _OUTLIERS) * np.exp(-0.5 * (rest / _ROUNDING) ** 2) / (_ROUNDING * np.sqrt(2 * np.pi))
    return float(np.log(near + _OUTLIERS / step).sum()) + _levels_log_likelihood(np.abs(number))


def _levels_log_likelihood(size: NDArray[np.float32]) -> float:
    count, total = len(size), float(size.sum())
    busy = float(np.count_nonzero(size))
    zero = count - busy
    value = 0.0
    if zero:
        value += zero * np.log(zero / count)
    if busy:
        value += busy * np.log(busy / count / 2)
        ratio = busy / total
        value += busy * np.log(ratio)
        if total > busy:
            value += (total - busy) * np.log(1 - ratio)
    return float(value)


def _smooth_log_likelihood(values: NDArray[np.float32]) -> float:
    """Of a Laplacian density that knows no steps."""
    scale = max(float(np.abs(values).mean()), _ROUNDING / np.sqrt(2))
    return float(-len(values) * np.log(2 * scale) - np.abs(values).sum() / scale)
