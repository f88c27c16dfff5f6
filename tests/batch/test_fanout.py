"""Fan-out: each wave replaces its own rows and nothing else."""

from __future__ import annotations

import pytest

from cleanplate.batch.fanout import drop_staging, fan_out
from cleanplate.errors import ContractError
from cleanplate.warehouse.ledger import Ledger
from cleanplate.warehouse.schemas import RUN_TABLES


def rows_of(warehouse, table):
    columns = [name for name in warehouse.frame(table).columns if name not in ("features", "timings")]
    return sorted(str(row) for row in warehouse.frame(table).select(*columns).collect())


def test_a_wave_is_split_over_the_tables_and_a_repeat_changes_nothing(warehouse, stage):
    run = Ledger(warehouse).start_run("b")
    stage(run, ["one", "two", "three"], masks=2, mark="x")
    assert fan_out(warehouse, "b", run.run_id, [0]) == {0: 3}
    first = {table: rows_of(warehouse, table) for table in RUN_TABLES}
    assert {table: len(rows) for table, rows in first.items()} == {"results": 3, "masks": 6, "diffs": 3, "metrics": 3}
    assert fan_out(warehouse, "b", run.run_id, [0]) == {0: 3}
    assert {table: rows_of(warehouse, table) for table in RUN_TABLES} == first
    mask = warehouse.frame("masks").where("image_id = 'one'").orderBy("region_id").first()
    assert mask["attempts"][0]["scores"] == {"seam": 0.1}
    assert bytes(mask["alpha_png"]) == b"a"


def test_a_later_wave_survives_and_an_empty_table_replaces_too(warehouse, stage):
    run = Ledger(warehouse).start_run("b")
    stage(run, ["one"], wave=0, masks=2)
    stage(run, ["two"], wave=1, masks=1)
    fan_out(warehouse, "b", run.run_id, [0])
    fan_out(warehouse, "b", run.run_id, [1])
    # The wave is staged anew and finds nothing this time: its former masks must go, the other wave's stay.
    drop_staging(warehouse, "b", run.run_id, [0])
    stage(run, ["one"], wave=0, masks=0)
    assert fan_out(warehouse, "b", run.run_id, [0]) == {0: 1}
    assert [(row["image_id"], row["wave"]) for row in warehouse.frame("masks").collect()] == [("two", 1)]
    assert sorted(row["image_id"] for row in warehouse.frame("results").collect()) == ["one", "two"]


def test_a_dropped_wave_is_not_wiped_by_a_late_repeat(warehouse, stage):
    run = Ledger(warehouse).start_run("b")
    stage(run, ["one"], wave=0)
    stage(run, ["two"], wave=1)
    fan_out(warehouse, "b", run.run_id, [0])
    drop_staging(warehouse, "b", run.run_id, [0])
    with pytest.raises(ContractError, match="staging dropped"):
        fan_out(warehouse, "b", run.run_id, [0])
    assert warehouse.frame("results").count() == 1
    assert [row["image_id"] for row in warehouse.frame("staging").collect()] == ["two"]


def test_several_waves_go_in_one_commit_per_table_and_others_stay(warehouse, stage):
    run = Ledger(warehouse).start_run("b")
    for wave, names in enumerate((["one"], ["two", "three"], ["four"])):
        stage(run, names, wave=wave, masks=1)
    fan_out(warehouse, "b", run.run_id, [0])
    before = warehouse.versions()
    assert fan_out(warehouse, "b", run.run_id, [2, 1]) == {1: 2, 2: 1}
    assert warehouse.versions() == {table: version + 1 for table, version in before.items()}
    found = sorted((row["image_id"], row["wave"]) for row in warehouse.frame("results").collect())
    assert found == [("four", 2), ("one", 0), ("three", 1), ("two", 1)]
    drop_staging(warehouse, "b", run.run_id, [1, 2])
    assert [row["image_id"] for row in warehouse.frame("staging").collect()] == ["one"]
    with pytest.raises(ContractError, match="wave 1 of run"):
        fan_out(warehouse, "b", run.run_id, [0, 1])
    assert warehouse.frame("results").count() == 4
