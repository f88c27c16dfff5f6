"""The loop: rounds over all images, remedies, budgets, and pixels that stay what they were."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from cleanplate import tries
from cleanplate.attempts import Work, region_seed, run
from cleanplate.config import (
    AttemptsConfig,
    BlendConfig,
    Config,
    EnhanceConfig,
    ModelsConfig,
    RegrainConfig,
    RouteConfig,
    RouteRule,
)
from cleanplate.fill import build_engines
from cleanplate.fill.base import EngineSpec, Remark
from cleanplate.image import Carried, Image
from cleanplate.mask.soft import feather
from cleanplate.models.registry import Registry
from cleanplate.records import Box, Job, Region, RegionOutcome, Verdict
from cleanplate.windows import trim


class Judge:
    """Judges by a rule that a test gives, and counts its calls."""

    def __init__(self, rule):
        self.rule, self.calls = rule, []

    def judge(self, candidates):
        self.calls.append(len(candidates))
        return [self.rule(candidate) for candidate in candidates]


def _pass(candidate):
    return Verdict(1.0, {"seam": 0.5})


def _fail(name):
    return lambda candidate: Verdict(0.2, {name: 1.0}, (name,))


class Paint:
    """Paints one colour, and remembers the requests."""

    def __init__(self, name, colour, cost=1.0):
        self.spec = EngineSpec(name, "MIT", cost)
        self.colour, self.batches = colour, []

    def fill(self, requests):
        self.batches.append(list(requests))
        return [np.full_like(request.crop, self.colour) for request in requests]


def _plan(judge, engines=None, **attempts):
    config = Config(attempts=AttemptsConfig(**attempts), regrain=RegrainConfig(enabled=False))
    engines = engines or build_engines(config, Registry.load(ModelsConfig()), "cpu")
    config = config.model_copy(update={"route": RouteConfig(engines=tuple(engines))})
    return SimpleNamespace(config=config, engines=engines, verifier=judge)


def _plain(plan):
    """The plan with fills that are mixed in as they are."""
    plan.config = plan.config.model_copy(update={"blend": BlendConfig(method="feather")})
    return plan


def _job(image_id="a", shape=(90, 120)):
    rgb = np.random.default_rng(len(image_id)).integers(60, 200, (*shape, 3)).astype(np.uint8)
    return Job(image_id, Image(rgb, rgb, Carried("PNG", "image/png", "RGB"), b""), seed=11)


def _region(region_id, left, top, right, bottom, job, sigma=1.0):
    hard = np.zeros((job.image.height, job.image.width), np.uint8)
    hard[top:bottom, left:right] = 1
    alpha, box = trim(feather(hard, sigma), Box(0, 0, job.image.width, job.image.height))
    return Region(region_id, "object", 1.0, box, alpha, (alpha >= 0.5).astype(np.uint8), alpha)


def test_one_round_for_all_regions_of_all_images():
    jobs = [_job("a"), _job("bb"), _job("ccc")]
    work = [Work(job, (_region(0, 10, 10, 20, 20, job), _region(1, 60, 40, 80, 60, job))) for job in jobs]
    judge, paint = Judge(_pass), Paint("paint", 7)
    edits = run(work, _plan(judge, {"paint": paint}))
    assert judge.calls == [6]
    assert [len(batch) for batch in paint.batches] == [6]
    assert [edit.job.image_id for edit in edits] == ["a", "bb", "ccc"]
    for edit in edits:
        assert [outcome.decision for outcome in edit.regions] == ["filled", "filled"]
        assert [outcome.region.region_id for outcome in edit.regions] == [0, 1]


def test_pixels_outside_the_soft_masks_are_identical_and_the_source_is_untouched():
    job = _job()
    source = job.image.rgb.copy()
    regions = (_region(0, 10, 10, 30, 30, job), _region(1, 60, 40, 90, 70, job, sigma=3))
    edit = run([Work(job, regions)], _plan(Judge(_pass)))[0]
    assert np.array_equal(job.image.rgb, source)
    assert np.array_equal(edit.rgb[edit.alpha == 0], source[edit.alpha == 0])
    assert (edit.rgb[edit.alpha == 1] != source[edit.alpha == 1]).any()
    expected = np.zeros_like(edit.alpha)
    for region in regions:
        np.maximum(expected[region.box.slices], region.alpha, out=expected[region.box.slices])
    assert np.array_equal(edit.alpha, expected)


def test_where_a_denoiser_may_follow_the_fills_are_kept_without_grain_too():
    job = _job()
    region = _region(0, 30, 30, 60, 60, job)
    plan = _plain(_plan(Judge(_pass), {"paint": Paint("paint", 120)}))
    plan.config = plan.config.model_copy(update={"regrain": RegrainConfig()})
    assert run([Work(job, (region,))], plan)[0].grainless is None
    plan.config = plan.config.model_copy(update={"enhance": EnhanceConfig(steps=("denoise",))})
    edit = run([Work(job, (region,))], plan)[0]
    assert (edit.grainless[edit.alpha == 1] == 120).all()
    assert edit.rgb[edit.alpha == 1].std() > 20, "the picture is noise, and so is its fill"
    assert np.array_equal(edit.grainless[edit.alpha == 0], job.image.rgb[edit.alpha == 0])
    failed = run([Work(job, (region,))], SimpleNamespace(**vars(plan) | {"verifier": Judge(_fail("seam"))}))[0]
    assert np.array_equal(failed.grainless, job.image.rgb)


@pytest.mark.parametrize("smooth", [True, False])
def test_grain_is_told_whether_an_engine_leaves_texture(monkeypatch, smooth):
    told = []
    monkeypatch.setattr(tries, "regrain", lambda crop, *rest: told.append(rest[-1]) or crop)
    job, paint = _job(), Paint("paint", 120)
    paint.spec = EngineSpec("paint", "MIT", 1.0, smooth=smooth)
    run([Work(job, (_region(0, 30, 30, 60, 60, job),))], _plain(_plan(Judge(_pass), {"paint": paint})))
    assert told == [smooth]


def test_an_engine_is_told_of_the_other_regions_cores():
    job = _job()
    near = (_region(0, 20, 20, 40, 30, job), _region(1, 46, 20, 60, 30, job))
    paint = Paint("paint", 7)
    run([Work(job, near)], _plan(Judge(_pass), {"paint": paint}))
    for request, own, other in ((paint.batches[0][0], 0, 1), (paint.batches[0][1], 1, 0)):
        assert request.core.sum() == near[own].core.sum()
        assert request.invalid.sum() == near[own].core.sum() + near[other].core.sum()
        assert request.seed == region_seed(11, "a", own)


def test_overlapping_crops_and_masks_composite_into_one_picture():
    job = _job()
    regions = (_region(0, 20, 20, 50, 40, job), _region(1, 40, 30, 70, 60, job, sigma=3))
    plan = _plan(Judge(_pass), {"paint": Paint("paint", 9)})
    edit = run([Work(job, regions)], _plain(plan))[0]
    solid = np.zeros((90, 120), bool)
    solid[20:40, 20:50] = solid[30:60, 40:70] = True
    assert np.all(edit.rgb[solid] == 9), "a feather brought back what another region had filled"
    assert np.array_equal(edit.rgb[edit.alpha == 0], job.image.rgb[edit.alpha == 0])


def test_what_fails_goes_to_the_next_engine_and_the_attempts_are_kept():
    job = _job()
    judge = Judge(lambda c: Verdict(1.0, {}) if c.after[c.core > 0].max() >= 200 else Verdict(0.1, {}, ("seam",)))
    engines = {"first": Paint("first", 1), "second": Paint("second", 200, 2.0)}
    outcome = run([Work(job, (_region(0, 10, 10, 20, 20, job),))], _plan(judge, engines))[0].regions[0]
    assert [attempt.engine for attempt in outcome.attempts] == ["first", "second"]
    assert [attempt.number for attempt in outcome.attempts] == [1, 2]
    assert outcome.attempts[0].failures == ("seam",)
    again = outcome.attempts[1].reason
    assert again.startswith("confidence 0.10 < 0.70 (seam=0.00): re-run with the next engine: 140 px, thin strokes,")
    assert again.endswith("no rule fits: second")
    assert (outcome.decision, outcome.route.engine, outcome.confidence) == ("filled", "second", 1.0)


def test_residual_text_widens_the_mask_once_then_takes_the_next_engine():
    job = _job()
    paint = {"first": Paint("first", 1), "second": Paint("second", 2)}
    judge = Judge(_fail("residual_text"))
    region = _region(0, 30, 30, 50, 50, job)
    outcome = run([Work(job, (region,))], _plan(judge, paint, max_attempts=5))[0].regions[0]
    assert [attempt.engine for attempt in outcome.attempts] == ["first", "first", "second"]
    assert "re-run with a wider mask: " in outcome.attempts[1].reason
    assert "wider" not in outcome.attempts[2].reason
    sizes = [int(batch[0].core.sum()) for engine in paint.values() for batch in engine.batches]
    assert sizes[0] < sizes[1] == sizes[2]
    assert outcome.decision == "review"
    assert outcome.region is not None
    assert outcome.region.box == region.box


def test_a_drift_of_colour_is_matched_with_the_same_engine_first():
    job = _job()
    engines = {"first": Paint("first", 250), "second": Paint("second", 20, 2.0)}
    judge = Judge(lambda c: _pass(c) if 60 < c.after[c.core > 0].mean() < 200 else _fail("colour_drift")(c))
    plan = _plain(_plan(judge, engines))
    outcome = run([Work(job, (_region(0, 30, 30, 50, 50, job),))], plan)[0].regions[0]
    assert [attempt.engine for attempt in outcome.attempts] == ["first", "first"]
    assert outcome.attempts[1].reason.startswith(
        "confidence 0.20 < 0.70 (low-frequency mismatch=1.00): re-run with histogram match: "
    )
    assert outcome.decision == "filled"


def test_broken_structure_asks_exemplars_for_another_scale_once():
    job = _job()
    copies = Paint("copies", 9)
    copies.spec = EngineSpec("copies", "MIT", 1.0, exemplars=True)
    last = Paint("last", 9, 2.0)
    plan = _plan(Judge(_fail("structure")), {"copies": copies, "last": last})
    run([Work(job, (_region(0, 30, 30, 50, 50, job),))], plan)
    assert [batch[0].variant for batch in copies.batches] == [0, 1]
    assert [batch[0].variant for batch in last.batches] == [0]


def _rivals(judge, **attempts):
    engines = {"cheap": Paint("cheap", 10), "dear": Paint("dear", 200, 50.0)}
    plan = _plan(judge, engines, **attempts)
    rule = RouteRule(engine="cheap", against="dear")
    plan.config = plan.config.model_copy(update={"route": RouteConfig(engines=("cheap", "dear"), rules=(rule,))})
    return plan


def _by_value(dark, bright):
    return Judge(lambda c: Verdict(bright if c.after[c.core > 0].mean() > 100 else dark, {}, ("seam",)))


def test_of_two_engines_side_by_side_the_better_counts_and_both_are_recorded():
    job = _job()
    region = _region(0, 30, 30, 50, 50, job)
    edit = run([Work(job, (region,))], _rivals(_by_value(0.75, 0.9)))[0]
    outcome = edit.regions[0]
    assert [(a.number, a.engine, a.confidence) for a in outcome.attempts] == [(1, "cheap", 0.75), (1, "dear", 0.9)]
    assert outcome.attempts[0].reason.endswith("; not taken, 0.75 against 0.90 of dear")
    assert (outcome.route.engine, outcome.decision) == ("dear", "filled")
    assert edit.rgb[40, 40].min() > 150
    drift = Judge(lambda c: Verdict(0.4 if c.after[c.core > 0].mean() > 100 else 0.2, {}, ("colour_drift",)))
    again = run([Work(job, (region,))], _rivals(drift))[0].regions[0].attempts
    assert [(a.number, a.engine) for a in again] == [(1, "cheap"), (1, "dear"), (2, "dear")], "the winner is remedied"
    other = run([Work(job, (region,))], _rivals(_by_value(0.9, 0.75)))[0].regions[0]
    assert other.route.engine == "cheap"


def test_rivals_that_both_fail_have_both_been_tried():
    job = _job()
    outcome = run([Work(job, (_region(0, 30, 30, 50, 50, job),))], _rivals(_by_value(0.2, 0.3)))[0].regions[0]
    assert [a.engine for a in outcome.attempts] == ["cheap", "dear"]
    assert (outcome.decision, outcome.confidence) == ("review", 0.3)


def test_a_rival_that_the_budget_has_no_room_for_is_not_tried():
    job = _job()
    outcome = run([Work(job, (_region(0, 30, 30, 50, 50, job),))], _rivals(_by_value(0.9, 1), max_cost_units=0.1))[0]
    assert [a.engine for a in outcome.regions[0].attempts] == ["cheap"]


def test_what_an_engine_says_of_its_fill_stands_in_the_attempt():
    job = _job()
    paint = Paint("paint", 7)
    paint.remarks = [Remark(), Remark("pool insufficient, fallback to pde")]
    regions = (_region(0, 10, 10, 20, 20, job), _region(1, 60, 40, 80, 60, job))
    outcomes = run([Work(job, regions)], _plan(Judge(_pass), {"paint": paint}))[0].regions
    reasons = [outcome.attempts[0].reason for outcome in outcomes]
    assert reasons[0].endswith(": paint")
    assert reasons[1].endswith(": paint; pool insufficient, fallback to pde")


class Choosy(Paint):
    """Has nothing to offer for the wide regions: what it returns there is another engine's."""

    def __init__(self, name, colour, stand_in="", cost=1.0):
        super().__init__(name, colour, cost)
        self.spec = EngineSpec(name, "MIT", cost, uncovers=True, stand_in=stand_in)

    def fill(self, requests):
        refused = Remark("it is opaque, fallback to dear", "it is opaque")
        self.remarks = [refused if request.core.sum() > 300 else Remark() for request in requests]
        return super().fill(requests)


