"""Verdicts in the tables: appended once, never lost, and made to count as layers."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from cleanplate.batch.apply import apply_verdicts
from cleanplate.batch.fanout import drop_staging, fan_out
from cleanplate.batch.publish import hold, publish
from cleanplate.batch.reviews import append_reviews, read_reviews
from cleanplate.batch.run import RunOptions, clean_batch
from cleanplate.batch.verdicts import Review, last_masks, without_mask
from cleanplate.errors import ContractError
from cleanplate.rollout.warehouse_store import WarehouseStore
from cleanplate.warehouse.ledger import Ledger

GATES = json.dumps({"results": [{"gate": "seams", "verdict": "failed", "holds": True, "worst": [["good", 0.4]]}]})
START = datetime(2026, 5, 1, 8, 30, 0, 123000, tzinfo=timezone.utc)


def verdict(image, decision, reviewer="ann", minute=0, run="b-r0001", **values):
    return Review("b", run, image, decision, reviewer, START + timedelta(minutes=minute), **values)


def painted(box):
    mask = np.zeros((48, 64), np.uint8)
    mask[box[1] : box[3], box[0] : box[2]] = 255
    return cv2.imencode(".png", mask)[1].tobytes()


def pixels_of(path):
    with Pillow.open(path) as picture:
        return np.array(picture)


@pytest.fixture
def everything(config):
    """A configuration under which every image is looked at."""
    return config.model_copy(update={"review": config.review.model_copy(update={"sample_share": 1.0})})


@pytest.mark.slow
def test_a_review_from_the_queue_to_what_is_shown(
    warehouse, ingested, everything, steps, shown, query_without_spark, pictures
):
    clean_batch(warehouse, "b", everything, RunOptions(), steps)
    store = WarehouseStore(warehouse, everything, "b").load_queue()
    items = {item.image_id: item for item in store.items()}
    assert sorted(items) == list("012345")
    assert items["3"].reasons == ("random sample for quality (100 %)",)
    (region,) = items["3"].candidates[0].regions
    assert (region["decision"], len(region["attempts"])) == ("filled", 1)
    assert np.abs(store.picture(items["3"], "b-r0001").astype(int) - 120).max() <= 3
    assert store.picture(items["3"], None)[15, 20].max() == 10

    # Two writers at once, with one verdict in common: nothing is lost, nothing counts twice.
    mine = [verdict("0", "reject", note="halo"), verdict("1", "accept"), verdict("2", "accept")]
    theirs = [verdict("2", "reject", "bob"), verdict("4", "accept", "bob"), mine[0]]
    with ThreadPoolExecutor(2) as pool:
        added = sum(pool.map(lambda reviews: append_reviews(warehouse, reviews), (mine, theirs)))
    assert added == 5
    assert store.add(mine) == 0
    assert set(store.reviews()) == {*mine, *theirs[:2]}

    # Run again: only what was painted changes, from the original, and nothing of it is shown yet.
    mask = painted((12, 10, 28, 22))  # the box that was given reaches from (10, 8) to (30, 24)
    store.add([verdict("3", "corrected", mask_png=mask)])
    found = store.run_again(items["3"], mask, "ann")
    assert (found.run_id, found.status) == ("b-r0002", "cleaned")
    original = store.picture(items["3"], None).copy()
    layer = query_without_spark("results_preview")
    assert [(row["run_id"], row["image_id"]) for row in layer] == [("b-r0002", "3")]
    again = pixels_of(layer[0]["result_uri"])
    assert np.abs(again[12:20, 14:26].astype(int) - 120).max() <= 3, "the mark is gone"
    again[10:22, 12:28] = original[10:22, 12:28]
    assert np.array_equal(again, original), "outside of what was painted every pixel is the original's"
    assert shown()["3"] == ("b-r0001", "cleaned")
    assert Ledger(warehouse).open_run("b") is None, "a layer that awaits a verdict is in nobody's way"
    reopened = WarehouseStore(warehouse, everything, "b").load_queue()
    assert [found.run_id for found in reopened.items()[3].candidates] == ["b-r0001", "b-r0002"]

    store.add([verdict("3", "accept", run="b-r0002")])
    done = apply_verdicts(warehouse, "b", "ann")
    assert (done.restored, done.corrected, done.conflicts) == (("0",), ("3",), ("2",))
    assert shown() == {
        "0": ("b-r0003", "restored"), "1": ("b-r0001", "cleaned"), "2": ("b-r0001", "cleaned"),
        "3": ("b-r0002", "cleaned"), "4": ("b-r0001", "cleaned"), "5": ("b-r0001", "cleaned"),
    }  # fmt: skip
    seq = Ledger(warehouse).last("b").seq
    assert apply_verdicts(warehouse, "b", "ann").restored == ()
    assert Ledger(warehouse).last("b").seq == seq, "a second time changes nothing"
    assert clean_batch(warehouse, "b", everything, RunOptions(), steps).nothing_to_do
    (kept,) = last_masks(read_reviews(warehouse, "b", with_masks=True))
    assert kept.mask_png == mask
    store.close()


@pytest.mark.slow
def test_what_was_held_back_and_accepted_is_shown_and_open_runs_wait(warehouse, stage, shown, query_without_spark):
    run = Ledger(warehouse).start_run("b", config_hash="c0ffee")
    stage(run, ["good", "back"], mark="x")
    warehouse.delete("staging", "image_id = 'back'")
    stage(run, ["back"], status="review", mark="y", masks=2)
    fan_out(warehouse, "b", run.run_id, [0])
    drop_staging(warehouse, "b", run.run_id)
    hold(warehouse, "b", run.run_id, gates=GATES)
    accepted = verdict("back", "accept")
    append_reviews(warehouse, [accepted, verdict("good", "reject")])
    assert apply_verdicts(warehouse, "b").waiting == ("back", "good")
    assert shown() == {}
    Ledger(warehouse).record("b", run.run_id, "approve")
    publish(warehouse, "b", run.run_id, allow_partial=True)
    append_reviews(warehouse, [verdict("good", "accept", minute=1)])
    assert shown()["back"] == ("b-r0001", "review")
    done = apply_verdicts(warehouse, "b", "ann")
    assert (done.shown, done.waiting) == (("back",), ())
    assert shown() == {"back": ("b-r0002", "cleaned"), "good": ("b-r0001", "cleaned")}
    masks = [row for row in query_without_spark("masks_current") if row["image_id"] == "back"]
    assert [(row["run_id"], row["reason"]) for row in masks] == [("b-r0002", "y")] * 2
    assert len(query_without_spark("diffs_current")) == 2, "undo finds the way back"
    with pytest.raises(ContractError, match="'maybe' is no verdict"):
        append_reviews(warehouse, [verdict("good", "maybe")])
    assert without_mask(accepted) in read_reviews(warehouse, "b")
