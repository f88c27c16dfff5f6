"""The columns, constraints, partitions and properties of every table."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import pyarrow as pa
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    BooleanType,
    DataType,
    DoubleType,
    IntegerType,
    LongType,
    MapType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from cleanplate.errors import ContractError

SCHEMA_VERSION = 5
VERSION_PROPERTY = "cleanplate.schemaVersion"
ROLLBACK_DAYS = 30
STATUSES = ("cleaned", "unchanged", "review", "refused", "failed", "restored")
COVERING = ("cleaned", "unchanged", "refused", "restored")
STATES = ("running", "held", "published", "rolled_back", "aborted", "purging", "purged")

_TEXT, _INT, _LONG, _REAL = StringType(), IntegerType(), LongType(), DoubleType()
_FLAG, _BLOB, _TIME = BooleanType(), BinaryType(), TimestampType()
_NUMBERS, _WORDS, _TEXTS = MapType(_TEXT, _REAL), MapType(_TEXT, _TEXT), ArrayType(_TEXT)


def _struct(needed: dict[str, DataType], optional: dict[str, DataType] | None = None) -> StructType:
    fields = [StructField(name, kind, nullable=False) for name, kind in needed.items()]
    return StructType(fields + [StructField(name, kind) for name, kind in (optional or {}).items()])


def _optional(columns: dict[str, DataType]) -> StructType:
    return _struct({}, columns)


@dataclass(frozen=True)
class TableSpec:
    """What a table is made of.

    Attributes:
        name: of the table.
        schema: its columns, blobs last.
        partitions: columns that it is partitioned by.
        checks: SQL conditions every row must meet, by the constraint's name.
        keys: columns with min/max statistics (blobs must have none); the partitions need none.
    """

    name: str
    schema: StructType
    partitions: tuple[str, ...]
    checks: dict[str, str]
    keys: tuple[str, ...]


RUN_PARTITIONS = ("batch_id", "run_id", "wave")
_OUTPUT: dict[str, DataType] = {
    "batch_id": _TEXT, "run_id": _TEXT, "wave": _INT, "image_id": _TEXT, "config_hash": _TEXT,
}  # fmt: skip
ENHANCE_STEP = _optional({"name": _TEXT, "reason": _TEXT, "scale": _INT, "synthetic": _FLAG, "seconds": _REAL})
_ARM: dict[str, DataType] = {"arm": _TEXT}
_RESULT: dict[str, DataType] = {
    "uri": _TEXT, "source_sha256": _TEXT, "result_uri": _TEXT, "result_sha256": _TEXT, "media_type": _TEXT,
    "result_bytes": _LONG, "width": _INT, "height": _INT, "confidence": _REAL, "error_stage": _TEXT,
    "error_class": _TEXT, "error_message": _TEXT, "retryable": _FLAG, "seed": _LONG, "timings": _NUMBERS, "arm": _TEXT,
    "synthetic": _FLAG, "origin": _TEXT, "analysis": _NUMBERS, "enhancements": ArrayType(ENHANCE_STEP),
    "enhance_reason": _TEXT,
}  # fmt: skip
ATTEMPT = _optional({
    "number": _INT, "engine": _TEXT, "reason": _TEXT, "confidence": _REAL, "cost_units": _REAL, "scores": _NUMBERS,
    "failures": _TEXTS,
})  # fmt: skip
_MASK: dict[str, DataType] = {
    "region_id": _INT, "kind": _TEXT, "score": _REAL, "left": _INT, "top": _INT, "right": _INT, "bottom": _INT,
    "coverage": _REAL, "dilation_px": _INT, "source": _TEXT, "transcript": _TEXT, "decision": _TEXT, "engine": _TEXT,
    "reason": _TEXT, "features": _NUMBERS, "attempts": ArrayType(ATTEMPT), "confidence": _REAL, "alpha_png": _BLOB,
    "core_png": _BLOB, "confidence_png": _BLOB, "mark_id": _TEXT,
}  # fmt: skip
_DIFF: dict[str, DataType] = {
    "kind": _TEXT, "before_sha256": _TEXT, "after_sha256": _TEXT, "patch": _BLOB, "picture": _BLOB,
}  # fmt: skip
_METRIC: dict[str, DataType] = {"region_id": _INT, "name": _TEXT, "value": _REAL}

MANIFEST = _struct(
    {"batch_id": _TEXT, "image_id": _TEXT, "uri": _TEXT},
    {
        "sha256": _TEXT, "bytes": _LONG, "width": _INT, "height": _INT, "media_type": _TEXT, "rights": _TEXT,
        "regions": ArrayType(_optional({"left": _INT, "top": _INT, "right": _INT, "bottom": _INT, "kind": _TEXT})),
        "mask_uri": _TEXT, "remove": _TEXTS, "prompt": _TEXT, "seed": _LONG, "strength": _REAL, "mask_sigma": _REAL,
        "upscale": _INT, "arm": _TEXT, "strata": _WORDS, "ingested_at": _TIME,
    },
)  # fmt: skip
# A region's or a diff's fields stay nullable inside staging: Delta enforces no NOT NULL within an array.
STAGING = _struct(
    _OUTPUT | {"attempt": _INT, "status": _TEXT},
    _RESULT
    | {
        "metrics": ArrayType(_optional(_METRIC)),
        "diff": _optional(_DIFF),
        "masks": ArrayType(_optional(_MASK)),
    },
)
STAGING_FIELDS = tuple(STAGING.fieldNames())
RESULTS = _struct(_OUTPUT | {"attempt": _INT, "status": _TEXT}, _RESULT)
MASKS = _struct(
    _OUTPUT | {"region_id": _INT, "kind": _TEXT},
    _ARM | {name: kind for name, kind in _MASK.items() if name not in ("region_id", "kind")},
)
DIFFS = _struct(_OUTPUT | {"kind": _TEXT}, _ARM | {name: kind for name, kind in _DIFF.items() if name != "kind"})
METRICS = _struct(_OUTPUT, _ARM | {"region_id": _INT}).add("name", _TEXT, False).add("value", _REAL)
ACTIVE_RUN = _optional({"run_id": _TEXT, "publish_seq": _LONG})
LEDGER = _struct(
    {
        "batch_id": _TEXT, "seq": _LONG, "publish_seq": _LONG, "action": _TEXT, "run_id": _TEXT, "state": _TEXT,
        "active_runs": ArrayType(ACTIVE_RUN), "active_keys": _TEXTS,
    },
    {
        "run_kind": _TEXT, "manifest_version": _LONG, "config_hash": _TEXT, "config_text": _TEXT,
        "model_hashes": _WORDS, "code_version": _TEXT, "scope": _TEXT, "table_versions": MapType(_TEXT, _LONG),
        "counts": MapType(_TEXT, _LONG), "gates": _TEXT, "who": _TEXT, "at": _TIME, "note": _TEXT,
    },
)  # fmt: skip
REVIEWS = _struct(
    {"batch_id": _TEXT, "run_id": _TEXT, "image_id": _TEXT, "verdict": _TEXT},
    {"reviewer": _TEXT, "note": _TEXT, "at": _TIME, "mask_uri": _TEXT, "mask_png": _BLOB},
)
MARKS = _struct(
    {"batch_id": _TEXT, "run_id": _TEXT, "mark_id": _TEXT},
    {
        "kind": _TEXT, "support": _REAL, "width": _INT, "height": _INT, "images": _TEXTS, "at": _TIME,
        "alpha_png": _BLOB, "colour_png": _BLOB, "error_png": _BLOB, "anchor": _TEXT, "offset_x": _INT,
        "offset_y": _INT,
    },
)  # fmt: skip


def _one_of(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


_RIGHTS = ("owned", "licensed", "public_domain", "unknown")
_UNIT = "confidence IS NULL OR confidence BETWEEN 0 AND 1"
TABLES: dict[str, TableSpec] = {
    spec.name: spec
    for spec in (
        TableSpec(
            "manifest", MANIFEST, ("batch_id",),
            {"rights_known": "rights IS NULL OR " + _one_of("rights", _RIGHTS)},
            ("image_id", "sha256"),
        ),
        TableSpec("staging", STAGING, RUN_PARTITIONS, {}, ("image_id",)),
        TableSpec(
            "results", RESULTS, RUN_PARTITIONS,
            {"status_known": _one_of("status", STATUSES), "confidence_range": _UNIT}, ("image_id", "status"),
        ),
        TableSpec("masks", MASKS, RUN_PARTITIONS, {"confidence_range": _UNIT}, ("image_id", "region_id")),
        TableSpec(
            "diffs", DIFFS, RUN_PARTITIONS, {"kind_known": _one_of("kind", ("local", "whole", "none"))}, ("image_id",)
        ),
        TableSpec("metrics", METRICS, RUN_PARTITIONS, {}, ("image_id", "name")),
        TableSpec(
            "ledger", LEDGER, (),
            {"state_known": _one_of("state", STATES), "seq_counts_from_one": "seq >= 1"},
            ("batch_id", "seq", "publish_seq", "run_id"),
        ),
        TableSpec("reviews", REVIEWS, ("batch_id", "run_id"), {}, ("image_id",)),
        TableSpec("marks", MARKS, ("batch_id", "run_id"), {}, ("mark_id",)),
    )
}  # fmt: skip
RUN_TABLES = ("results", "masks", "diffs", "metrics")


@dataclass(frozen=True)
class Migration:
    """One step of the tables from schema version `version - 1` to `version`.

    `statement` is SQL with {name} for the table's identifier; running it twice must do no harm, because a killed
    migration starts again. (Columns that are there already are taken as added: SQL has no word for that here.)
    """

    version: int
    table: str
    statement: str


_ENHANCED = (
    "ALTER TABLE {name} ADD COLUMNS (synthetic BOOLEAN, origin STRING, analysis MAP<STRING, DOUBLE>, enhancements "
    "ARRAY<STRUCT<name: STRING, reason: STRING, scale: INT, synthetic: BOOLEAN, seconds: DOUBLE>>, "
    "enhance_reason STRING)"
)
_PLACED = "ALTER TABLE {name} ADD COLUMNS (error_png BINARY, anchor STRING, offset_x INT, offset_y INT)"
MIGRATIONS: tuple[Migration, ...] = (
    Migration(2, "results", _ENHANCED),
    Migration(2, "staging", _ENHANCED),
    Migration(2, "staging", "ALTER TABLE {name} ADD COLUMNS (diff.picture BINARY)"),
    Migration(2, "diffs", "ALTER TABLE {name} ADD COLUMNS (picture BINARY)"),
    *(Migration(3, table, "ALTER TABLE {name} ADD COLUMNS (arm STRING)") for table in ("masks", "diffs", "metrics")),
    Migration(4, "marks", _PLACED),
    Migration(5, "masks", "ALTER TABLE {name} ADD COLUMNS (mark_id STRING)"),
    Migration(5, "staging", "ALTER TABLE {name} ADD COLUMNS (masks.element.mark_id STRING)"),
)


def properties(spec: TableSpec) -> dict[str, str]:
    """Delta's table properties: constraints, what keeps rollback possible, and what readers without Spark need."""
    return {f"delta.constraints.{check}": condition for check, condition in spec.checks.items()} | {
        "delta.deletedFileRetentionDuration": f"interval {ROLLBACK_DAYS} days",
        "delta.logRetentionDuration": f"interval {2 * ROLLBACK_DAYS} days",
        "delta.enableDeletionVectors": "false",
        "delta.columnMapping.mode": "none",
        "delta.checkpointPolicy": "classic",
        "delta.isolationLevel": "Serializable",
        "delta.dataSkippingStatsColumns": ",".join(spec.keys),
        VERSION_PROPERTY: str(SCHEMA_VERSION),
    }


