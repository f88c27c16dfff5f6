"""Purge: everything of one run goes, nothing of another."""

from __future__ import annotations

import pytest

from cleanplate.batch import purge as purge_module
from cleanplate.batch.fanout import drop_staging, fan_out
from cleanplate.batch.publish import publish
from cleanplate.batch.purge import purge
from cleanplate.batch.rollback import roll_back
from cleanplate.errors import ContractError, StorageError
from cleanplate.warehouse.ledger import Ledger


@pytest.mark.slow
def test_of_two_runs_with_equal_results_only_one_goes(warehouse, add_run, stage, shown):
    for _ in range(2):
        run = add_run("b", [], published=False)
        stage(run, ["x", "y"], mark="same")
        fan_out(warehouse, "b", run.run_id, [0])
        drop_staging(warehouse, "b", run.run_id)
        publish(warehouse, "b", run.run_id)
    store = warehouse.objects
    kept, gone = (store.put("b", run, b"equal bytes", "png") for run in ("b-r0001", "b-r0002"))
    reviews = warehouse.spark.createDataFrame(
        [("b", run, "x", "good") for run in ("b-r0001", "b-r0002")],
        "batch_id string, run_id string, image_id string, verdict string",
    )
    warehouse.append(reviews, "reviews")
    taken = roll_back(warehouse, "b")
    event = purge(warehouse, "b", who="ann")
    assert (taken.run_id, event.run_id, event.state) == ("b-r0002", "b-r0002", "purged")
    assert "1 objects deleted" in event.note
    for table in ("results", "masks", "diffs", "metrics", "reviews"):
        assert {row["run_id"] for row in warehouse.frame(table).select("run_id").collect()} == {"b-r0001"}, table
    assert store.get(kept) == b"equal bytes"
    with pytest.raises(StorageError):
        store.get(gone)
    assert shown() == {"x": ("b-r0001", "cleaned"), "y": ("b-r0001", "cleaned")}


def test_a_killed_purge_is_finished_by_the_next(warehouse, add_run, shown, monkeypatch):
    add_run("b", ["x"])
    warehouse.objects.put("b", "b-r0001", b"data", "png")

    def die(*_args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(purge_module, "_delete_all", die)
        with pytest.raises(KeyboardInterrupt):
            purge(warehouse, "b", "b-r0001")
    assert Ledger(warehouse).last("b").state == "purging"
    assert shown() == {}, "the run stops counting before anything is deleted"
    assert purge(warehouse, "b").state == "purged"
    assert warehouse.objects.list("b") == []
    assert warehouse.frame("results").count() == 0
    with pytest.raises(ContractError, match="which is purged"):
        purge(warehouse, "b", "b-r0001")


def test_open_and_shown_runs_are_not_purged_by_accident(warehouse, add_run):
    add_run("b", ["x"], published=False)
    with pytest.raises(ContractError, match="roll back or abort"):
        purge(warehouse, "b")
    with pytest.raises(ContractError, match="cannot purge run b-r0001, which is running"):
        purge(warehouse, "b", "b-r0001")
