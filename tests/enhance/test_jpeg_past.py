"""Traces of JPEG in pixels: the quality, the grid, and none where there was no JPEG."""

import numpy as np
import pytest

from cleanplate.enhance.jpeg_past import JpegPast, find_past


@pytest.mark.parametrize("quality", [10, 25, 50, 75, 90, 95])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_the_quality_is_seen_in_the_pixels(photo, as_jpeg, quality, subsampling):
    past = find_past(as_jpeg(photo, quality, subsampling))
    assert past.quality == pytest.approx(quality, abs=3)
    assert past.offset == (0, 0)


def test_a_crop_shifts_the_grid(photo, as_jpeg):
    past = find_past(np.ascontiguousarray(as_jpeg(photo, 70)[5:, 2:]))
    assert past.offset == (6, 3)
    assert past.quality == pytest.approx(70, abs=3)


def test_what_was_no_jpeg_has_no_quality(photo):
    assert find_past(photo).quality is None
    noisy = photo + np.random.default_rng(0).normal(0, 8, photo.shape)
    assert find_past(np.clip(np.rint(noisy), 0, 255).astype(np.uint8)).quality is None
    assert find_past(np.full((64, 64, 3), 90, np.uint8)).quality is None
    assert find_past(np.zeros((5, 7, 3), np.uint8)).quality is None


def test_a_coarser_compression_before_the_last_is_seen(photo, as_jpeg):
    first = as_jpeg(photo, 40)
    assert find_past(as_jpeg(photo, 85)).double_compressed is False
    same = find_past(as_jpeg(first, 85))
    assert same.first_quality == pytest.approx(40, abs=3)
    shifted = find_past(as_jpeg(np.ascontiguousarray(first[3:, 2:]), 88))
    assert shifted.quality == pytest.approx(88, abs=3)
    assert (shifted.first_offset, shifted.first_quality) == ((6, 5), pytest.approx(40, abs=5))


def test_a_much_coarser_one_is_seen_through_a_coarse_one(photo, as_jpeg):
    coarse = as_jpeg(np.ascontiguousarray(as_jpeg(photo, 15)[3:, 5:]), 50)
    found = find_past(coarse)
    assert (found.first_offset, found.first_quality) == ((3, 5), pytest.approx(15, abs=3))
    assert find_past(as_jpeg(photo, 50)).double_compressed is False


def test_what_the_file_says_is_believed(photo, as_jpeg):
    known = JpegPast(77.0, (0, 0))
    assert find_past(as_jpeg(photo, 60), known).quality == 77.0
