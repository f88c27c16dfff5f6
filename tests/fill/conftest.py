"""Requests for the engines."""

import numpy as np
import pytest

from cleanplate.fill.base import FillRequest


@pytest.fixture
def request_of():
    """request_of(clean, hole, invalid=None) -> FillRequest with garbage in the hole."""

    def make(clean, hole, invalid=None):
        crop = clean.copy()
        bad = hole if invalid is None else hole | invalid
        crop[bad > 0] = (255, 0, 255)
        return FillRequest(crop, hole.astype(np.float32), hole, bad, seed=1)

    return make


@pytest.fixture
def hole():
    """A hole with thin and thick parts in 64 x 80."""
    hole = np.zeros((64, 80), np.uint8)
    hole[20:44, 30:36] = 1
    hole[30:40, 30:60] = 1
    return hole
