"""Vacuum: only what no run owns, and never within the rollback window."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from cleanplate.batch.history import batch_statuses, history
from cleanplate.batch.purge import purge
from cleanplate.batch.rollback import roll_back
from cleanplate.batch.vacuum import vacuum
from cleanplate.errors import ContractError


def aged(uri, days):
    then = time.time() - days * 86_400
    os.utime(uri, (then, then))
    return uri


@pytest.mark.slow
def test_vacuum_and_status(warehouse, add_run):
    """One warehouse with a shown, a rolled back, a purged and an open run, and strangers' objects beside them."""
    for _ in range(2):
        add_run("b", ["x"])
    purge(warehouse, "b", "b-r0001")
    roll_back(warehouse, "b", originals=True)
    add_run("b", ["x"])
    add_run("b", ["x"], published=False)
    store = warehouse.objects
    kept = [aged(store.put("b", f"b-r000{number}", b"data", "png"), 90) for number in (2, 3, 4)]
    late = store.put("b", "b-r0001", b"written by a worker that outlived the purge", "png")
    strange = aged(store.put("b", "b-r0077", b"data", "png"), 31)
    young = store.put("gone", "gone-r0001", b"data", "png")

    with pytest.raises(ContractError, match="would break the rollback window of 30 days"):
        vacuum(warehouse, retention_days=29)
    planned = vacuum(warehouse, dry_run=True)
    assert planned.objects == (late, strange)
    assert planned.tables == ()
    assert Path(strange).exists()
    done = vacuum(warehouse, retention_days=30, tables=["ledger"])
    assert done.objects == planned.objects
    assert done.tables == ("ledger",)
    assert [item.uri for item in store.list()] == sorted([*kept, young])

    (status,) = batch_statuses(warehouse, "b")
    assert (status.shows, status.open_run, status.images) == (["b-r0003"], "b-r0004", 0)
    assert [run.state for run in status.runs] == ["purged", "rolled_back", "published", "running"]
    assert [run.publish_seq for run in status.runs if run.active] == [3]
    assert status.runs[2].counts == {"cleaned": 1}
    assert [event["action"] for event in history(warehouse, "b")] == [
        "start", "publish", "start", "publish", "purge", "purged", "roll_back", "start", "publish", "start",
    ]  # fmt: skip
    with pytest.raises(ContractError, match="no batch 'c'; there are: b"):
        batch_statuses(warehouse, "c")
    with pytest.raises(ContractError, match="has no events"):
        history(warehouse, "c")
