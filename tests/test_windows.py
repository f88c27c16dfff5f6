"""Parts of a picture in windows, compared with plain indexing on a whole picture."""

import numpy as np
import pytest

from cleanplate.records import Box
from cleanplate.windows import mirrored, place, shrink, shrink_mask, tiles, trim, without_rim

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


def test_a_box_around_a_mask_is_the_tightest():
    mask = np.zeros((9, 12), bool)
    assert Box.around(mask) == Box(0, 0, 0, 0)
    mask[2, 9] = mask[6, 3] = True
    assert Box.around(mask) == Box(3, 2, 10, 7)
    assert mask[Box.around(mask).slices].sum() == 2


def test_a_box_moves_without_changing_its_size():
    assert Box(3, 2, 10, 7).moved(5, -1) == Box(8, 1, 15, 6)


def test_an_empty_mask_has_no_place():
    assert trim(np.zeros((3, 4), np.float32), Box(0, 0, 4, 3)) is None


@pytest.mark.parametrize("whole", [Box(0, 0, 700, 300), Box(13, 7, 140, 1000), Box(5, 5, 20, 9)])
def test_tiles_less_their_rims_cover_a_box_within_their_size(whole):
    parts = tiles(whole, 128, 64)
    seen = np.zeros((1000, 700), int)
    for tile in parts:
        assert tile.width <= 128
        assert tile.height <= 128
        seen[without_rim(tile, whole, 32).slices] += 1
    assert (seen[whole.slices] > 0).all()
    assert seen.sum() == seen[whole.slices].sum()
    assert len(set(parts)) == len(parts)


def test_a_part_is_mirrored_up_to_the_step():
    part = np.arange(5 * 7 * 2).reshape(5, 7, 2)
    padded = mirrored(part, 4)
    assert padded.shape == (8, 8, 2)
    assert np.array_equal(padded[:5, :7], part)
    assert np.array_equal(padded[5:, :7], part[:1:-1])


def test_a_mask_made_smaller_loses_nothing():
    mask = np.zeros((40, 60), np.uint8)
    mask[11, 7] = 1
    small = shrink_mask(mask, (6, 4))
    assert small.dtype == np.uint8
    assert np.argwhere(small).tolist() == [[1, 0]]


def test_shrink_keeps_proportions_and_never_enlarges():
    assert shrink(np.zeros((300, 600, 3), np.uint8), 200).shape == (100, 200, 3)
    assert shrink(np.zeros((3, 20_000, 3), np.uint8), 200).shape == (1, 200, 3)
    assert shrink(np.zeros((10, 20, 3), np.uint8), 200).shape == (10, 20, 3)
