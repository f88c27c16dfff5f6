"""Grouping of strokes: letters make a line, distant things stay apart, faint and tiny ones go."""

import cv2
import numpy as np

from cleanplate.detect.components import group_strokes


def _map(height=120, width=300):
    return np.zeros((height, width), np.float32)


def test_letters_of_a_line_are_one_group_and_lines_apart_are_two():
    drawn = np.zeros((120, 300), np.uint8)
    for number in range(6):
        cv2.putText(drawn, "AHMEWX"[number], (20 + 24 * number, 40), cv2.FONT_HERSHEY_SIMPLEX, 1.0, 230, 2)
    cv2.putText(drawn, "W", (40, 110), cv2.FONT_HERSHEY_SIMPLEX, 1.0, 230, 2)
    confidence = (drawn / 255).astype(np.float32)
    groups = group_strokes(confidence, 0.4, 3)
    assert len(groups) == 2
    assert groups[0].box.bottom < groups[1].box.top
    assert groups[0].box.width > 120
    assert 18 <= groups[0].height_px <= 28


def test_reach_follows_the_size_of_the_strokes():
    """The same gap separates small dots, and joins large letters."""
    small, large = _map(), _map()
    for left in (50, 62):
        small[50:54, left : left + 4] = 0.9
        large[20:80, left - 40 * (left == 50) : left + 40] = 0.9
    large[:, 52:60] = 0
    assert len(group_strokes(small, 0.4, 3)) == 2
    assert len(group_strokes(large, 0.4, 3)) == 1


def test_keeps_the_soft_rim_and_nothing_of_the_neighbours():
    confidence = _map()
    confidence[40:60, 40:60] = 0.9
    confidence[39, 40:60] = 0.2
    confidence[100:110, 200:290] = 0.8
    group = group_strokes(confidence, 0.4, 3)[0]
    inside = group.confidence
    assert inside.shape == (group.box.height, group.box.width)
    assert np.isclose(inside, 0.2).sum() == 20
    assert not np.isclose(inside, 0.8).any()
    assert np.isclose(group.score, 0.9)


def test_the_score_leaves_the_rim_out():
    confidence = _map()
    confidence[40:60, 40:60] = 0.9
    confidence[36:40, 36:64] = 0.39
    assert np.isclose(group_strokes(confidence, 0.4, 3)[0].score, 0.9)


def test_specks_and_empty_maps_give_nothing():
    confidence = _map()
    confidence[10:12, 10:12] = 0.9
    assert group_strokes(confidence, 0.4, 3) == []
    assert group_strokes(_map(), 0.4, 3) == []


def test_does_not_change_the_map():
    confidence = _map()
    confidence[40:60, 40:60] = 0.9
    before = confidence.copy()
    group_strokes(confidence, 0.4, 3)
    assert np.array_equal(confidence, before)
