"""Parts of a picture in windows, compared with plain indexing on a whole picture."""

import numpy as np
import pytest

from cleanplate.records import Box
from cleanplate.windows import place, trim

WINDOWS = [Box(0, 0, 12, 9), Box(3, 2, 6, 5), Box(5, 4, 12, 9), Box(9, 7, 12, 9), Box(0, 0, 2, 1)]


@pytest.mark.parametrize("into", WINDOWS)
def test_a_part_is_moved_as_over_a_whole_picture(into):
    box = Box(2, 1, 8, 6)
    values = np.random.default_rng(1).random((box.height, box.width)).astype(np.float32)
    whole = np.zeros((9, 12), np.float32)
    whole[box.slices] = values
    moved = place(values, box, into)
    assert moved.dtype == np.float32
    assert np.array_equal(moved, whole[into.slices])


def test_a_mask_is_cut_to_where_it_is_set():
    alpha = np.zeros((9, 12), np.float32)
    alpha[2:5, 3:10] = 0.01
    cut, box = trim(alpha, Box(10, 20, 22, 29))
    assert box == Box(13, 22, 20, 25)
    assert cut.shape == (3, 7)
    assert (cut > 0).all()


def test_an_empty_mask_has_no_place():
    assert trim(np.zeros((3, 4), np.float32), Box(0, 0, 4, 3)) is None