def _choosy(judge, stand_in="", **attempts):
    engines = {"cheap": Paint("cheap", 10), "choosy": Choosy("choosy", 60, stand_in), "dear": Paint("dear", 90, 3.0)}
    plan = _plain(_plan(judge, engines, **attempts))
    rules = (RouteRule(engine="choosy"), RouteRule(engine="dear"))
    plan.config = plan.config.model_copy(update={"route": RouteConfig(engines=tuple(engines), rules=rules)})
    return plan


def _wide_and_narrow(job):
    return _region(0, 10, 10, 20, 20, job), _region(1, 50, 30, 80, 60, job)


def test_what_an_engine_refuses_goes_to_the_next_one_in_the_same_round():
    job, judge = _job(), Judge(_pass)
    plan = _choosy(judge)
    edit = run([Work(job, _wide_and_narrow(job))], plan)[0]
    narrow, wide = edit.regions
    assert (narrow.route.engine, wide.route.engine) == ("choosy", "dear")
    assert edit.rgb[15, 15].tolist() == [60] * 3
    assert edit.rgb[45, 65].tolist() == [90] * 3
    assert wide.attempts[0].reason.endswith(": choosy, but it is opaque: dear")
    assert [a.number for a in wide.attempts] == [1]
    assert wide.attempts[0].cost_units == pytest.approx(4 * narrow.attempts[0].cost_units * _area_ratio(plan))
    assert judge.calls == [2]


