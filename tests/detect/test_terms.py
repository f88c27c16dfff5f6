"""The terms by hand: of one bar of ink, of several, and what surrounds them."""

import math

import numpy as np
import pytest

from cleanplate.detect.components import group_strokes
from cleanplate.detect.terms import TERMS, Seen, ink_px, terms_of
from cleanplate.models.stroke_net import CHANNELS

HEIGHT, WIDTH = 120, 260
INK = (slice(50, 70), slice(40, 100))


def seen_with(*bars, colour=(180, 40, 40)):
    """Bars of one colour on a smooth ground, which the network takes for stamps."""
    picture = np.full((HEIGHT, WIDTH, 3), 100, np.uint8)
    maps = np.zeros((len(CHANNELS), HEIGHT, WIDTH), np.float32)
    for bar in bars:
        picture[bar] = colour
        maps[0][bar], maps[CHANNELS.index("stamp")][bar] = 0.8, 0.6
    return Seen(picture, np.zeros((HEIGHT, WIDTH), np.float32), maps, 0.25)


def named_terms(seen):
    groups = group_strokes(seen.maps[0], seen.threshold, 3)
    return [dict(zip(TERMS, row, strict=True)) for row in terms_of(groups, seen)]


def test_the_terms_are_what_they_say():
    (found,) = named_terms(seen_with(INK))
    assert found["score"] == pytest.approx(0.8)
    assert found["area"] == pytest.approx(math.log(20 * 60))
    assert found["long_side"] == pytest.approx(math.log(60), abs=0.05)
    assert found["fill"] == pytest.approx(1, abs=0.05)
    assert found["share_stamp"] == pytest.approx(0.75, abs=0.01)
    assert found["share_watermark"] == 0
    assert found["on_lines"] == 0
    assert found["own_spread"] == found["ring_spread"] == pytest.approx(math.log(2))
    assert found["contrast"] == pytest.approx(math.log(math.hypot(80, 60, 60) + 2), abs=0.01)
    assert found["rim"] > 2, "its rim is sharper than what surrounds it"
    assert found["parts"] == found["parts_spread"] == 0
    assert found["roundness"] == pytest.approx(4 * math.pi * 19 * 59 / (2 * 78) ** 2, rel=0.03)
    assert found["clutter"] == found["alike_beyond"] == 0
    assert found["saturation"] == 140
    assert found["lightness"] == pytest.approx(260 / 3)
    assert found["ground_lightness"] == 100
    assert found["ground_saturation"] == 0
    assert found["strokes_in_picture"] == pytest.approx(math.log(1200 / (HEIGHT * WIDTH) + 1e-4))


def test_where_a_group_is_is_told():
    (found,) = named_terms(seen_with(INK))
    assert found["border_x"] == pytest.approx(math.log1p(40 / 19))
    assert found["border_y"] == pytest.approx(math.log1p((HEIGHT - 70) / 19))
    assert found["border"] == found["border_x"]
    assert found["off_middle_x"] == pytest.approx(0.5 - 69.5 / WIDTH)
    assert found["down"] == pytest.approx(59.5 / HEIGHT)
    assert found["short_share"] == pytest.approx(math.log(19 / HEIGHT))
    assert found["long_share"] == pytest.approx(math.log(59 / WIDTH))
    assert found["slant"] == found["off_axis"] == 0


@pytest.mark.parametrize(("slope", "slant", "off_axis"), [(0.0, 0, 0), (0.25, 14, 14), (-0.25, 14, 14), (4.0, 76, 14)])
def test_the_slant_is_that_of_the_long_side(slope, slant, off_axis):
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    along, across = (x - 130) + slope * (y - 60), slope * (x - 130) - (y - 60)
    length = math.hypot(1, slope)
    seen = seen_with((np.abs(along) < 40 * length) & (np.abs(across) < 6 * length))
    (found,) = named_terms(seen)
    assert (found["slant"], found["off_axis"]) == pytest.approx((slant, off_axis), abs=1)


def test_a_group_alone_is_its_own_cluster():
    (found,) = named_terms(seen_with(INK))
    assert found["members"] == found["colour_spread"] == 0
    assert found["share_of_cluster"] == 1
    assert all(found[f"cluster_{name}"] == found[name] for name in ("area", "score", "rim", "clutter"))


def test_ink_of_one_colour_nearby_is_judged_with_a_group():
    near = (INK[0], slice(130, 150))
    large, small = sorted(named_terms(seen_with(INK, near)), key=lambda found: -found["area"])
    assert large["members"] == small["members"] == pytest.approx(math.log(2))
    assert small["share_of_cluster"] == pytest.approx(400 / 1600)
    assert large["cluster_area"] == small["cluster_area"] == pytest.approx(math.log(1600))
    assert small["cluster_parts"] == pytest.approx(math.log(2))
    assert small["clutter"] > 0, "for itself it has strokes of others around it"
    assert small["cluster_clutter"] == 0


def test_a_colour_that_the_surroundings_have_is_told():
    seen = seen_with(INK, colour=(104, 100, 100))
    (found,) = named_terms(seen)
    assert found["alike_beyond"] > 0.99


def test_strokes_of_many_widths_spread():
    plain, tapered = seen_with(INK), seen_with(INK)
    for row in range(20):
        tapered.maps[0, 50 + row, 40 + 3 * row : 100] = 0
    assert named_terms(tapered)[0]["width_spread"] > named_terms(plain)[0]["width_spread"]


def test_a_group_that_fills_the_picture_has_finite_terms():
    picture = np.random.default_rng(1).integers(0, 256, (24, 24, 3), np.uint8)
    maps = np.full((len(CHANNELS), 24, 24), 0.9, np.float32)
    everything = Seen(picture, np.ones((24, 24), np.float32), maps, 0.25)
    (group,) = group_strokes(maps[0], 0.25, 3)
    assert ink_px(group, 0.25) == 24 * 24
    assert np.isfinite(terms_of([group], everything)).all()


def test_no_groups_no_rows():
    assert terms_of([], seen_with()).shape == (0, len(TERMS))
