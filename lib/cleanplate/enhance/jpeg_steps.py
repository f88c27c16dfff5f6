"""How well steps of quantisation explain cosine coefficients: log-likelihoods, in nats.

The number of the step is two-sided geometric beside a free share of zeros; what is left beyond the multiple is normal,
with a few outliers. Against it stands a Laplacian density that knows no steps (after Fan and de Queiroz, IEEE TIP
12(2), 2003).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

ROUNDING = 0.40  # grey levels: deviation that rounding to luma samples and then to RGB leaves on a coefficient
_OUTLIERS = 0.02  # share of coefficients that keep to no step (saturated or edited blocks)


def stepped(values: NDArray[np.float32], step: int, sigma: float = ROUNDING) -> float:
    """Of multiples of a step.

    Args:
        values: float32 (N,), coefficients of one frequency.
        step: of the table.
        sigma: deviation of what disturbs the multiples.
    """
    number = np.rint(values / step)
    rest = values - number * step
    near = (1 - _OUTLIERS) * np.exp(-0.5 * (rest / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
    return float(np.log(near + _OUTLIERS / step).sum()) + numbers(np.abs(number))


def smooth(values: NDArray[np.float32], sigma: float = ROUNDING) -> float:
    """Of no steps at all; no denser than what disturbs the values lets it be."""
    scale = max(float(np.abs(values).mean()), sigma * np.sqrt(np.pi / 2))
    return float(-len(values) * np.log(2 * scale) - np.abs(values).sum() / scale)


def numbers(size: NDArray[np.float32]) -> float:
    """Of the steps' absolute numbers (N,), whole, by the geometric law that fits them best."""
    count, total = len(size), float(size.sum())
    busy = float(np.count_nonzero(size))
    value = 0.0
    if busy < count:
        value += (count - busy) * np.log((count - busy) / count)
    if busy:
        value += busy * (np.log(busy / count / 2) + np.log(busy / total))
    if total > busy > 0:
        value += (total - busy) * np.log(1 - busy / total)
    return float(value)


def stepped_twice(values: NDArray[np.float32], first: int, last: int) -> float:
    """Of multiples of a fine step that were multiples of a coarser one before, above multiples of the fine one alone.

    Args:
        values: float32 (N,), coefficients of one frequency.
        first: the coarser step.
        last: the finer step.
    """
    number = np.rint(values / last)
    before = np.rint(number * last / first)
    low, high = ((number + side) * last - before * first for side in (-0.5, 0.5))
    hit = ndtr(high / ROUNDING) - ndtr(low / ROUNDING)
    moved = float(np.log((1 - _OUTLIERS) * hit + _OUTLIERS * last / first).sum())
    return moved + numbers(np.abs(before)) - numbers(np.abs(number))
