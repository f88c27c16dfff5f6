"""Holes that no text leaves: of the size that was asked for, the same for the same seed."""

import cv2
import numpy as np
import pytest

from cleanplate.evaluation.holes import free_form, solid


@pytest.mark.parametrize("draw", [free_form, solid])
def test_the_same_seed_draws_the_same(draw):
    one, again, other = (draw(90, 120, np.random.default_rng(seed)) for seed in (4, 4, 5))
    assert one.shape == (90, 120)
    assert one.dtype == np.uint8
    assert set(np.unique(one)) == {0, 1}
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_solid_shapes_have_one_part_and_the_area_that_was_asked_for():
    for seed in range(30):
        mask = solid(200, 240, np.random.default_rng(seed), (0.05, 0.15))
        assert cv2.connectedComponents(mask)[0] == 2
        assert 0.03 < mask.mean() < 0.17
