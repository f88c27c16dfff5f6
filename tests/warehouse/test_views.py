"""current.sql: the same text on Spark and without it, and what each view shows."""

from __future__ import annotations

import pytest

from cleanplate.batch.fanout import fan_out
from cleanplate.batch.publish import publish
from cleanplate.errors import ContractError
from cleanplate.warehouse import views
from cleanplate.warehouse.ledger import Ledger

TABLES = ("results", "masks", "diffs", "metrics")


def keys(rows):
    return sorted((row["run_id"], row["wave"], row["image_id"]) for row in rows)


def test_every_view_reads_the_same_with_and_without_spark(warehouse, stage, add_run, query_without_spark):
    """Two waves in the second of which an image is tried again, a layer, another batch, and an open run."""
    run = Ledger(warehouse).start_run("b")
    stage(run, ["x", "y", "z"], wave=0, status="failed", masks=0, retryable=True)
    stage(run, ["x", "y"], wave=1, masks=2)
    fan_out(warehouse, "b", run.run_id, [0])
    fan_out(warehouse, "b", run.run_id, [1])
    warehouse.delete("staging", "true")
    publish(warehouse, "b", run.run_id)
    add_run("other", ["y"])
    opened = add_run("b", ["x"], published=False)
    names = warehouse.register_views()
    assert names == views.names()
    found = {}
    for view in (f"{table}_{kind}" for table in TABLES for kind in ("current", "preview")):
        found[view] = keys(query_without_spark(view))
    for view in ("results_current", "masks_current", "diffs_preview"):
        assert found[view] == keys(warehouse.spark.table(view).select("run_id", "wave", "image_id").collect()), view
    first = "b-r0001"
    assert found["results_current"] == [(first, 0, "z"), (first, 1, "x"), ("other-r0001", 0, "y")]
    assert found["masks_current"] == [(first, 1, "x")] * 2, "no masks of the failed try, nor of the covered image"
    assert found["metrics_current"] == [(first, 0, "z"), (first, 1, "x")]
    assert found["results_preview"] == [(opened.run_id, 0, "x")]

    # A reader that pins the versions keeps seeing what it saw, whatever is published meanwhile.
    pins = warehouse.versions(views.TABLES_READ)
    publish(warehouse, "b", opened.run_id)
    assert keys(warehouse.current("results", pins).collect()) == found["results_current"]
    assert keys(query_without_spark("results_current")) == [("b-r0002", 0, "x"), ("other-r0001", 0, "y")]


def test_an_unknown_view_is_refused():
    with pytest.raises(ContractError, match="there are: active_runs, open_runs"):
        views.select("marks_current", {})
