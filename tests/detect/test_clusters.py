"""Clusters: near and of one ink is one thing, far or of another ink is not."""

import cv2
import numpy as np
import pytest

from cleanplate.detect.clusters import cluster, gaps, ink_colour, joined
from cleanplate.detect.components import group_strokes

RED, BLUE = (200.0, 30.0, 30.0), (30.0, 30.0, 200.0)


def groups_of(*bars):
    confidence = np.zeros((200, 400), np.float32)
    for top, left, height, width in bars:
        confidence[top : top + height, left : left + width] = 0.8
    return group_strokes(confidence, 0.25, 3)


def test_ink_is_the_colour_of_the_surer_half():
    picture = np.full((40, 60, 3), 90, np.uint8)
    confidence = np.zeros((40, 60), np.float32)
    confidence[10:20, 10:40], picture[10:20, 10:40] = 0.9, RED
    confidence[20:24, 10:40], picture[20:24, 10:40] = 0.3, (145, 60, 60)
    (group,) = group_strokes(confidence, 0.25, 3)
    assert ink_colour(group, picture, 0.25).tolist() == list(RED)


@pytest.mark.parametrize(("gap_px", "together"), [(25, True), (60, False)])
def test_parts_as_near_as_they_are_long_belong_together(gap_px, together):
    found = cluster(groups_of((50, 20, 10, 40), (50, 60 + gap_px, 10, 40)), np.array([RED, RED], np.float32))
    assert (found[0] == found[1]) == together


def test_another_ink_is_another_thing():
    groups = groups_of((50, 20, 10, 40), (50, 80, 10, 40))
    apart = cluster(groups, np.array([RED, BLUE], np.float32))
    assert apart[0] != apart[1]


def test_a_ring_and_what_it_holds_are_one():
    confidence = np.zeros((200, 400), np.float32)
    cv2.circle(confidence, (100, 100), 80, 0.9, 3)
    confidence[95:105, 90:110] = 0.9
    groups = group_strokes(confidence, 0.25, 3)
    assert len(groups) == 2
    assert len(set(cluster(groups, np.array([RED, RED], np.float32)))) == 1


def test_a_chain_is_one_thing_and_none_is_none():
    bars = [(50, 10 + 60 * number, 10, 40) for number in range(6)]
    assert len(set(cluster(groups_of(*bars), np.array([RED] * 6, np.float32)))) == 1
    assert len(cluster([], np.zeros((0, 3), np.float32))) == 0


def test_joined_groups_keep_every_stroke():
    groups = groups_of((50, 20, 10, 40), (90, 150, 20, 30))
    one = joined(groups)
    assert one.box == groups[0].box.union(groups[1].box)
    assert (one.confidence >= 0.5).sum() == 10 * 40 + 20 * 30
    assert one.score == pytest.approx(0.8)
    corners = one.polygon
    for group in groups:
        for point in group.polygon:
            assert cv2.pointPolygonTest(corners, (float(point[0]), float(point[1])), True) > -1.5


def test_joining_nothing_is_an_error():
    with pytest.raises(ValueError, match="no groups"):
        joined([])


def test_gaps_are_distances_and_overlaps_are_negative():
    start, stop = np.array([[0, 0], [15, 4]], np.float32), np.array([[10, 10], [20, 30]], np.float32)
    beside, below = gaps(start, stop)
    assert beside.tolist() == [[-10, 5], [5, -5]]
    assert below.tolist() == [[-10, -6], [-6, -26]]
