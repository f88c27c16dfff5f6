"""How sure a sample can be: bounds of shares, means, rises and differences.

Every bound but Wilson's is one-sided: with `sure` = 0.95 the truth lies above the upper bound in at most 5 % of the
samples, and below the lower one in at most 5 %.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

SURE = 0.95
Z_95 = 1.959963984540054  # of a two-sided interval of 95 %


@dataclass(frozen=True)
class Moments:
    """Count, mean and variance (n - 1) of some values; enough to compare means later, without the values."""

    count: int
    mean: float
    variance: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Moments:
        """Of the values themselves; (0, nan, nan) of none.

        Example:
            >>> Moments.of([1.0, 3.0])
            Moments(count=2, mean=2.0, variance=2.0)
        """
        found = np.asarray(list(values), np.float64)
        if not len(found):
            return cls(0, math.nan, math.nan)
        return cls(len(found), float(found.mean()), float(found.var(ddof=1)) if len(found) > 1 else 0.0)

    def squared_error(self, population: int | None = None) -> float:
        """Squared standard error of the mean; 0 where the sample is the population."""
        left = 1.0 if population is None else max(0.0, 1 - self.count / max(1, population))
        return left * self.variance / self.count if self.count else math.inf


def share_bounds(
    hits: int, images: int, population: int | None = None, sure: float = SURE
) -> tuple[float, float]:
    """Bounds of a share by Clopper and Pearson (Biometrika 1934); exact, so rather too wide than too narrow.

    Of a finite population the hypergeometric distribution takes the binomial's place (Buonaccorsi, The American
    Statistician 1987): a tenth of a batch says more about that batch than about all batches.

    Args:
        hits: images that count.
        images: images that were looked at.
        population: images of the batch, None for any number.
        sure: of each bound.

    Returns:
        Lower and upper bound, 0..1; (0, 1) where nothing was looked at.

    Example:
        >>> [round(bound, 3) for bound in share_bounds(0, 50)]
        [0.0, 0.058]
    """
    if images == 0:
        return 0.0, 1.0
    if population is not None and population < 100 * images:
        return _finite_bounds(hits, images, max(population, images), 1 - sure)
    low = float(stats.beta.ppf(1 - sure, hits, images - hits + 1)) if hits else 0.0
    high = float(stats.beta.ppf(sure, hits + 1, images - hits)) if hits < images else 1.0
    return low, high


def _finite_bounds(hits: int, images: int, population: int, alpha: float) -> tuple[float, float]:
    least, most = hits, population - (images - hits)
    low = _first(least, most, lambda bad: bool(stats.hypergeom.sf(hits - 1, population, bad, images) > alpha))
    high = _first(least, most + 1, lambda bad: bool(stats.hypergeom.cdf(hits, population, bad, images) <= alpha)) - 1
    return low / population, max(high, hits) / population


def _first(start: int, stop: int, holds: Callable[[int], bool]) -> int:
    """The first number of start..stop from which `holds` stays true; `stop` where it never does."""
    while start < stop:
        middle = (start + stop) // 2
        start, stop = (start, middle) if holds(middle) else (middle + 1, stop)
    return start


def mean_bounds(found: Moments, population: int | None = None, sure: float = SURE) -> tuple[float, float]:
    """Bounds of a mean by Student's t; for skewed values an approximation that gets better with their number."""
    if found.count < 2:
        exact = population is not None and found.count == population
        return (found.mean, found.mean) if exact else (-math.inf, math.inf)
    reach = float(stats.t.ppf(sure, found.count - 1)) * math.sqrt(found.squared_error(population))
    return found.mean - reach, found.mean + reach


def rise_bounds(
    now: Moments, before: Moments, population: int | None = None, sure: float = SURE
) -> tuple[float, float, float]:
    """How much a mean rose over an earlier one, as a share: the ratio of two means (delta method, on logarithms).

    Args:
        now: of this run's sample.
        before: of the earlier run.
        population: images of this run's batch.
        sure: of each bound.

    Returns:
        Rise, lower and upper bound; 0.12 = 12 % more. (nan, -1, inf) where a mean is not above 0 or too few values are
        there to tell.
    """
    if min(now.count, before.count) < 2 or not (now.mean > 0 and before.mean > 0):
        return math.nan, -1.0, math.inf
    sizes = ((now, population), (before, None))
    parts = [(item.squared_error(size) / item.mean**2, item.count) for item, size in sizes]
    reach = float(stats.t.ppf(sure, _degrees(parts))) * math.sqrt(sum(part for part, _ in parts))
    rise = math.log(now.mean / before.mean)
    return math.expm1(rise), math.expm1(rise - reach), math.expm1(rise + reach)


def difference_of_means(one: Moments, other: Moments, sure: float = SURE) -> tuple[float, float, float]:
    """`other` minus `one` with its bounds (Welch, Biometrika 1947); bounds are infinite below two values each."""
    if min(one.count, other.count) < 2:
        return other.mean - one.mean, -math.inf, math.inf
    parts = [(item.squared_error(), item.count) for item in (one, other)]
    reach = float(stats.t.ppf(sure, _degrees(parts))) * math.sqrt(sum(part for part, _ in parts))
    return other.mean - one.mean, other.mean - one.mean - reach, other.mean - one.mean + reach


def difference_of_shares(
    one: tuple[int, int], other: tuple[int, int], sure: float = SURE
) -> tuple[float, float, float]:
    """`other` minus `one`, each (hits, images), with its bounds (Newcombe, Statistics in Medicine 1998, method 10)."""
    if not one[1] or not other[1]:
        return math.nan, -1.0, 1.0
    z = float(stats.norm.ppf(sure))
    (low, high), (other_low, other_high) = wilson(*one, z), wilson(*other, z)
    first, second = one[0] / one[1], other[0] / other[1]
    difference = second - first
    return (
        difference,
        difference - math.hypot(second - other_low, high - first),
        difference + math.hypot(other_high - second, first - low),
    )


def wilson(hits: int, trials: int, z: float = Z_95) -> tuple[float, float]:
    """Score interval of a share (Wilson, Journal of the American Statistical Association 1927), two-sided.

    Args:
        hits: 0 <= hits <= trials.
        trials: how many; of none the interval is 0 to 1.
        z: quantile of the normal distribution; 1.96 for 95 %.

    Raises:
        ValueError: hits lie outside 0..trials.

    Example:
        >>> [round(end, 4) for end in wilson(8, 10)]
        [0.4902, 0.9433]
    """
    if not 0 <= hits <= trials:
        raise ValueError(f"{hits} of {trials} is no share")
    if trials == 0:
        return 0.0, 1.0
    share, square = hits / trials, z * z
    centre = (share + square / (2 * trials)) / (1 + square / trials)
    reach = z / (1 + square / trials) * math.sqrt(share * (1 - share) / trials + square / (4 * trials * trials))
    return max(0.0, centre - reach), min(1.0, centre + reach)


def _degrees(parts: Sequence[tuple[float, int]]) -> float:
    """Degrees of freedom by Welch and Satterthwaite."""
    below = sum(part * part / (count - 1) for part, count in parts)
    return max(1.0, sum(part for part, _ in parts) ** 2 / below) if below > 0 else 1e9
