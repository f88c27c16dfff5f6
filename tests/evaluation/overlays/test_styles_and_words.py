"""Random styles and texts cover what they promise, within their bounds."""

from __future__ import annotations

import re

import numpy as np
import pytest

from cleanplate.evaluation.overlays import DESIGNS, SCRIPTS, sample_style, texts
from cleanplate.evaluation.overlays.pen import draw_pen, spline
from cleanplate.evaluation.overlays.records import OverlayStyle


@pytest.mark.parametrize("kind", list(DESIGNS))
def test_styles_stay_within_their_bounds_and_reach_every_design_and_script(kind):
    styles = [sample_style(np.random.default_rng(seed), kind) for seed in range(400)]
    assert {s.kind for s in styles} == {kind}
    assert {s.design for s in styles} == set(DESIGNS[kind])
    assert {s.script for s in styles} == set(SCRIPTS)
    assert all(8 <= s.size_px <= 200 for s in styles)
    assert all(0.15 <= s.opacity <= 1 for s in styles)
    assert all(0 <= s.perspective <= 0.4 for s in styles)


def test_a_small_picture_gets_small_type():
    sizes = [sample_style(np.random.default_rng(seed), "overlay_text", 12).size_px for seed in range(200)]
    assert max(sizes) <= 25


def test_words_that_yaml_takes_for_switches_stay_words():
    drawn = " ".join(texts.phrase(np.random.default_rng(seed), "latin", 5) for seed in range(400))
    assert "False" not in drawn
    assert "OFF" in drawn


@pytest.mark.parametrize("script", ["han", "japanese"])
def test_chinese_and_japanese_are_set_without_spaces(script):
    assert all(" " not in texts.phrase(np.random.default_rng(seed), script, 3) for seed in range(40))


def test_prices_look_like_prices():
    pattern = re.compile(r"(€ ?|\$|£)?\d+([.,]\d\d)?( €|\.-)?|-\d+%|2 for \$\d+")
    assert all(pattern.fullmatch(texts.price(np.random.default_rng(seed))) for seed in range(200))


def test_dense_lists_have_the_asked_lines():
    assert len(texts.dense_lines(np.random.default_rng(0), "greek", 7)) == 7


def test_a_spline_runs_through_its_points():
    points = np.array([[0, 0], [10, 5], [20, -3], [30, 8]], float)
    curve = spline(points, 8)
    assert curve.shape == (24, 2)
    np.testing.assert_allclose(curve[::8], points[:3], atol=1e-9)


def test_a_spline_through_points_on_a_line_stays_on_it():
    curve = spline(np.stack([np.arange(6.0), 2 * np.arange(6.0)], axis=1))
    np.testing.assert_allclose(curve[:, 1], 2 * curve[:, 0], atol=1e-9)


@pytest.mark.parametrize("design", ["pen", "signature", "scribble"])
def test_the_pen_leaves_thin_strokes(design):
    for seed in range(8):
        style = OverlayStyle(kind="handwriting", design=design, size_px=60)
        coverage = draw_pen(style, 300, np.random.default_rng(seed)).coverage
        assert coverage.max() > 0.5
        assert coverage.mean() < 0.6
