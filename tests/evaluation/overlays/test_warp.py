"""Geometry moves the ink and its outline together."""

from __future__ import annotations

import numpy as np
import pytest

from cleanplate.evaluation.overlays.glyphs import corners, crop_to_ink
from cleanplate.evaluation.overlays.records import Drawing
from cleanplate.evaluation.overlays.warp import curve, place, supersampling


def _letter() -> Drawing:
    ink = np.zeros((40, 60), np.float32)
    ink[5:35, 5:12] = 1
    ink[5:12, 5:50] = 1
    return Drawing(ink, corners(40, 60), ink.copy())


def test_a_quarter_turn_counter_clockwise_is_numpy_s():
    turned = place(_letter(), 90.0, 0.0, 1.0, np.random.default_rng(0))
    expected = crop_to_ink(np.rot90(_letter().coverage).astype(np.float32))
    found = crop_to_ink((turned.coverage > 0.5).astype(np.float32))
    overlap = min(found.shape[0], expected.shape[0]), min(found.shape[1], expected.shape[1])
    assert np.abs(np.array(found.shape) - expected.shape).max() <= 1
    same = found[: overlap[0], : overlap[1]] == expected[: overlap[0], : overlap[1]]
    assert same.mean() > 0.95


@pytest.mark.parametrize(("angle_deg", "scale"), [(17.0, 1.0), (-120.0, 0.5), (0.0, 0.5)])
def test_the_area_of_the_ink_follows_the_scale(angle_deg, scale):
    before = _letter()
    after = place(before, angle_deg, 0.0, scale, np.random.default_rng(0))
    assert after.coverage.sum() == pytest.approx(before.coverage.sum() * scale**2, rel=0.04)
    assert after.plate is not None
    np.testing.assert_allclose(after.plate, after.coverage)


def test_the_outline_moves_with_the_ink_in_perspective():
    square = Drawing(np.ones((40, 60), np.float32), corners(40, 60))
    warped = place(square, 12.0, 0.3, 1.0, np.random.default_rng(4))
    x, y = warped.polygon.T
    shoelace = 0.5 * abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))
    assert warped.coverage.sum() == pytest.approx(shoelace, rel=0.05)


def test_nothing_to_do_leaves_the_drawing_as_it_is():
    drawing = _letter()
    assert place(drawing, 0.0, 0.0, 1.0, np.random.default_rng(0)) is drawing
    assert supersampling(0, 0, 20) == 1
    assert supersampling(5, 0, 20) == 2


@pytest.mark.parametrize("sweep_deg", [40.0, -90.0, 200.0])
def test_a_curved_line_keeps_its_ink_within_its_outline(sweep_deg):
    import cv2

    line = np.ones((20, 160), np.float32)
    bent, outline = curve(line, sweep_deg)
    inside = cv2.fillPoly(np.zeros(bent.shape, np.uint8), [np.round(outline).astype(np.int32)], 1)
    inside = cv2.dilate(inside, np.ones((7, 7), np.uint8))
    assert bent[inside == 0].sum() < 0.02 * bent.sum()
    # The inner radius takes the line's length, so the bent line is longer outside and never loses ink.
    assert line.sum() * 0.97 < bent.sum() < line.sum() * (1 + np.radians(abs(sweep_deg)) * 20 / 160)


def test_a_positive_sweep_arches_upwards():
    bent, _ = curve(np.ones((8, 120), np.float32), 120.0)
    assert np.flatnonzero(bent[:, bent.shape[1] // 2])[0] < np.flatnonzero(bent[:, 6])[0]
    bent, _ = curve(np.ones((8, 120), np.float32), -120.0)
    assert np.flatnonzero(bent[:, bent.shape[1] // 2])[0] > np.flatnonzero(bent[:, 6])[0]
