"""Bounds against tables, simulation and each other."""

import math

import numpy as np
import pytest
from scipy import stats

from cleanplate.rollout.intervals import (
    Moments,
    difference_of_means,
    difference_of_shares,
    mean_bounds,
    rise_bounds,
    share_bounds,
    wilson,
)


def test_the_bounds_of_a_share_are_those_of_clopper_and_pearson():
    for hits, images in [(0, 50), (3, 50), (6, 200), (50, 50)]:
        peer = stats.binomtest(hits, images).proportion_ci(0.90, method="exact")  # two bounds of 95 % each
        assert share_bounds(hits, images) == pytest.approx((peer.low, peer.high), abs=1e-9)
    assert share_bounds(0, 0) == (0.0, 1.0)


def test_a_finite_batch_narrows_them_and_a_whole_one_leaves_no_doubt():
    wide, narrow = share_bounds(5, 200), share_bounds(5, 200, 2000)
    assert wide[0] < 0.01 < narrow[0] <= 5 / 200 <= narrow[1] <= wide[1]
    assert share_bounds(7, 100, 100) == (0.07, 0.07)
    assert share_bounds(0, 50, 2000)[1] == pytest.approx(0.0575, abs=0.001)


@pytest.mark.parametrize("bad", [0, 20, 60, 400])
def test_each_bound_misses_the_truth_in_at_most_five_percent(bad):
    hits = np.arange(201)
    weights = stats.hypergeom.pmf(hits, 2000, bad, 200)
    bounds = [share_bounds(int(k), 200, 2000) if w > 1e-9 else (0.0, 1.0) for k, w in zip(hits, weights, strict=True)]
    truth = bad / 2000
    assert sum(w for (low, _), w in zip(bounds, weights, strict=True) if low > truth + 1e-12) <= 0.05
    assert sum(w for (_, high), w in zip(bounds, weights, strict=True) if high < truth - 1e-12) <= 0.05


def test_the_bounds_of_a_mean_are_students():
    values = [1.0, 2.0, 4.0, 8.0]
    found = Moments.of(values)
    reach = stats.t.ppf(0.95, 3) * np.std(values, ddof=1) / 2
    assert mean_bounds(found) == pytest.approx((3.75 - reach, 3.75 + reach))
    assert mean_bounds(found, population=4) == (3.75, 3.75)
    assert mean_bounds(Moments.of([5.0])) == (-math.inf, math.inf)
    assert mean_bounds(Moments.of([5.0]), population=1) == (5.0, 5.0)


def test_a_rise_is_found_where_there_is_one_and_seldom_where_there_is_none():
    rng = np.random.default_rng(4)

    def low_of(factor):
        one, other = rng.gamma(4, 0.05, 200), factor * rng.gamma(4, 0.05, 150)
        return rise_bounds(Moments.of(other), Moments.of(one))[1]

    assert np.mean([low_of(1.12) > 0.12 for _ in range(400)]) < 0.08
    assert np.mean([low_of(1.5) > 0.12 for _ in range(100)]) > 0.9
    assert math.isnan(rise_bounds(Moments.of([0.0, 0.0]), Moments.of([1.0, 2.0]))[0])


def test_differences_are_those_of_welch_and_newcombe():
    one, other = [1.0, 2.0, 3.0, 4.0], [4.0, 6.0, 8.0]
    peer = stats.ttest_ind(other, one, equal_var=False).confidence_interval(0.90)
    assert difference_of_means(Moments.of(one), Moments.of(other))[1:] == pytest.approx((peer.low, peer.high))
    # Newcombe 1998, table II, row (a): 56/70 and 48/80, 95 % two-sided.
    found = difference_of_shares((48, 80), (56, 70), sure=0.975)
    assert found == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)


@pytest.mark.parametrize(("successes", "trials"), [(0, 1), (1, 1), (3, 10), (8, 10), (50, 100), (999, 1000), (0, 40)])
def test_wilson_is_scipys(successes, trials):
    expected = stats.binomtest(successes, trials).proportion_ci(method="wilson")
    assert wilson(successes, trials) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_of_nothing_knows_nothing():
    assert wilson(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError, match="3 of 2"):
        wilson(3, 2)
