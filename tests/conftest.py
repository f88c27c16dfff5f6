"""Fixtures shared by all tests: one Spark session, a fresh warehouse per test, and runs made of synthetic rows."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

# Before torch and numpy are loaded. There is a test process per core; more threads than that wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items):
    """Whoever takes the session is marked `spark`."""
    for item in items:
        if "spark" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.spark)


@pytest.fixture(scope="session")
def spark():
    """One local session with Delta for the whole test process, tuned to start fast."""
    from cleanplate.spark.session import get_session

    session = get_session("cleanplate-tests")
    yield session
    session.stop()


@pytest.fixture(scope="session")
def ship(spark, tmp_path_factory):
    """Ships a module of the user's own to the workers: ship("name", source)."""

    def to_workers(name, source):
        module = tmp_path_factory.mktemp("plugin") / f"{name}.py"
        module.write_text(source)
        spark.addArtifacts(str(module), pyfile=True)

    return to_workers


@pytest.fixture(scope="session")
def warehouse_template(spark, tmp_path_factory):
    """An empty warehouse; tests copy it, because creating the tables takes seconds and copying them does not."""
    from cleanplate.warehouse.tables import Warehouse

    return Path(Warehouse(spark, tmp_path_factory.mktemp("template") / "wh").create().location)


@pytest.fixture
def warehouse(spark, warehouse_template, tmp_path):
    """A fresh warehouse in the test's own folder."""
    from cleanplate.warehouse.tables import Warehouse

    shutil.copytree(warehouse_template, tmp_path / "wh")
    return Warehouse(spark, tmp_path / "wh")


def staged_row(run, image_id, wave=0, status="cleaned", mark="", masks=1, retryable=False):
    """One row of staging as a tuple; `mark` is put into every table, so that a mixture shows."""
    from cleanplate.warehouse.schemas import STAGING

    digest = hashlib.sha256(f"{image_id}{mark}".encode()).hexdigest()
    values = {
        "batch_id": run.batch_id, "run_id": run.run_id, "wave": wave, "image_id": image_id, "attempt": 1,
        "config_hash": "c0ffee", "status": status, "uri": f"/photos/{image_id}.png", "source_sha256": digest,
        "result_uri": f"/results/{mark}/{image_id}.png", "result_sha256": digest, "media_type": "image/png",
        "result_bytes": 10, "width": 4, "height": 4, "confidence": 0.9, "retryable": retryable, "seed": 7,
        "timings": {"fill": 0.5}, "error_message": mark,
        "masks": [
            {"region_id": number, "kind": "stamp", "reason": mark, "confidence": 0.9, "alpha_png": b"a",
             "features": {"ring_std": 1.0},
             "attempts": [{"number": 1, "engine": "pde", "reason": mark, "failures": [], "scores": {"seam": 0.1}}]}
            for number in range(masks)
        ],
        "diff": {"kind": "local", "before_sha256": digest, "after_sha256": mark, "patch": b"p"},
        "metrics": [{"region_id": None, "name": f"changed{mark}", "value": 0.5}],
    }  # fmt: skip
    return tuple(values.get(name) for name in STAGING.fieldNames())


@pytest.fixture
def stage(warehouse):
    """Appends rows to staging: stage(run, ["a", "b"], wave=0, status="cleaned", mark="x", masks=1)."""
    from cleanplate.warehouse.schemas import STAGING

    def append(run, image_ids, **values):
        rows = [staged_row(run, image_id, **values) for image_id in image_ids]
        warehouse.append(warehouse.spark.createDataFrame(rows, STAGING), "staging")

    return append


@pytest.fixture
def add_run(warehouse):
    """Starts a run, writes its rows into results, and publishes it on request; returns its last event."""
    from cleanplate.batch.publish import publish
    from cleanplate.warehouse.ledger import Ledger
    from cleanplate.warehouse.schemas import RESULTS, STAGING

    def add(batch_id, image_ids, published=True, run_kind="base", **values):
        run = Ledger(warehouse).start_run(batch_id, run_kind, config_hash="c0ffee", who="tester")
        wide = [dict(zip(STAGING.fieldNames(), staged_row(run, name, **values), strict=True)) for name in image_ids]
        rows = [tuple(row[name] for name in RESULTS.fieldNames()) for row in wide]
        warehouse.append(warehouse.spark.createDataFrame(rows, RESULTS), "results")
        return publish(warehouse, batch_id, run.run_id, who="tester") if published else run

    return add


@pytest.fixture
def query_without_spark(warehouse):
    """Runs a view of current.sql by deltalake's query engine, on the files as they are now; rows as dicts."""
    import deltalake

    from cleanplate.warehouse import views

    def query(view):
        engine = deltalake.QueryBuilder()
        for table in views.TABLES_READ:
            engine = engine.register(table, deltalake.DeltaTable(f"{warehouse.location}/{table}"))
        answer = engine.execute(views.select(view, {table: table for table in views.TABLES_READ})).read_all()
        return [dict(zip(answer.column_names, row, strict=True)) for row in _tuples(answer)]

    return query


def _tuples(answer):
    return zip(*(answer.column(name).to_pylist() for name in answer.column_names), strict=True)


@pytest.fixture
def shown(query_without_spark):
    """image_id -> (run_id, status) of what counts now, as a reader without Spark sees it."""

    def read():
        return {row["image_id"]: (row["run_id"], row["status"]) for row in query_without_spark("results_current")}

    return read