def _area_ratio(plan):
    narrow, wide = (request.crop.shape for request in plan.engines["choosy"].batches[0])
    return wide[0] * wide[1] / (narrow[0] * narrow[1])


def test_the_fill_that_came_with_a_refusal_is_not_made_again():
    job = _job()
    plan = _choosy(Judge(_pass), stand_in="dear")
    wide = run([Work(job, _wide_and_narrow(job))], plan)[0].regions[1]
    assert wide.route.engine == "dear"
    assert plan.engines["dear"].batches == []
    narrow_cost = run([Work(job, _wide_and_narrow(job))], plan)[0].regions[0].attempts[0].cost_units
    assert wide.attempts[0].cost_units == pytest.approx(narrow_cost * _area_ratio(plan))


def test_where_no_other_engine_is_left_the_fill_that_came_with_a_refusal_stands():
    job = _job()
    plan = _choosy(Judge(_pass))
    plan.engines = {"choosy": plan.engines["choosy"]}
    plan.config = plan.config.model_copy(update={"route": RouteConfig(engines=("choosy",), rules=())})
    wide = run([Work(job, _wide_and_narrow(job))], plan)[0].regions[1]
    assert (wide.route.engine, wide.decision) == ("choosy", "filled")
    assert wide.attempts[0].reason.endswith("it is opaque, fallback to dear")


