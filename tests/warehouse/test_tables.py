"""The tables: creation, constraints, properties, migration, places."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from pyspark.sql.types import ArrayType, StructField, StructType

from cleanplate.errors import ConfigError, ContractError, StorageError
from cleanplate.warehouse import schemas
from cleanplate.warehouse.schemas import RESULTS, TABLES, Migration, where
from cleanplate.warehouse.tables import Warehouse


def log_of(warehouse, table):
    files = sorted(Path(warehouse.location, table, "_delta_log").glob("*.json"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def test_tables_are_readable_by_everyone_and_keep_the_rollback_window(warehouse):
    assert warehouse.create() is warehouse, "creating again does nothing"
    for table in TABLES:
        log = log_of(warehouse, table)
        protocols = [entry["protocol"] for entry in log if "protocol" in entry]
        assert all(protocol["minReaderVersion"] == 1 for protocol in protocols), (table, protocols)
        settings = [entry["metaData"]["configuration"] for entry in log if "metaData" in entry][-1]
        assert settings["delta.deletedFileRetentionDuration"] == "interval 30 days"
        assert settings["delta.enableDeletionVectors"] == "false"
        assert settings["delta.checkpointPolicy"] == "classic"
    assert warehouse.schema_version() == schemas.SCHEMA_VERSION


def test_bad_rows_are_rejected_and_nothing_is_written(warehouse):
    good = {"batch_id": "b", "run_id": "b-r0001", "wave": 0, "image_id": "x", "config_hash": "c", "attempt": 1,
            "status": "cleaned", "confidence": 0.5}  # fmt: skip
    for change in ({"status": "done"}, {"confidence": 1.5}):
        row = tuple((good | change).get(name) for name in RESULTS.fieldNames())
        with pytest.raises(StorageError, match="CHECK constraint"):
            warehouse.append(warehouse.spark.createDataFrame([row], RESULTS), "results")
    nameless = warehouse.spark.sql("SELECT 'b' AS batch_id, CAST(NULL AS STRING) AS image_id, '/x.png' AS uri")
    with pytest.raises(StorageError, match="NOT NULL"):
        warehouse.append(nameless, "manifest")
    assert warehouse.frame("results").count() == warehouse.frame("manifest").count() == 0


def test_rows_outside_the_predicate_are_refused(warehouse):
    rows = warehouse.spark.sql("SELECT 'b' AS batch_id, 'x' AS image_id, '/x.png' AS uri")
    warehouse.append(rows, "manifest")
    with pytest.raises(StorageError, match=r"does not conform|constraint"):
        warehouse.replace(rows, "manifest", where(batch_id="other"))
    assert warehouse.frame("manifest").count() == 1


def test_a_transaction_that_was_committed_is_not_committed_again(warehouse):
    rows = warehouse.spark.sql("SELECT 'b' AS batch_id, 'x' AS image_id, '/x.png' AS uri")
    for _ in range(2):
        warehouse.append(rows, "manifest", {"txnAppId": "run/0", "txnVersion": "1"})
    assert warehouse.frame("manifest").count() == 1


def test_an_older_warehouse_is_migrated_and_a_newer_one_refused(warehouse, monkeypatch):
    now = schemas.SCHEMA_VERSION
    steps = (
        Migration(now + 1, "reviews", "ALTER TABLE {name} SET TBLPROPERTIES ('cleanplate.test' = 'two')"),
        Migration(now + 2, "marks", "ALTER TABLE {name} ADD COLUMNS (origin STRING)"),
    )
    for module in (schemas, __import__("cleanplate.warehouse.tables", fromlist=["tables"])):
        monkeypatch.setattr(module, "SCHEMA_VERSION", now + 2)
    monkeypatch.setattr(schemas, "MIGRATIONS", steps)
    with pytest.raises(ContractError, match=f"schema version {now}, needed is {now + 2}"):
        warehouse.require()
    warehouse.create()
    assert warehouse.schema_version() == now + 2
    assert "origin" in warehouse.frame("marks").columns
    monkeypatch.undo()
    with pytest.raises(ContractError, match="upgrade cleanplate"):
        warehouse.create()


def test_the_first_version_gets_the_columns_that_were_added_and_twice_does_no_harm(spark, tmp_path, monkeypatch):
    enhancement = {"synthetic", "origin", "analysis", "enhancements", "enhance_reason", "picture"}
    added = dict.fromkeys(("results", "staging"), enhancement)
    added |= dict.fromkeys(("diffs", "masks", "metrics"), enhancement | {"arm", "mark_id"})
    added["marks"] = {"error_png", "anchor", "offset_x", "offset_y"}

    def without(kind, names):
        if isinstance(kind, ArrayType):
            return ArrayType(without(kind.elementType, names))
        return StructType([
            StructField(field.name, without(field.dataType, names | {"mark_id"}), field.nullable)
            if field.name in ("diff", "masks") else field
            for field in kind if field.name not in names
        ])  # fmt: skip

    warehouse = Warehouse(spark, tmp_path / "wh")
    for name, names in added.items():
        old = dataclasses.replace(TABLES[name], schema=without(TABLES[name].schema, names))
        spark.sql(schemas.create_statement(old, warehouse.name(name)))
    for _ in range(2):
        for step in schemas.MIGRATIONS:
            warehouse._run_step(step)
    for name in added:
        assert set(warehouse.frame(name).columns) == set(TABLES[name].schema.fieldNames())
    found = warehouse.frame("staging").schema["diff"].dataType
    assert set(found.fieldNames()) == set(TABLES["diffs"].schema.fieldNames()) - {
        "batch_id", "run_id", "wave", "image_id", "config_hash", "arm"
    }  # fmt: skip
    masks = warehouse.frame("staging").schema["masks"].dataType.elementType
    assert masks.fieldNames() == TABLES["staging"].schema["masks"].dataType.elementType.fieldNames()
    new = warehouse.frame("results").schema["enhancements"].dataType.elementType
    assert set(new.fieldNames()) == set(schemas.ENHANCE_STEP.fieldNames())


def test_places(spark, tmp_path):
    assert Warehouse(spark, "main.clean").name("results") == "main.clean.results"
    assert Warehouse(spark, "s3://bucket/wh/").name("ledger") == "delta.`s3a://bucket/wh/ledger`"
    assert Warehouse(spark, tmp_path / "wh").name("ledger") == f"delta.`{tmp_path}/wh/ledger`"
    assert Warehouse(spark, "main.clean").objects.root == "/Volumes/main/clean/objects"
    missing = Warehouse(spark, tmp_path / "none")
    assert not missing.exists()
    with pytest.raises(ContractError, match="there is no warehouse at"):
        missing.require()
    assert not (tmp_path / "none").exists(), "looking makes nothing"
    with pytest.raises(ConfigError, match="give a folder"):
        Warehouse(spark, "bad`name")
    with pytest.raises(ContractError, match="no table 'pictures'"):
        missing.name("pictures")


def test_by_catalog_with_persistent_views(spark, tmp_path):
    """In a catalog the names, the views and the objects' folder come from the catalog."""
    spark.sql(f"CREATE SCHEMA IF NOT EXISTS spark_catalog.cleanplate_test LOCATION '{tmp_path}/schema'")
    try:
        warehouse = Warehouse(spark, "spark_catalog.cleanplate_test").create()
        assert warehouse.objects.root == f"{tmp_path}/schema"
        rows = spark.sql("SELECT 'b' AS batch_id, 'x' AS image_id, '/x.png' AS uri")
        warehouse.append(rows, "manifest")
        warehouse.replace(rows, "manifest", where(batch_id="b"))
        assert warehouse.frame("manifest").count() == 1
        assert "spark_catalog.cleanplate_test.results_current" in warehouse.register_views()
        assert spark.table("spark_catalog.cleanplate_test.masks_current").count() == 0
    finally:
        spark.sql("DROP SCHEMA spark_catalog.cleanplate_test CASCADE")


def test_predicates_take_no_quotes():
    assert where(batch_id="b", wave=3) == "batch_id = 'b' AND wave = 3"
    with pytest.raises(ContractError, match="quote or a backslash"):
        where(batch_id="b' OR 'a' = 'a")
