"""Medians and quantiles against numpy's own."""

import numpy as np
import pytest

from cleanplate.detect.medians import median, quantile


@pytest.mark.parametrize("count", [1, 2, 3, 4, 57, 100, 1000, 1022])
@pytest.mark.parametrize("rest", [(), (3,)])
def test_medians_are_numpys(count, rest):
    values = np.random.default_rng(count).normal(size=(count, *rest)).astype(np.float32)
    found = median(values)
    assert found.dtype == np.float32
    assert np.allclose(found, np.median(values, axis=0), atol=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("count", [1, 2, 11, 64, 1000])
def test_quantiles_are_numpys(count, share):
    values = np.random.default_rng(count).normal(size=count).astype(np.float32)
    assert quantile(values, share) == pytest.approx(float(np.quantile(values, share)), abs=1e-6)
