"""What an engine's answer becomes before it is judged: grain only where the photograph's own is not there."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from cleanplate.config import Config, load_config
from cleanplate.fill.base import EngineSpec, FillRequest, Remark
from cleanplate.image import Carried, Image
from cleanplate.pipeline import Plan
from cleanplate.records import Box, Job, Region, Route
from cleanplate.tries import Canvas, Filled, Task, Try, ask, completed, cost_units, finished


class Talker:
    """An engine that remarks on each fill."""

    spec = EngineSpec("talker", "MIT", 1.0)

    def fill(self, requests):
        self.remarks = [Remark(f"crop {number}") for number, _ in enumerate(requests)]
        return [request.crop for request in requests]


def _request():
    rng = np.random.default_rng(5)
    grain = cv2.GaussianBlur(rng.normal(0, 1, (96, 128, 3)).astype(np.float32), (0, 0), 0.8) * 12
    crop = np.clip(np.rint(120 + grain), 0, 255).astype(np.uint8)
    core = np.zeros((96, 128), np.uint8)
    core[30:66, 30:98] = 1
    return FillRequest(crop, core.astype(np.float32), core, core, 3, "watermark")


def test_what_is_left_of_the_photograph_gets_no_grain():
    request = _request()
    core = request.core
    region = Region(0, "watermark", 0.9, Box(0, 0, 128, 96), request.alpha, core, request.alpha)
    smooth = np.where(core[..., None] > 0, np.uint8(120), request.crop)
    kept = np.zeros(core.shape, np.float32)
    kept[:, :64] = 1
    painted, uncovered = (
        finished(region, request, Filled(smooth, Remark(kept=each)), Config(), smooth=True) for each in (None, kept)
    )
    left, right = core.copy(), core.copy()
    left[:, 64:], right[:, :64] = 0, 0
    assert not painted.uncovered
    assert uncovered.uncovered
    assert painted.after[left > 0].std() > 2
    assert np.array_equal(uncovered.after[left > 0], uncovered.grainless[left > 0])
    assert np.array_equal(uncovered.after[right > 0], painted.after[right > 0])
    assert np.array_equal(uncovered.after[core == 0], request.crop[core == 0])


def test_engines_are_asked_with_or_without_remarks():
    request, talker = _request(), Talker()
    assert [answer.remark.note for answer in ask(talker, [request, replace(request, seed=4)])] == ["crop 0", "crop 1"]
    silent = type("Silent", (), {"fill": lambda self, requests: [request.crop for request in requests]})()
    assert ask(silent, [request])[0].remark == Remark()


@pytest.fixture
def plan():
    return Plan.load(load_config(overrides=["models.device=cpu", "route.engines=[flat, pde, unblend]"]))


def _hidden(request):
    """A try at a mark that is off but for a part in the middle, and what its engine answers."""
    core = np.zeros_like(request.core)
    core[44:52, 40:88] = 1
    crop = np.where(request.core[..., None] > 0, np.uint8(118), request.crop)
    rest = replace(request, crop=crop, alpha=core.astype(np.float32), core=core, invalid=core)
    region = Region(0, "watermark", 0.9, Box(0, 0, 128, 96), request.alpha, request.core, request.alpha)
    image = Image(request.crop, request.crop, Carried("PNG", "image/png", "RGB"), b"")
    task = Task(0, Job("x", image, seed=1), region, region, 5)
    one = Try(task, region.box, request, Route("unblend", "2,448 px: unblend", {}))
    guessed = np.where(core[..., None] > 0, np.uint8(7), crop)
    return one, Filled(guessed, Remark(kept=1.0 - core, rest=rest)), core


def test_what_a_mark_hides_is_filled_by_the_engine_that_the_rules_name_for_it(plan):
    one, answer, core = _hidden(_request())
    canvas = Canvas(one.request.crop.copy(), one.request.invalid)
    tries, answers = completed([one], [answer], [canvas], plan)
    assert tries[0].route.engine == "unblend"
    assert tries[0].route.reason.startswith("2,448 px: unblend; what it hides: 384 px, thin strokes")
    assert tries[0].request is one.request
    assert np.array_equal(answers[0].pixels[core == 0], answer.pixels[core == 0])
    assert np.abs(answers[0].pixels[core > 0].astype(int) - 118).max() < 12
    units = min(cost_units(plan.engines[name], one.box) for name in ("flat", "pde"))
    assert tries[0].other_units == canvas.cost_units >= units


def test_without_room_in_the_budget_the_guess_stands(plan):
    one, answer, _ = _hidden(_request())
    canvas = Canvas(one.request.crop.copy(), one.request.invalid, cost_units=plan.config.attempts.max_cost_units)
    tries, answers = completed([one], [answer], [canvas], plan)
    assert tries == [one]
    assert answers == [answer]


def test_what_is_wholly_off_is_left_as_it_is(plan):
    one, answer, _ = _hidden(_request())
    whole = Filled(answer.pixels, Remark(kept=answer.remark.kept))
    assert completed([one], [whole], [Canvas(one.request.crop, one.request.invalid)], plan) == ([one], [whole])


def test_exemplars_are_not_taken_from_where_the_mark_was(plan, monkeypatch):
    """What is nearly right there would be copied: the engine sees the whole hole, and only what is hidden is used."""
    one, answer, core = _hidden(_request())
    seen = []

    class Copier:
        spec = EngineSpec("pde", "MIT", 1.0, exemplars=True)

        def fill(self, requests):
            seen.extend(requests)
            return [np.full_like(request.crop, 118) for request in requests]

    monkeypatch.setitem(plan.engines, "flat", Copier())
    monkeypatch.setitem(plan.engines, "pde", Copier())
    _, answers = completed([one], [answer], [Canvas(one.request.crop.copy(), one.request.invalid)], plan)
    assert seen == [one.request]
    assert np.array_equal(answers[0].pixels[core == 0], answer.pixels[core == 0])
    assert (answers[0].pixels[core > 0] != 7).all()
