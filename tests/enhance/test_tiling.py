"""Tiles: the same picture as at once, and phases that strides keep."""

import cv2
import numpy as np
import pytest

from cleanplate.enhance.tiling import tiled
from cleanplate.records import Box


@pytest.fixture
def picture():
    return np.random.default_rng(3).integers(0, 256, (61, 83, 3), np.uint8)


def _blur(tile, box):
    return cv2.blur(tile, (9, 9), borderType=cv2.BORDER_REFLECT_101)


def test_a_halo_of_the_receptive_radius_leaves_no_seam(picture):
    whole = _blur(picture, Box(0, 0, 83, 61))
    np.testing.assert_array_equal(tiled(picture, _blur, 24, 4), whole)
    assert (tiled(picture, _blur, 24, 1) != whole).any(), "a halo that is too small must show"


def test_the_result_of_an_upscaler_lies_where_it_belongs(picture):
    def double(tile, box):
        return tile.repeat(2, axis=0).repeat(2, axis=1)

    np.testing.assert_array_equal(tiled(picture, double, 20, 3, scale=2), double(picture, None))


def test_tiles_start_at_the_phase_that_is_asked_for(picture):
    starts = []

    def note(tile, box):
        starts.append((box.left, box.top))
        assert tile.shape[:2] == (box.height, box.width)
        return tile

    np.testing.assert_array_equal(tiled(picture, note, 24, 4, align_px=8), picture)
    assert all(left % 8 == top % 8 == 0 for left, top in starts)
    assert len(starts) > 9


def test_a_picture_smaller_than_a_tile_is_one_tile():
    tiny = np.full((1, 3, 3), 7, np.uint8)
    np.testing.assert_array_equal(tiled(tiny, lambda tile, box: tile, 64, 8), tiny)
