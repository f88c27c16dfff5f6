"""Publish, roll back, republish: what a batch shows, over several runs, layers and batches."""

from __future__ import annotations

import pytest

from cleanplate.batch.publish import abort, approve, hold, publish
from cleanplate.batch.purge import purge
from cleanplate.batch.rollback import republish, roll_back
from cleanplate.errors import ContractError
from cleanplate.warehouse.ledger import Ledger


def test_one_run_is_published_and_taken_back_to_the_originals(warehouse, add_run, shown):
    event = add_run("b", ["x", "y"])
    assert (event.state, event.publish_seq, event.counts) == ("published", 1, {"cleaned": 2})
    assert set(event.table_versions) == {"results", "masks", "diffs", "metrics"}
    assert shown() == {"x": ("b-r0001", "cleaned"), "y": ("b-r0001", "cleaned")}
    back = roll_back(warehouse, "b", who="ann")
    assert (back.run_id, back.state, back.active_runs, back.who) == ("b-r0001", "rolled_back", (), "ann")
    assert shown() == {}
    with pytest.raises(ContractError, match="nothing to roll back"):
        roll_back(warehouse, "b")
    again = republish(warehouse, "b", "b-r0001")
    assert (again.publish_seq, again.counts) == (2, {"cleaned": 2})
    assert shown()["x"] == ("b-r0001", "cleaned")


def test_two_runs_of_a_batch_go_back_one_by_one(warehouse, add_run, shown):
    add_run("b", ["x", "y"])
    add_run("b", ["x"])
    assert shown() == {"x": ("b-r0002", "cleaned")}, "a base run replaces the run before it whole"
    roll_back(warehouse, "b")
    assert shown() == {"x": ("b-r0001", "cleaned"), "y": ("b-r0001", "cleaned")}
    roll_back(warehouse, "b")
    assert shown() == {}


def test_rolling_an_older_batch_back_leaves_the_newer_on_top(warehouse, add_run, shown):
    add_run("old", ["x", "only"])
    add_run("new", ["x"])
    assert shown() == {"x": ("new-r0001", "cleaned"), "only": ("old-r0001", "cleaned")}
    add_run("old", ["x", "only"])
    assert shown()["x"] == ("old-r0002", "cleaned"), "the latest publication counts"
    roll_back(warehouse, "old")
    assert shown() == {"x": ("new-r0001", "cleaned"), "only": ("old-r0001", "cleaned")}, "its own old number counts"
    roll_back(warehouse, "old")
    assert shown() == {"x": ("new-r0001", "cleaned")}
    roll_back(warehouse, "new")
    assert shown() == {}


def test_a_layer_counts_where_it_has_the_image_and_goes_with_its_base(warehouse, add_run, shown):
    add_run("b", ["x", "y"])
    add_run("b", ["y"], run_kind="layer", status="restored")
    assert shown() == {"x": ("b-r0001", "cleaned"), "y": ("b-r0002", "restored")}
    assert [run.publish_seq for run in Ledger(warehouse).last("b").active_runs] == [1, 2]
    add_run("b", ["x", "y"])
    roll_back(warehouse, "b")
    assert shown() == {"x": ("b-r0001", "cleaned"), "y": ("b-r0002", "restored")}
    roll_back(warehouse, "b", to="b-r0001")
    assert shown() == {"x": ("b-r0001", "cleaned"), "y": ("b-r0001", "cleaned")}, "back to before the layer"
    roll_back(warehouse, "b")
    assert shown() == {}


def test_rows_that_failed_cover_nothing_but_show_alone(warehouse, add_run, shown):
    add_run("old", ["x"])
    add_run("new", ["x", "z"], status="review")
    assert shown() == {"x": ("old-r0001", "cleaned"), "z": ("new-r0001", "review")}
    add_run("third", ["x"], status="refused")
    assert shown()["x"] == ("third-r0001", "refused")


@pytest.mark.slow
def test_purged_runs_are_skipped_and_their_names_never_used_again(warehouse, add_run, shown):
    for _ in range(3):
        add_run("b", ["x"])
    assert purge(warehouse, "b", "b-r0002").state == "purged"
    with pytest.raises(ContractError, match="was purged"):
        roll_back(warehouse, "b", to="b-r0002")
    roll_back(warehouse, "b")
    assert shown() == {"x": ("b-r0001", "cleaned")}, "past the purged run to the one before"
    assert Ledger(warehouse).start_run("b").run_id == "b-r0004"


def test_unknown_targets_and_no_change_are_refused(warehouse, add_run):
    add_run("b", ["x"])
    with pytest.raises(ContractError, match="no event '17'"):
        roll_back(warehouse, "b", to=17)
    with pytest.raises(ContractError, match="already shows b-r0001"):
        roll_back(warehouse, "b", to="b-r0001")
    with pytest.raises(ContractError, match="nothing to roll back"):
        roll_back(warehouse, "unknown")
    with pytest.raises(ContractError, match="cannot republish run b-r0001, which is published"):
        republish(warehouse, "b", "b-r0001")


def test_a_run_is_held_approved_and_only_then_shown(warehouse, add_run, shown, query_without_spark):
    run = add_run("b", ["x"], published=False)
    hold(warehouse, "b", run.run_id, gates='{"results": [{"gate": "residual_text", "holds": false}]}')
    with pytest.raises(ContractError, match="which is held: `approve`"):
        publish(warehouse, "b", run.run_id)
    assert shown() == {}
    assert [row["run_id"] for row in query_without_spark("results_preview")] == [run.run_id]
    assert approve(warehouse, "b", who="ann").state == "published"
    assert shown() == {"x": (run.run_id, "cleaned")}
    assert query_without_spark("results_preview") == []
    with pytest.raises(ContractError, match="no open run"):
        approve(warehouse, "b")


def test_an_aborted_run_is_never_shown_and_not_published(warehouse, add_run, shown, query_without_spark):
    run = add_run("b", ["x"], published=False)
    with pytest.raises(ContractError, match="still running"):
        Ledger(warehouse).start_run("b")
    assert abort(warehouse, "b").state == "aborted"
    with pytest.raises(ContractError, match="which is aborted"):
        publish(warehouse, "b", run.run_id)
    assert (shown(), query_without_spark("results_preview")) == ({}, [])


def test_an_unfinished_run_is_not_published(warehouse, stage, add_run):
    manifest = warehouse.frame("manifest")
    rows = [("b", name, f"/photos/{name}.png") for name in ("x", "y")]
    spark = warehouse.spark
    frame = spark.createDataFrame(rows, "batch_id string, image_id string, uri string")
    warehouse.append(manifest.unionByName(frame, allowMissingColumns=True).limit(10), "manifest")
    run = add_run("b", ["x"], published=False)
    with pytest.raises(ContractError, match="lacks 1 images"):
        publish(warehouse, "b", run.run_id)
    stage(run, ["y"], wave=1)
    with pytest.raises(ContractError, match="staged rows of wave 1"):
        publish(warehouse, "b", run.run_id, allow_partial=True)
