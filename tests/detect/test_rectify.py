"""Second looks: slanted and small lines are seen upright and large, and what is seen comes back to its place."""

import cv2
import numpy as np
import pytest

from cleanplate.detect import db
from cleanplate.detect.rectify import LINE_PX, look_again, view_of
from cleanplate.models.stroke_net import CHANNELS
from cleanplate.records import Box


def line_at(centre, length, height, angle_deg):
    polygon = cv2.boxPoints((centre, (length, height), angle_deg)).astype(np.float32)
    left, top = np.floor(polygon.min(axis=0)).astype(int)
    right, bottom = np.ceil(polygon.max(axis=0)).astype(int)
    return db.Line(polygon, Box(int(left), int(top), int(right), int(bottom)), float(height), 0.9)


@pytest.mark.parametrize(("height", "angle", "again"), [(40, 0, False), (40, 90, False), (40, 25, True), (14, 0, True)])
def test_only_slanted_and_small_lines_are_looked_at_again(height, angle, again):
    view = view_of(line_at((200, 200), 180, height, angle))
    assert (view is not None) == again
    if view is not None:
        assert view.size[0] > view.size[1] >= 0.8 * LINE_PX


@pytest.mark.parametrize("angle", [0, 30, -50, 75])
def test_what_is_seen_comes_back_where_it_was(angle):
    line = line_at((160, 120), 150, 18, angle)
    picture = np.full((240, 320, 3), 40, np.uint8)
    cv2.fillPoly(picture, [np.round(line.polygon).astype(np.int32)], (250, 250, 250))
    truth = picture[..., 0] > 127
    seen = []

    def look(crops):
        seen.extend(crops)
        return [np.repeat((crop[None, :, :, 0] > 127).astype(np.float32), len(CHANNELS), 0) for crop in crops]

    maps = np.repeat(truth[None].astype(np.float32), len(CHANNELS), 0)
    again = look_again(picture, maps, [line], look)
    assert ((again[0] > 0.5) ^ truth).sum() < 0.05 * truth.sum()
    # Upright: every row of the line's middle is bright from end to end.
    (crop,) = seen
    rows = crop[crop.shape[0] // 2 - 6 : crop.shape[0] // 2 + 6, :, 0] > 127
    assert (rows.mean(axis=1) > 0.8).all()


def test_without_such_lines_the_maps_are_the_same():
    maps = np.random.default_rng(0).random((len(CHANNELS), 60, 90), dtype=np.float32)
    picture = np.zeros((60, 90, 3), np.uint8)
    level = line_at((45, 30), 80, 30, 0)
    assert look_again(picture, maps, [level], lambda _: pytest.fail("nothing to look at")) is maps


def test_a_line_that_leaves_the_picture_is_looked_at_as_far_as_it_goes():
    maps = np.zeros((len(CHANNELS), 60, 90), np.float32)
    picture = np.zeros((60, 90, 3), np.uint8)
    beyond = line_at((88, 2), 60, 12, 20)
    again = look_again(
        picture, maps, [beyond], lambda crops: [np.ones((7, *crop.shape[:2]), np.float32) for crop in crops]
    )
    assert again.shape == maps.shape
    assert np.isfinite(again).all()
