"""Layers are laid over each other as Pillow does it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from cleanplate.evaluation.overlays.glyphs import corners
from cleanplate.evaluation.overlays.paint import _dilate, _Stack, choose_ink, luma, paint, with_plate
from cleanplate.evaluation.overlays.records import Drawing, OverlayStyle


def _bar() -> Drawing:
    ink = np.zeros((30, 50), np.float32)
    ink[10:20, 10:40] = 1
    return Drawing(ink, corners(30, 50))


def test_the_stack_composites_like_pillow():
    rng = np.random.default_rng(3)
    stack, reference = _Stack.empty((9, 11)), Image.new("RGBA", (11, 9))
    for _ in range(3):
        alpha, colour = rng.random((9, 11), dtype=np.float32), rng.integers(0, 256, 3)
        stack.lay(alpha, colour.astype(np.float64))
        layer = np.dstack([np.broadcast_to(colour, (9, 11, 3)), np.round(alpha * 255)]).astype(np.uint8)
        reference = Image.alpha_composite(reference, Image.fromarray(layer, "RGBA"))
    expected = np.asarray(reference, np.float64)
    np.testing.assert_allclose(stack.alpha * 255, expected[..., 3], atol=2.5)
    np.testing.assert_allclose(stack.ink / stack.alpha[..., None], expected[..., :3], atol=4)


@pytest.mark.parametrize("radius_px", [1, 2, 3])
def test_whole_radii_grow_a_point_to_a_disc(radius_px):
    point = np.zeros((15, 15), np.float32)
    point[7, 7] = 1
    distance = ndimage.distance_transform_edt(point == 0)
    grown = _dilate(point, radius_px) > 0
    assert grown[distance <= radius_px - 0.5].all()
    assert not grown[distance > radius_px + 0.75].any()


def test_half_a_radius_lies_between_the_whole_ones():
    bar = _bar().coverage
    np.testing.assert_allclose(_dilate(bar, 1.5), (_dilate(bar, 1) + _dilate(bar, 2)) / 2)
    assert _dilate(bar, 0) is bar


@pytest.mark.parametrize("level", [0.0, 40.0, 128.0, 215.0, 255.0])
def test_the_ink_stands_out_from_the_ground(level):
    ground = np.full(3, level)
    for seed in range(40):
        ink = choose_ink(np.random.default_rng(seed), "overlay_text", ground, 60)
        assert abs(luma(ink) - level) >= 60


def test_a_weak_mark_gets_more_contrast():
    """At 20 % opacity 16 grey levels are left to see only if the ink is 80 away from the ground."""
    style = OverlayStyle(kind="watermark", design="single", opacity=0.2, contrast=0)
    for seed in range(20):
        mark, _ = paint(_bar(), np.full(3, 110.0), style, np.random.default_rng(seed))
        colour = mark.ink[mark.alpha > 0.19].mean(axis=0) / 0.2
        assert abs(luma(colour.astype(np.float64)) - 110) * 0.2 >= 15


def test_a_hollow_letter_has_only_its_rim():
    style = OverlayStyle(outline_px=2, hollow=True)
    mark, margin_px = paint(_bar(), np.full(3, 110.0), style, np.random.default_rng(0))
    assert mark.stroke_alpha[margin_px + 15, margin_px + 25] == 0
    assert mark.stroke_alpha[margin_px + 9, margin_px + 25] == 1


def test_a_plate_encloses_the_strokes_and_moves_the_outline():
    plated = with_plate(_bar(), 20, np.random.default_rng(1))
    assert plated.plate is not None
    assert plated.plate[plated.coverage > 0].min() > 0.99
    shift = (plated.coverage.shape[0] - 30) // 2
    np.testing.assert_allclose(plated.polygon, corners(30, 50) + shift)