def test_engines_that_are_handed_a_region_are_within_the_budget():
    job = _job()  # an engine's look at it costs 0.011, 0.032 the dear one's
    wide = _wide_and_narrow(job)[1:]
    assert run([Work(job, wide)], _choosy(Judge(_pass), max_cost_units=0.025))[0].regions[0].route.engine == "cheap"
    both = (*wide, _region(1, 14, 30, 44, 60, job))
    edit = run([Work(job, both)], _choosy(Judge(_pass), max_cost_units=0.06))[0]
    assert [outcome.route.engine for outcome in edit.regions] == ["dear", "choosy"], "one dear one fits"


def test_an_engine_that_refused_is_not_asked_again():
    job = _job()
    plan = _choosy(Judge(_fail("texture_ratio")))
    rules = (RouteRule(engine="choosy"), RouteRule(engine="cheap"), RouteRule(engine="dear"))
    plan.config = plan.config.model_copy(update={"route": plan.config.route.model_copy(update={"rules": rules})})
    wide = run([Work(job, _wide_and_narrow(job)[1:])], plan)[0].regions[0]
    assert [a.engine for a in wide.attempts] == ["cheap", "dear"]
    assert len(plan.engines["choosy"].batches) == 1


def test_only_a_share_of_the_regions_may_diffuse():
    jobs = [_job("x" * number) for number in range(1, 41)]
    plain, diffusion = Paint("plain", 10), Paint("diffusion", 99)
    diffusion.spec = EngineSpec("diffusion", "MIT", 1.0, diffuses=True)
    work = [Work(job, (_region(0, 30, 30, 50, 50, job),)) for job in jobs]
    shares = {}
    for share in (0.0, 0.3, 1.0):
        plan = _plan(Judge(_pass), {"diffusion": diffusion, "plain": plain})
        route = RouteConfig(engines=("diffusion", "plain"), rules=(), max_diffusion_share=share)
        plan.config = plan.config.model_copy(update={"route": route})
        taken = [edit.regions[0].route.engine for edit in run(work, plan)]
        shares[share] = taken.count("diffusion") / len(taken)
        assert taken == [edit.regions[0].route.engine for edit in run(work, plan)]
    assert shares[0.0] == 0
    assert 0.1 < shares[0.3] < 0.5
    assert shares[1.0] == 1


