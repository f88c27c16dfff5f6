"""The generator's truth is exact, whatever it draws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cleanplate.errors import ConfigError
from cleanplate.evaluation.overlays import DESIGNS, OverlayStyle, generate, sample_style

EVERY_DESIGN = [(kind, design) for kind, designs in DESIGNS.items() for design in designs]
OVERLAYS = [pair for pair in EVERY_DESIGN if pair[0] != "scene_text"]


def _styles(rng_seed, kinds):
    rng = np.random.default_rng(rng_seed)
    return [sample_style(rng, kind, 60) for kind in kinds]


def _recomposed(sample):
    alpha = sample.alpha.astype(np.float64)[..., None]
    return sample.clean.astype(np.float64) * (1 - alpha) + sample.ink


@pytest.mark.parametrize("seed", range(6))
def test_the_picture_is_the_composite_of_alpha_and_ink(photograph, fonts, seed):
    styles = _styles(seed, ["scene_text", "overlay_text", "watermark", "handwriting", "stamp"])
    sample = generate(photograph, seed, styles, fonts)
    assert np.abs(_recomposed(sample) - sample.picture).max() <= 1.0
    assert (sample.alpha > 0).any()


@pytest.mark.parametrize(("kind", "design"), OVERLAYS)
def test_nothing_changes_where_alpha_is_zero_and_something_where_it_is_not(photograph, fonts, kind, design):
    style = OverlayStyle(kind=kind, design=design, size_px=24, angle_deg=10, shadow=0.5, contrast=90)
    sample = generate(photograph, 3, [style], fonts)
    assert np.array_equal(sample.clean, photograph)
    untouched = sample.alpha == 0
    assert np.array_equal(sample.picture[untouched], photograph[untouched])
    changed = np.abs(sample.picture.astype(int) - photograph).max(axis=2) > 0
    assert changed[sample.alpha > 0.5].mean() > 0.95


@pytest.mark.parametrize(("kind", "design"), OVERLAYS)
def test_the_record_of_an_overlay_holds_what_is_in_the_picture(photograph, fonts, kind, design):
    style = OverlayStyle(kind=kind, design=design, size_px=20, opacity=0.6)
    sample = generate(photograph, 8, [style], fonts)
    (overlay,) = sample.overlays
    rows, columns = overlay.box.slices
    np.testing.assert_allclose(sample.alpha[rows, columns], overlay.alpha, atol=1e-6)
    outside = sample.influence.copy()
    outside[rows, columns] = 0
    assert outside.max() <= 2.0 / 255
    assert overlay.kind == kind
    assert overlay.alpha.max() == pytest.approx(0.6, abs=0.2 if kind == "stamp" else 0.02)
    np.testing.assert_allclose(sample.kinds[kind], sample.influence, atol=1e-6)


def test_opacity_leaves_the_influence_as_it_is(photograph, fonts):
    style = OverlayStyle(size_px=30)
    strong, weak = (generate(photograph, 4, [replace(style, opacity=o)], fonts) for o in (1.0, 0.25))
    assert np.array_equal(strong.influence, weak.influence)
    np.testing.assert_allclose(weak.alpha, strong.alpha * 0.25, atol=1e-6)


def test_shadow_and_outline_belong_to_the_influence_but_a_shadow_is_no_stroke(photograph, fonts):
    plain = generate(photograph, 4, [OverlayStyle(size_px=40)], fonts)
    outlined = generate(photograph, 4, [OverlayStyle(size_px=40, outline_px=2)], fonts)
    shadowed = generate(photograph, 4, [OverlayStyle(size_px=40, shadow=1.0)], fonts)
    assert (outlined.stroke_alpha > 0.5).sum() > 1.2 * (plain.stroke_alpha > 0.5).sum()
    assert (shadowed.influence > 0.5).sum() > 1.1 * (shadowed.stroke_alpha > 0.5).sum()


def test_a_plate_is_told_apart_from_the_strokes_on_it(photograph, fonts):
    sample = generate(photograph, 6, [OverlayStyle(design="price", size_px=30, plate=0.7)], fonts)
    plate = sample.plate > 0.5
    assert plate.sum() > 2 * (sample.influence > 0.5).sum()
    bare = plate & (sample.influence == 0)
    np.testing.assert_allclose(sample.alpha[bare & (sample.plate == 1)], 0.7, atol=1e-5)


def test_scene_text_is_part_of_the_clean_picture(photograph, fonts):
    style = OverlayStyle(kind="scene_text", design="sign", size_px=30, perspective=0.2, contrast=100)
    sample = generate(photograph, 2, [style], fonts)
    assert sample.alpha.max() == 0
    assert np.array_equal(sample.picture, sample.clean)
    assert (sample.clean != photograph).any()
    assert (sample.kinds["scene_text"] > 0.5).sum() > 50
    assert sample.overlays[0].kind == "scene_text"


def test_what_lies_on_top_hides_the_kind_below(photograph, fonts):
    below = OverlayStyle(kind="scene_text", design="painted", size_px=60)
    above = OverlayStyle(design="price", size_px=60, plate=1.0)
    sample = generate(photograph, 1, [above, below], fonts)
    assert [o.kind for o in sample.overlays] == ["scene_text", "overlay_text"]
    assert sample.kinds["scene_text"][sample.plate == 1].max() < 1e-6
    total = sum(sample.kinds.values())
    assert total.max() <= 1 + 1e-5


def test_the_same_seed_gives_the_same_sample_and_another_seed_another(photograph, fonts):
    styles = _styles(11, ["overlay_text", "handwriting", "stamp", "watermark", "scene_text"])
    first, second, other = (generate(photograph, seed, styles, fonts) for seed in (1, 1, 2))
    assert np.array_equal(first.picture, second.picture)
    assert np.array_equal(first.influence, second.influence)
    assert not np.array_equal(first.picture, other.picture)


def test_the_photograph_is_not_changed(photograph, fonts):
    before = photograph.copy()
    generate(photograph, 1, _styles(2, ["scene_text", "overlay_text", "stamp"]), fonts)
    assert np.array_equal(photograph, before)


@pytest.mark.parametrize("angle_deg", [0.0, 30.0, -90.0])
def test_the_polygon_encloses_the_strokes(photograph, fonts, angle_deg):
    import cv2

    sample = generate(photograph, 9, [OverlayStyle(design="credit", size_px=18, angle_deg=angle_deg)], fonts)
    inside = np.zeros(sample.alpha.shape, np.uint8)
    cv2.fillPoly(inside, [np.round(sample.overlays[0].polygon).astype(np.int32)], 1)
    inside = cv2.dilate(inside, np.ones((5, 5), np.uint8))
    assert sample.stroke_alpha[inside == 0].max() < 0.02


def test_a_mark_that_lies_outside_leaves_no_record(fonts):
    tiny = np.full((16, 16, 3), 120, np.uint8)
    for seed in range(8):
        sample = generate(tiny, seed, [OverlayStyle(size_px=40)], fonts)
        for overlay in sample.overlays:
            assert overlay.box.left >= 0
            assert overlay.box.right <= 16
            assert overlay.influence.max() > 0


@pytest.mark.parametrize(("shape", "kind"), [((8, 8), np.uint8), ((8, 8, 3), np.float32), ((8, 8, 4), np.uint8)])
def test_what_is_no_rgb_picture_is_refused(shape, kind, fonts):
    with pytest.raises(ConfigError, match="uint8"):
        generate(np.zeros(shape, kind), 0, [OverlayStyle()], fonts)


def test_an_unknown_design_is_named_with_the_known_ones(photograph, fonts):
    with pytest.raises(ConfigError, match=r"no design 'round'.*caption"):
        generate(photograph, 0, [OverlayStyle(design="round")], fonts)
