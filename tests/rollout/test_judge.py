"""Gates against facts: how sure a step is, what is missing, which stratum, which cause."""

import json

import numpy as np
import pandas as pd
import pytest

from cleanplate.rollout.facts import typed
from cleanplate.rollout.gates import Gate
from cleanplate.rollout.intervals import Moments
from cleanplate.rollout.judge import GateResult, judge
from cleanplate.rollout.judgement import COLUMNS, Judgement, gate_rows, last_judgement, remarks


def facts_of(count=50, bad=(), **columns):
    """Images of two devices; the bad ones (all of device "night") did not hold up."""
    numbers = range(count)
    values = {
        "image_id": [f"i{n:03d}" for n in numbers],
        "drawn": True,
        "always": False,
        "status": ["failed" if n in bad else "cleaned" for n in numbers],
        "message": ["the engine gave up" if n in bad else None for n in numbers],
        "confidence": [0.9 - 0.001 * n for n in numbers],
        "seam": [3.0 + n if n in bad else 1.0 for n in numbers],
        "engines": [["broken"] if n in bad else ["pde"] for n in numbers],
        "stratum.device": ["night" if n in bad or n == 1 else "day" for n in numbers],
    } | columns
    return typed(pd.DataFrame(values))


FAILED = Gate(name="failed", share='status == "failed"', limit=0.01)


def one(gate, facts, population=2000, baseline=None):
    return judge([gate], facts, population, baseline or {})[0]


def test_a_share_is_over_only_where_the_sample_is_sure():
    assert one(FAILED, facts_of()).sure == "0 of 50: at most 5.7 % with 95 %"
    two = one(FAILED, facts_of(bad=(2, 3)))
    assert (two.verdict, two.value, two.hits) == ("passed", 0.04, 2)
    assert two.low < 0.01 < two.high
    assert [name for name, _ in two.worst] == ["i003", "i002"], "over the limit by number: the worst are named"
    three = one(FAILED, facts_of(bad=(2, 3, 4)))
    assert (three.verdict, three.holds) == ("failed", True)
    assert three.low > 0.01
    whole = one(FAILED, facts_of(bad=(2,)), population=50)
    assert (whole.verdict, whole.low, whole.sure) == ("failed", 0.02, "1 of 50: all of them were looked at")


def test_the_cause_is_what_the_bad_ones_have_in_common():
    found = one(FAILED, facts_of(bad=(2, 3, 4, 5)))
    assert "4 of 4 have broken among engines, 0 of the 46 others" in found.cause
    assert "4 of 4 have device=night, 1 of the 46 others" in found.cause
    assert "such as: the engine gave up" in found.cause
    assert one(FAILED, facts_of(bad=(2, 3, 4), engines=[["pde"]] * 50)).cause.count("among engines") == 0


def test_a_stratum_is_judged_alone_but_by_a_stricter_bound():
    gate = FAILED.model_copy(update={"by": "strata", "limit": 0.2})
    all_images, night = judge([gate], facts_of(bad=range(2, 12)), 2000, {})
    assert (all_images.verdict, all_images.value) == ("passed", 0.2)
    assert (night.stratum, night.verdict, night.hits, night.images) == ("device=night", "failed", 10, 11)
    assert "97.5 %" in night.sure
    assert "10 of 10 have broken among engines, 0 of the 1 others" in night.cause, "compared within the stratum"
    devices = ["night" if n < 4 else f"day {n % 9}" for n in range(50)]
    strict = FAILED.model_copy(update={"by": "strata"})
    single = facts_of(bad=(2,), **{"stratum.device": devices})
    assert len(judge([strict], single, 60, {})) == 1, "one image of a small stratum is no proof"
    pair = facts_of(bad=(2, 3), **{"stratum.device": devices})
    assert [result.stratum for result in judge([strict], pair, 2000, {})] == ["", "device=night"]


def test_what_is_missing_holds_or_passes():
    gate = Gate(name="error", mean="perceptual_error", limit=1)
    assert (one(gate, facts_of()).verdict, one(gate, facts_of()).holds) == ("missing", True)
    passing = gate.model_copy(update={"on_missing": "pass"})
    assert (one(passing, facts_of()).verdict, one(passing, facts_of()).holds) == ("missing", False)
    warning = gate.model_copy(update={"severity": "warn"})
    assert not one(warning, facts_of()).holds
    rising = Gate(name="error", mean="seam", rise=0.12)
    assert one(rising, facts_of()).sure == "no earlier run to compare with"


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "passed"), (1.1, "passed"), (1.5, "failed")])
def test_a_mean_may_rise_by_so_much_over_the_last_run(factor, verdict):
    gate = Gate(name="error", mean="seam", rise=0.12, by="strata")
    values = factor * np.random.default_rng(3).gamma(9, 0.1, 400)
    before = {"": {gate.text: Moments.of(values / factor)}}
    facts = facts_of(400, seam=values)
    found = judge([gate], facts, 4000, before)
    assert found[0].verdict == verdict
    assert found[0].value == pytest.approx(factor - 1, abs=1e-9)
    assert [result.stratum for result in found] == [""], "a stratum without an earlier run is not named"


def test_means_totals_quantiles_and_maxima():
    facts = facts_of(bad=(7,), seconds=[2.0 + n % 2 for n in range(50)])
    assert one(Gate(name="a", mean="seconds", limit=2.4), facts).verdict == "passed"
    assert one(Gate(name="a", mean="seconds", limit=2.3), facts).verdict == "failed"
    total = one(Gate(name="a", total="seconds / 3600", limit=1), facts, population=2000)
    assert (total.value, total.verdict) == (pytest.approx(2.5 * 2000 / 3600), "failed")
    assert one(Gate(name="a", max="seam", limit=0), facts).value == 10
    assert one(Gate(name="a", max="seam", limit=11), facts).verdict == "passed"
    half = one(Gate(name="a", p50="seconds", limit=2.5), facts)
    assert (half.value, half.verdict) == (2.5, "passed")
    assert one(Gate(name="a", p50="seconds", limit=1.9), facts).verdict == "failed"
    assert one(Gate(name="a", p95="seam", limit=2), facts).verdict == "passed", "one of 50 is less than 5 %"


def test_the_labelled_set_is_judged_by_itself():
    facts = facts_of(50, bad=(48, 49), drawn=[n < 48 for n in range(50)], always=[n >= 47 for n in range(50)])
    assert one(FAILED, facts).value == 0
    worst = one(FAILED.model_copy(update={"images": "always"}), facts)
    assert (worst.hits, worst.images, worst.verdict) == (2, 3, "failed")


def test_a_judgement_stands_in_the_ledger_and_reads_well():
    results = tuple(judge([FAILED, Gate(name="slow", mean="seconds", limit=1)], facts_of(bad=(2, 3, 4)), 2000, {}))
    found = Judgement(1, 3, 50, 2000, results)
    text = found.to_json()
    assert json.loads(text)["passed"] is False
    assert Judgement.from_json(text) == found
    assert found.blocked == ("failed", "slow")
    assert found.note == "step 1 of 3, 50 of 2000 images: held by failed, slow"
    rows = gate_rows(found)
    assert all(len(row) == len(COLUMNS) for row in rows)
    assert rows[0][2:5] == ("failed", "6 %", "1 %")
    assert any("device=night" in line for line in remarks(found))
    assert last_judgement([], "r") is None


def test_infinite_bounds_survive_json():
    result = GateResult("a", "block", "passed", False, "max of seam", value=1.0, high=float("inf"))
    assert json.loads(json.dumps(result.as_dict()))["high"] is None
