"""The post-processing of a probability map, against pyclipper's offset where rapidocr uses it."""

import cv2
import numpy as np
import pytest

from cleanplate.detect import db


def _map(angle=0.0, size=(120, 24), value=0.9):
    confidence = np.zeros((200, 300), np.float32)
    corners = cv2.boxPoints(((150, 100), size, angle))
    cv2.fillPoly(confidence, [np.round(corners).astype(np.int32)], value)
    return confidence


@pytest.mark.parametrize("angle", [0, 20, 70, -35])
def test_a_line_is_unclipped_by_area_over_perimeter(angle):
    line = db.lines(_map(angle), 0.3, 0.5, 3)[0]
    distance = 121 * 25 * 1.6 / (2 * (121 + 25))
    assert line.height_px == pytest.approx(25 + 2 * distance, abs=4)
    area = cv2.contourArea(line.polygon)
    assert area == pytest.approx((121 + 2 * distance) * (25 + 2 * distance), rel=0.08)
    assert np.abs(line.polygon.mean(axis=0) - (150, 100)).max() < 2


def test_unclip_equals_pyclippers_offset():
    pyclipper = pytest.importorskip("pyclipper")
    line = db.lines(_map(0), 0.3, 0.5, 3)[0]
    kernel = np.array([[90, 88], [211, 88], [211, 113], [90, 113]])
    distance = 121 * 25 * 1.6 / (2 * (121 + 25))
    offset = pyclipper.PyclipperOffset()
    offset.AddPath(kernel, pyclipper.JT_ROUND, pyclipper.ET_CLOSEDPOLYGON)
    expected = cv2.boundingRect(np.array(offset.Execute(distance)[0]))
    box = line.box
    assert np.abs(np.array([box.left, box.top, box.width, box.height]) - expected).max() <= 2


def test_faint_thin_and_small_lines_are_dropped():
    assert len(db.lines(_map(value=0.55), 0.3, 0.5, 3)) == 1
    assert db.lines(_map(value=0.45), 0.3, 0.6, 3) == []
    assert db.lines(_map(value=0.2), 0.3, 0.1, 3) == []
    assert db.lines(_map(size=(100, 1)), 0.3, 0.5, 6) == []


def test_lines_come_top_to_bottom():
    confidence = np.zeros((200, 300), np.float32)
    for top in (150, 20, 90):
        confidence[top : top + 20, 30:200] = 0.9
    tops = [line.box.top for line in db.lines(confidence, 0.3, 0.5, 3)]
    assert tops == sorted(tops)
    assert len(tops) == 3
