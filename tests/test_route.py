"""Routing: features in numbers, the cheapest engine that fits, a reason that says so."""

import numpy as np
import pytest

from cleanplate.config import ROUTE_FEATURES, RouteConfig, RouteRule, load_config
from cleanplate.errors import ConfigError
from cleanplate.fill.base import FillRequest
from cleanplate.records import Box, Region
from cleanplate.route import features, route

ENGINES = {"flat", "pde"}
CONFIG = RouteConfig(
    engines=("flat", "pde"),
    rules=(RouteRule(engine="flat", when=("texture <= 3", "ring_px > 0")), RouteRule(engine="pde")),
)


def _case(clean, hole):
    rows, columns = np.nonzero(hole)
    box = Box(int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
    alpha = hole.astype(np.float32)
    region = Region(0, "object", 1.0, box, alpha[box.slices], hole[box.slices], alpha[box.slices], height_px=7)
    return FillRequest(clean, alpha, hole, hole), region


def _picture(noise=0.0, slope=0.0, waves=0.0):
    y, x = np.mgrid[0:80, 0:100]
    grey = 90 + slope * x + waves * np.sin(x / 3) * np.cos(y / 4)
    rgb = grey[:, :, None] + np.random.default_rng(4).normal(0, noise, (80, 100, 3))
    return np.clip(np.rint(rgb), 0, 255).astype(np.uint8)


@pytest.fixture
def hole():
    hole = np.zeros((80, 100), np.uint8)
    hole[40:44, 30:70] = 1
    return hole


def test_features_are_what_was_drawn(hole):
    values = features(*_case(_picture(noise=4, slope=1), hole))
    assert values["area_px"] == 160
    assert 3 <= values["stroke_px"] <= 5
    assert values["noise"] == pytest.approx(4, rel=0.25)
    assert values["gradient"] == pytest.approx(100, rel=0.1)
    assert values["texture"] < 2
    assert values["ring_std"] > 8
    assert values["border_px"] == 30
    assert values["coverage"] == 1
    assert values["height_px"] == 7


@pytest.mark.parametrize(
    ("picture", "engine"),
    [
        ({}, "flat"),
        ({"slope": 1.0}, "flat"),
        ({"noise": 6.0}, "flat"),  # noise alone is no texture: regrain gives it back
        ({"waves": 25.0}, "pde"),
    ],
)
def test_flat_only_where_the_ring_is_flat(hole, picture, engine):
    values = features(*_case(_picture(**picture), hole))
    chosen = route(values, "object", CONFIG, ENGINES)
    assert chosen.engine == engine
    why = f", texture {values['texture']:.1f} <= 3, ring {values['ring_px']:,.0f} px > 0" if engine == "flat" else ""
    assert chosen.reason == f"160 px, thin strokes{why}: {engine}"
    assert chosen.features == values
    assert tuple(values) == ROUTE_FEATURES


def test_rules_kinds_and_the_engines_left_decide(hole):
    values = features(*_case(_picture(waves=25), hole))
    rules = (
        RouteRule(engine="flat", when=("texture <= 200", "area_px < 161"), kinds=("stamp",)),
        RouteRule(engine="pde", when=("area_px >= 161",)),
    )
    config = RouteConfig(engines=("flat", "pde"), rules=rules)
    chosen = route(values, "stamp", config, ENGINES)
    assert chosen.engine == "flat"
    assert chosen.reason.endswith(f"texture {values['texture']:.1f} <= 200, area 160 px < 161: flat")
    other = route(values, "object", config, ENGINES)
    assert (other.engine, other.reason) == ("pde", "160 px, thin strokes, no rule fits: pde")
    assert route(values, "stamp", config, {"pde"}).engine == "pde"
    with pytest.raises(ConfigError, match=r"route\.engines names flat, pde"):
        route(values, "stamp", config, {})


@pytest.mark.parametrize(
    ("condition", "message"),
    [("textur < 3", "there is no feature 'textur'; the nearest is 'texture'"), ("texture = 3", "is no condition")],
)
def test_a_rule_that_cannot_be_read_is_refused_with_the_configuration(condition, message):
    with pytest.raises(ConfigError, match=message):
        load_config(overrides=[f'route.rules=[{{engine: flat, when: ["{condition}"]}}]'])


def test_edges_of_the_picture_count_and_those_of_the_hole_do_not(hole):
    flat = np.full((80, 100, 3), 90, np.uint8)
    marked = np.where(hole[..., None] > 0, np.uint8(255), flat)
    assert features(*_case(marked, hole))["edges"] == 0
    marked[:, 50:] //= 3
    assert 0 < features(*_case(marked, hole))["edges"] < 0.2


def test_a_region_that_leaves_no_ring():
    hole = np.ones((10, 12), np.uint8)
    values = features(*_case(np.zeros((10, 12, 3), np.uint8), hole))
    assert values["ring_px"] == 0
    assert route(values, "object", CONFIG, ENGINES).engine == "pde"


def test_the_default_route_takes_the_network_where_there_is_texture(hole):
    every = set(RouteConfig().engines)
    plain, rich = (features(*_case(_picture(waves=waves), hole)) for waves in (0.0, 25.0))
    assert route(plain, "object", RouteConfig(), every).engine == "flat"
    assert route(plain, "object", RouteConfig(), every - {"flat"}).engine == "pde"
    assert route(rich, "object", RouteConfig(), every).engine == "network"
    assert route(rich, "object", RouteConfig(), {"texture"}).engine == "texture"
    thick = np.zeros_like(hole)
    thick[20:60, 30:70] = 1
    wide = features(*_case(_picture(waves=25.0), thick))
    assert route(wide, "object", RouteConfig(), every).engine == "texture"