def test_a_fill_is_judged_with_what_its_neighbours_became():
    job = _job()
    near = (_region(0, 20, 20, 40, 30, job), _region(1, 46, 20, 60, 30, job))
    seen = []

    def remember(candidate):
        seen.append(candidate)
        return _pass(candidate)

    plan = _plain(_plan(Judge(remember), {"paint": Paint("paint", 7)}))
    run([Work(job, near)], plan)
    assert [int(candidate.invalid.sum() - candidate.core.sum()) > 100 for candidate in seen] == [True, True]
    for candidate in seen:
        deep = cv2.erode(candidate.invalid, np.ones((7, 7), np.uint8)) > 0  # within the feather
        assert np.all(candidate.after[deep] == 7)


def test_what_never_holds_up_keeps_its_pixels():
    job = _job()
    good, bad = _region(0, 10, 10, 20, 20, job), _region(1, 60, 40, 80, 60, job)
    judge = Judge(lambda c: _pass(c) if c.region.region_id == 0 else _fail("seam")(c))
    edit = run([Work(job, (good, bad))], _plan(judge))[0]
    assert [outcome.decision for outcome in edit.regions] == ["filled", "review"]
    assert np.array_equal(edit.rgb[bad.box.slices], job.image.rgb[bad.box.slices])
    assert edit.alpha[bad.box.slices].max() == 0
    assert edit.alpha[good.box.slices].max() == 1
    assert edit.regions[1].confidence == 0.2