def create_statement(spec: TableSpec, name: str) -> str:
    """The CREATE TABLE statement of a table at the SQL identifier `name`."""
    columns = ", ".join(_column(field) for field in spec.schema)
    partitions = f" PARTITIONED BY ({', '.join(spec.partitions)})" if spec.partitions else ""
    values = ", ".join(f"'{key}' = '{_quoted(value)}'" for key, value in properties(spec).items())
    return f"CREATE TABLE IF NOT EXISTS {name} ({columns}) USING delta{partitions} TBLPROPERTIES ({values})"


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")


def arrow_schema(table: str) -> pa.Schema:
    """The columns of a table as a pyarrow schema, for functions that build its rows (timestamps in UTC)."""
    return to_arrow_schema(TABLES[table].schema, timezone="UTC")


def _column(field: StructField) -> str:
    return f"`{field.name}` {field.dataType.simpleString()}{'' if field.nullable else ' NOT NULL'}"


def where(**values: str | int | Collection[int]) -> str:
    """SQL that compares each named column: batch_id = 'b' AND wave IN (3, 4).

    Raises:
        ContractError: a text holds a quote or a backslash, which no identifier of these tables does.
    """
    terms = []
    for column, value in values.items():
        if isinstance(value, str):
            if "'" in value or "\\" in value:
                raise ContractError(f"{column} {value!r} holds a quote or a backslash: use another name")
            terms.append(f"{column} = '{value}'")
        elif isinstance(value, int):
            terms.append(f"{column} = {value}")
        else:
            terms.append(f"{column} IN ({', '.join(map(str, sorted(value)))})")
    return " AND ".join(terms)
