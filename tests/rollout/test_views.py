"""What a reviewer is shown of an image."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from cleanplate.rollout.views import Cache, draw_view, shown_plane, to_grey_png, to_webp, union_plane
from cleanplate.spark.wide import encode_plane

GREY = np.full((20, 30, 3), 100, np.uint8)


def region(decision, left, value=1.0):
    plane = encode_plane(np.full((4, 5), value, np.float32))
    box = {"left": left, "top": 2, "right": left + 5, "bottom": 6}
    return box | {"decision": decision, "alpha_png": plane, "confidence_png": plane}


def test_planes_are_joined_by_their_largest_value():
    regions = [region("filled", 3, 0.2), region("review", 5, 0.8), region("gated", 20), region("kept", 25)]
    plane = union_plane(regions, 20, 30, "alpha_png")
    np.testing.assert_allclose(plane[3, [2, 3, 5, 9, 10, 20, 25]], [0, 0.2, 0.8, 0.8, 0, 0, 0], atol=1 / 255)
    assert plane[:2].max() == plane[6:].max() == 0


def test_where_nothing_was_touched_the_gated_marks_are_shown():
    assert shown_plane([region("gated", 20)], 20, 30, "alpha_png").sum() == 20
    assert shown_plane([region("gated", 20), region("filled", 3)], 20, 30, "alpha_png")[3, 20] == 0


@pytest.mark.parametrize("scale", [1, 2])
def test_the_difference_of_an_enlarged_result_is_drawn_too(scale):
    after = GREY.copy()
    after[4:8, 10:20] = 150
    after = cv2.resize(after, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
    found = draw_view("diff", GREY, after, ())
    assert found.shape == GREY.shape
    assert found[4:8, 10:20].min() == 200
    assert found.sum() == 200 * 3 * 40
    assert draw_view("after", GREY, after, ()) is after


def test_without_a_result_the_original_is_shown_and_nothing_differs():
    assert draw_view("after", GREY, None, ()) is GREY
    assert draw_view("diff", GREY, None, ()).max() == 0


def test_large_pictures_are_scaled_down_for_the_browser():
    picture = cv2.imdecode(np.frombuffer(to_webp(np.zeros((300, 100, 3), np.uint8), 60), np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (60, 20, 3)
    plane = np.linspace(0, 1, 256, dtype=np.float32).reshape(1, -1)
    back = cv2.imdecode(np.frombuffer(to_grey_png(plane), np.uint8), cv2.IMREAD_GRAYSCALE)
    np.testing.assert_array_equal(back[0], np.arange(256))


def test_the_cache_forgets_what_was_asked_for_longest_ago():
    cache, made = Cache(2), []

    def get(name):
        return cache.get((name,), lambda: made.append(name) or name.encode())

    assert [get(name) for name in "abacab"] == [b"a", b"b", b"a", b"c", b"a", b"b"]
    assert made == ["a", "b", "c", "b"]
