"""Windows cover the picture, keep sane proportions, and have network sizes."""

import itertools

import numpy as np
import pytest

from cleanplate.detect.windows import cut


@pytest.mark.parametrize("shape", [(1, 1), (480, 640), (100, 400), (100, 401), (60, 5000), (5000, 60), (3000, 3000)])
def test_windows_cover_every_pixel_within_bounds(shape):
    covered = np.zeros(shape, bool)
    for window in cut(*shape, 960, 32):
        box = window.box
        assert box == box.clip(shape[1], shape[0])
        assert max(box.width, box.height) <= max(4 * min(box.width, box.height), 32)
        assert all(side % 32 == 0 and 32 <= side <= 960 for side in window.network_shape)
        covered[box.slices] = True
    assert covered.all()


def test_small_pictures_are_not_enlarged_without_end():
    assert cut(64, 64, 960, 32)[0].network_shape == (96, 96)
    assert cut(2000, 1000, 960, 32)[0].network_shape == (960, 480)


def test_windows_of_a_strip_overlap():
    boxes = [window.box for window in cut(100, 1000, 960, 32)]
    assert all(second.left < first.right for first, second in itertools.pairwise(boxes))
