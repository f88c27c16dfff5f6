"""What boxes, points and brushes say of where an object is."""

import cv2
import numpy as np

from cleanplate.mask import hints
from cleanplate.records import Box


def test_a_box_holds_the_object_and_its_rim_less_likely():
    window = hints.window_of(Box(40, 30, 100, 90), 200, 150)
    assert window == Box(16, 6, 124, 114)
    hint = hints.hint_of_box(Box(40, 30, 100, 90), window)
    assert hint.box == Box(24, 24, 84, 84)
    assert hint.maybe.sum() == 3600
    assert hint.likely.sum() < 3600
    assert not hint.sure.any()
    assert not (hint.likely & ~hint.maybe).any()


def test_a_brush_is_sure_in_its_middle_and_may_be_too_small():
    brush = np.zeros((100, 120), np.uint8)
    cv2.circle(brush, (60, 50), 20, 1, -1)
    hint = hints.hint_of_brush(brush)
    assert hint.box == Box(40, 30, 81, 71)
    assert 0 < hint.sure.sum() < brush.sum() < hint.maybe.sum()
    assert np.array_equal(hint.likely, brush)


def test_a_point_stands_for_the_surface_around_it(scene):
    picture, inside, _ = scene()
    hint = hints.hint_of_point(picture, 150, 105)
    assert hint.box == Box(150, 105, 151, 106)
    assert hint.sure[105, 150]
    assert (hint.likely[inside] > 0).mean() > 0.9
    assert (hint.likely[~inside] > 0).mean() < 0.05
