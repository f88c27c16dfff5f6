"""Coverage of masks and the distribution of confidence, against counts by hand."""

import numpy as np
import pytest

from cleanplate.metrics.coverage import confidence_tenths, mask_coverage


def test_coverage_counts_soft_edges_by_their_share():
    alpha = np.zeros((10, 20), np.float32)
    alpha[2:6, 5:10] = 1
    alpha[6, 5:10] = 0.25
    assert mask_coverage(alpha) == pytest.approx((20 + 5 * 0.25) / 200)
    assert mask_coverage(np.zeros((0, 4), np.float32)) == 0.0


def test_tenths_are_those_of_the_cores_of_all_regions():
    one = np.array([[0.05, 0.95, 0.99]], np.float32), np.array([[1, 1, 0]], np.uint8)
    two = np.array([[1.0, 0.31]], np.float32), np.array([[1, 1]], np.uint8)
    assert confidence_tenths([one, two]) == [0.25, 0, 0, 0.25, 0, 0, 0, 0, 0, 0.5]


def test_nothing_covered_has_no_distribution():
    assert confidence_tenths([]) == [0.0] * 10
