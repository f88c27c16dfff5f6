"""Runs in steps on Spark: a broken engine is stopped early, a kill costs nothing, drift asks for a person."""

import json
from collections import Counter

import pytest
from pyspark.sql import functions as F  # noqa: N812

from cleanplate.batch import waves
from cleanplate.batch.publish import approve
from cleanplate.batch.run import RunOptions, clean_batch
from cleanplate.cli.main import main
from cleanplate.config import load_config
from cleanplate.errors import ConfigError, ContractError, HeldError
from cleanplate.rollout.arms import arms_of_run
from cleanplate.rollout.judgement import asked_confidence, last_judgement
from cleanplate.rollout.steps import clean_batch_in_steps
from cleanplate.warehouse.ledger import Ledger

from .conftest import FAST, digests

STEPS = ("rollout.min_images=24", "rollout.steps=[0.1, 1]")


class Silent:
    def begin(self, images):
        pass

    def finish(self):
        pass


class Cut(BaseException):
    """What a kill looks like from inside."""


def arguments(settings):
    return [word for setting in settings for word in ("--set", setting)]


def run(warehouse, batch_id, *settings, **options):
    config = load_config(overrides=[*FAST, *STEPS, *settings])
    return clean_batch_in_steps(warehouse, batch_id, config, RunOptions(staged=True, **options), Silent())


def done(warehouse, run_id):
    return {row.image_id for row in warehouse.frame("results").where(F.col("run_id") == run_id).collect()}


@pytest.mark.slow
def test_an_engine_that_spoils_three_percent_is_stopped_and_the_repaired_one_goes_through(
    warehouse, make_batch, broken_engine, capsys
):
    batch = make_batch("spring", 64)
    verb = ["clean", "--batch", "spring", "--warehouse", str(warehouse.location), "--staged", "--auto-approve"]
    assert main([*verb, *arguments([*FAST, *STEPS, *broken_engine])]) == 3
    said = capsys.readouterr().out
    assert "held by inconsistent_background" in said
    assert "inconsistent_background (device=night): all that were looked at" in said
    found = last_judgement(Ledger(warehouse).events("spring"), "spring-r0001")
    assert (found.step, found.images) == (1, 24), "not all images were cleaned before somebody looked"
    assert warehouse.current("results").count() == 0, "nothing was published"
    assert warehouse.preview("results").count() == found.images

    assert main([*verb, "--new-run", *arguments([*FAST, *STEPS])]) == 0
    assert "reviews: no verdict changes what is shown" in capsys.readouterr().out
    events = Ledger(warehouse).events("spring")
    actions = [event.action for event in events if event.run_id == "spring-r0002"]
    assert actions == ["start", "hold", "approve", "publish"]
    judged = [json.loads(event.scope)["step"] for event in events if event.gates]
    assert judged == [1, 1, 2]
    assert warehouse.current("results").count() == 64
    assert main(["rollback", "--batch", "spring", "--warehouse", str(warehouse.location)]) == 0
    assert warehouse.current("results").count() == 0
    assert digests(batch.paths) == batch.digests


@pytest.mark.slow
def test_a_person_approves_each_step_and_a_kill_amid_one_costs_nothing(warehouse, make_batch, monkeypatch, tmp_path):
    make_batch("b", 72)
    always = tmp_path / "worst.txt"
    always.write_text("0007  # a labelled one\n0070\nof another batch\n")
    arms = ("rollout.arm_b_share=0.4", "rollout.arm_b_settings={mask: {feather_sigma_px: 2.0}}")
    settings = (f"rollout.always={always}", *arms)
    first = run(warehouse, "b", *settings)
    assert (first.state, first.run_id) == ("held", "b-r0001")
    sample = done(warehouse, "b-r0001")
    assert {"0007", "0070"} <= sample
    assert 24 <= len(sample) <= 26
    with pytest.raises(HeldError, match="moves it on to its next step"):
        run(warehouse, "b", *settings)
    assert approve(warehouse, "b", who="me").state == "running"
    assert warehouse.current("results").count() == 0

    def cut(*_):
        raise Cut

    with monkeypatch.context() as patch:
        patch.setattr(waves, "fan_out", cut)
        with pytest.raises(Cut):
            run(warehouse, "b", *settings)
    always.write_text("0007\n")
    with pytest.raises(ContractError, match=r"rollout\.always names other images"):
        run(warehouse, "b", *settings)
    always.write_text("0007\n0070\n")
    assert run(warehouse, "b", *settings, auto_approve=True).state == "published"
    results = warehouse.current("results").collect()
    assert len(results) == 72
    assert set(Counter(row.image_id for row in warehouse.frame("results").collect()).values()) == {1}
    assert sample < done(warehouse, "b-r0001")
    arm_of = {row.image_id: row.arm for row in results}
    assert 0.2 < list(arm_of.values()).count("B") / 72 < 0.6
    for table in ("masks", "diffs", "metrics"):
        assert {(row.image_id, row.arm) for row in warehouse.frame(table).collect()} == set(arm_of.items())
    coverage = warehouse.frame("masks").groupBy("arm").agg(F.avg("coverage").alias("mean")).collect()
    means = {row.arm: row.mean for row in coverage}
    assert means["A"] != pytest.approx(means["B"], abs=1e-3), "arm B has a wider feather"
    assert {item.what for item in arms_of_run(warehouse, "b", "b-r0001")} >= {"cleaned", "seam", "confidence"}


@pytest.mark.slow
def test_a_batch_that_drifts_waits_for_a_person_whatever_was_asked_for(warehouse, make_batch):
    make_batch("old", 64)
    config = load_config(overrides=list(FAST))
    assert clean_batch(warehouse, "old", config, RunOptions(), Silent()).state == "published"
    make_batch("new", 48, start=64)
    other = ("route.engines=[pde]", "route.rules=[{engine: pde}]")
    held = run(warehouse, "new", *other, auto_approve=True)
    assert held.state == "held"
    events = Ledger(warehouse).events("new")
    found = last_judgement(events, "new-r0001")
    assert {drift.what for drift in found.drift} == {"route flat", "route pde"}
    assert found.compared == ("old-r0001",)
    assert found.blocked == ()
    assert asked_confidence(events, "new-r0001") == pytest.approx(0.8)
    with pytest.raises(HeldError):
        run(warehouse, "new", *other, auto_approve=True)
    approve(warehouse, "new")
    assert run(warehouse, "new", *other, auto_approve=True).state == "held", "the next step waits as well"


def test_gates_are_read_before_anything_is_started(warehouse, make_batch, tmp_path):
    make_batch("b", 2)
    path = tmp_path / "gates.yaml"
    path.write_text("gates:\n  - name: failed\n    shore: seam > 2\n    limit: 0\n")
    with pytest.raises(ConfigError, match="line 3: a gate has no 'shore'"):
        run(warehouse, "b", f"rollout.gates={path}")
    assert Ledger(warehouse).events("b") == []