def test_attempts_are_bounded():
    job = _job()
    engines = {str(i): Paint(str(i), i) for i in range(6)}
    outcome = run([Work(job, (_region(0, 9, 9, 20, 20, job),))], _plan(Judge(_fail("seam")), engines, max_attempts=2))
    assert len(outcome[0].regions[0].attempts) == 2


def test_cost_units_are_bounded_per_image_and_deterministic():
    job, other = _job("a"), _job("bb")
    dear = Paint("dear", 5, cost=1000.0)

    def regions(job):
        return tuple(_region(i, 20 + 30 * i, 20, 40 + 30 * i, 40, job) for i in range(2))

    work = [Work(job, regions(job)), Work(other, regions(other))]
    edits = run(work, _plan(Judge(_pass), {"dear": dear}, max_cost_units=10))
    for edit, item in zip(edits, work, strict=True):
        assert [outcome.decision for outcome in edit.regions] == ["filled", "review"]
        assert "budget" in edit.regions[1].route.reason
        assert edit.regions[1].attempts == ()
        seen = item.regions[0].box.expand(RouteConfig().context_px, 120, 90)
        assert edit.regions[0].attempts[0].cost_units == pytest.approx(1000 * seen.area_px / 1e6)


def test_settled_regions_are_reported_in_order_and_not_touched():
    job = _job()
    kept, filled = _region(0, 10, 10, 20, 20, job), _region(1, 60, 40, 80, 60, job)
    edit = run([Work(job, (filled,), (RegionOutcome(kept, "kept"),))], _plan(Judge(_pass)))[0]
    assert [outcome.decision for outcome in edit.regions] == ["kept", "filled"]
    assert np.array_equal(edit.rgb[kept.box.slices], job.image.rgb[kept.box.slices])


def test_nothing_to_do():
    job = _job()
    edit = run([Work(job, ())], _plan(Judge(_pass)))[0]
    assert np.array_equal(edit.rgb, job.image.rgb)
    assert edit.alpha.shape == (90, 120)
    assert edit.alpha.max() == 0
    assert edit.regions == ()
    assert run([], _plan(Judge(_pass))) == []


def test_a_region_of_the_whole_picture_and_a_tiny_picture():
    judge = Judge(_fail("seam"))
    for shape in ((1, 1), (9, 12)):
        job = _job(shape=shape)
        edit = run([Work(job, (_region(0, 0, 0, shape[1], shape[0], job),))], _plan(judge))[0]
        assert edit.regions[0].decision == "review"
        assert np.array_equal(edit.rgb, job.image.rgb)


def test_an_image_alone_and_in_a_batch_gives_the_same_pixels():
    jobs = [_job("a"), _job("bb")]
    work = [Work(job, (_region(0, 10, 10, 40, 40, job), _region(1, 60, 40, 80, 60, job))) for job in jobs]
    plan = _plan(Judge(_pass))
    plan.config = plan.config.model_copy(update={"regrain": RegrainConfig()})
    together, alone = run(work, plan)[1], run(work[1:], plan)[0]
    assert np.array_equal(together.rgb, alone.rgb)


def test_seeds_differ_by_image_region_and_base_and_never_change():
    seeds = {region_seed(s, i, r) for s in (0, 1) for i in ("a", "b") for r in (0, 1)}
    assert len(seeds) == 8
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert region_seed(4412, "photo", 0) == 8516212994637621316
