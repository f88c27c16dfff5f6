"""Fills the manifest of a batch: from a folder, a bucket, or a Delta table that the user already has."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from delta.tables import DeltaTable
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses
from pyspark.sql import types as T  # noqa: N812

from cleanplate.batch.listing import list_pictures, match_masks, read_notes
from cleanplate.batch.probe import PROBE_TYPES, Probing
from cleanplate.errors import ContractError
from cleanplate.records import KINDS
from cleanplate.warehouse.schemas import MANIFEST
from cleanplate.warehouse.tables import Warehouse

RIGHTS = ("owned", "licensed", "public_domain", "unknown")
_PROBED = ("sha256", "bytes", "width", "height", "media_type")
_OURS = frozenset({"batch_id", "ingested_at", *_PROBED})


@dataclass(frozen=True)
class IngestReport:
    """What an ingest did."""

    added: int
    known: int
    total: int


def ingest_source(
    warehouse: Warehouse,
    batch_id: str,
    source: str,
    *,
    masks: str | None = None,
    notes: str | None = None,
    rights: str | None = None,
    probing: Probing | None = None,
) -> IngestReport:
    """Adds all pictures under a folder or bucket prefix to a batch; those already there stay as they are.

    Raises:
        ContractError: duplicates, bad rights or kinds, a picture that changed since it was ingested.
        StorageError: the place cannot be listed.
    """
    pictures = list_pictures(source)
    masks_by_uri = match_masks(pictures, masks) if masks else {}
    noted = read_notes(notes) if notes else {}
    rows = [_listed_row(uri, source, noted, masks_by_uri, rights) for uri in pictures]
    unknown = set(noted) - {_relative(uri, source) for uri in pictures}
    if unknown:
        raise ContractError(f"{notes} speaks of {min(unknown)!r}, which is not under {source}")
    frame = warehouse.spark.createDataFrame(rows, _request_schema())
    return ingest_frame(warehouse, batch_id, frame, probing or Probing())


def ingest_table(
    warehouse: Warehouse,
    batch_id: str,
    table: str,
    columns: Mapping[str, str],
    *,
    rights: str | None = None,
    probing: Probing | None = None,
) -> IngestReport:
    """Adds the rows of a Delta table to a batch.

    Args:
        warehouse: the warehouse.
        batch_id: the batch.
        table: catalog name or path of a Delta table.
        columns: our column -> the table's column; at least `uri`. Names that the manifest does not have become strata.
        rights: for rows that state none.
        probing: limits of the files that are read, and whether text is looked for.

    Raises:
        ContractError: a column is missing, duplicates, bad rights or kinds.
    """
    is_path = "/" in table or "://" in table
    given = warehouse.spark.table(f"delta.`{table}`" if is_path else table)
    missing = [theirs for theirs in columns.values() if theirs not in given.columns]
    if "uri" not in columns or missing:
        raise ContractError(
            f"--columns must name uri and existing columns; missing in {table}: {', '.join(missing) or 'uri=…'}; "
            f"the table has {', '.join(given.columns)}"
        )
    return ingest_frame(warehouse, batch_id, _mapped(given, columns, rights), probing or Probing())


def ingest_frame(warehouse: Warehouse, batch_id: str, requests: DataFrame, probing: Probing) -> IngestReport:
    """Probes every file of a frame of manifest columns, checks the contract and inserts what is new."""
    warehouse.create()
    requests = requests.withColumn("image_id", F.coalesce(F.col("image_id"), _image_id_of("uri"))).persist()
    try:
        _check_contract(requests)
        pieces = 4 * max(1, os.cpu_count() or 1)
        probed = (
            requests.select("image_id", "uri")
            .repartition(pieces)
            .mapInPandas(probing.frames, PROBE_TYPES)
            .persist()
        )
        rows = requests.join(probed, "image_id").withColumns(
            {"batch_id": F.lit(batch_id), "ingested_at": F.current_timestamp(), "strata": _with_text()}
        )
        return _insert(warehouse, batch_id, rows.select([F.col(f.name).cast(f.dataType) for f in MANIFEST]))
    finally:
        requests.unpersist()


def _with_text() -> Column:
    """The strata, with the text that a coarse look found; a column of that name that the user has counts more."""
    given = F.coalesce(F.col("strata"), F.create_map().cast("map<string,string>"))
    is_new = F.col("text").isNotNull() & ~F.map_contains_key(given, "text")
    return F.when(is_new, F.map_concat(given, F.create_map(F.lit("text"), F.col("text")))).otherwise(F.col("strata"))


def _insert(warehouse: Warehouse, batch_id: str, rows: DataFrame) -> IngestReport:
    mine = warehouse.frame("manifest").where(F.col("batch_id") == batch_id)
    before = mine.count()
    changed = (
        mine.alias("old")
        .join(rows.alias("new"), "image_id")
        .where(~F.col("old.sha256").eqNullSafe(F.col("new.sha256")) & F.col("old.sha256").isNotNull())
        .select("image_id")
        .limit(3)
        .collect()
    )
    if changed:
        raise ContractError(
            f"{changed[0].image_id} has changed since batch {batch_id!r} took it in; originals are immutable: "
            "restore the file, or ingest it under a new batch"
        )
    target = DeltaTable.forName(warehouse.spark, warehouse.name("manifest"))
    (
        target.alias("old")
        .merge(rows.alias("new"), "old.batch_id = new.batch_id AND old.image_id = new.image_id")
        .whenNotMatchedInsertAll()
        .execute()
    )
    total = warehouse.frame("manifest").where(F.col("batch_id") == batch_id).count()
    return IngestReport(added=total - before, known=before, total=total)


def _check_contract(requests: DataFrame) -> None:
    doubles = requests.groupBy("image_id").count().where("count > 1").orderBy("image_id").limit(3).collect()
    if doubles:
        names = ", ".join(row.image_id for row in doubles)
        raise ContractError(f"duplicate image_id in the batch: {names}; every image of a batch needs its own")
    bad = requests.where(F.col("rights").isNotNull() & ~F.col("rights").isin(*RIGHTS)).limit(1).collect()
    if bad:
        raise ContractError(f"rights {bad[0].rights!r} of {bad[0].uri} is none of {', '.join(RIGHTS)}")
    kinds = F.concat(
        F.coalesce(F.col("remove"), F.array().cast("array<string>")),
        F.coalesce(F.col("regions.kind"), F.array().cast("array<string>")),
    )
    valid = F.array(*[F.lit(kind) for kind in KINDS])
    strange = requests.select("uri", F.array_except(kinds, valid).alias("k")).where(F.size("k") > 0).limit(1).collect()
    if strange:
        raise ContractError(f"kind {strange[0].k[0]!r} of {strange[0].uri} is none of {', '.join(KINDS)}")


def _request_schema() -> T.StructType:
    return T.StructType([T.StructField(f.name, f.dataType, True) for f in MANIFEST if f.name not in _OURS])


def _listed_row(
    uri: str, source: str, notes: Mapping[str, Mapping[str, Any]], masks: Mapping[str, str], rights: str | None
) -> dict[str, Any]:
    note = dict(notes.get(_relative(uri, source), {}))
    schema = _request_schema()
    row: dict[str, Any] = {field.name: _cast(note.pop(field.name, None), field) for field in schema}
    row["uri"] = uri
    row["rights"] = row["rights"] or rights
    row["mask_uri"] = row["mask_uri"] or masks.get(uri)
    row["strata"] = {name: str(value) for name, value in note.items()} or None
    return row


def _cast(value: Any, field: T.StructField) -> Any:
    if value is None:
        return None
    if field.name == "regions":
        return [_region(entry) for entry in value]
    if isinstance(field.dataType, (T.LongType, T.IntegerType)):
        return int(value)
    return float(value) if isinstance(field.dataType, T.DoubleType) else value


def _region(entry: Mapping[str, Any]) -> dict[str, Any]:
    try:
        left, top, right, bottom = (int(number) for number in entry["box"])
    except (KeyError, TypeError, ValueError) as error:
        raise ContractError(f"region {entry!r} needs a box of four whole numbers [left, top, right, bottom]") from error
    return {"left": left, "top": top, "right": right, "bottom": bottom, "kind": entry.get("kind", "object")}


def _relative(uri: str, source: str) -> str:
    if uri.startswith("s3://"):
        prefix = "s3://" + source.split("://", 1)[1].rstrip("/") + "/"
        return uri.removeprefix(prefix)
    return str(PurePosixPath(os.path.relpath(uri, source.removeprefix("file://"))))


def _mapped(given: DataFrame, columns: Mapping[str, str], rights: str | None) -> DataFrame:
    schema = _request_schema()
    strata = [name for name in columns if name not in schema.names and name not in _OURS]
    pairs = [part for name in strata for part in (F.lit(name), F.col(columns[name]).cast("string"))]
    values = {
        field.name: (F.col(columns[field.name]) if field.name in columns else F.lit(None)).cast(field.dataType)
        for field in schema
    }
    values["rights"] = F.coalesce(values["rights"], F.lit(rights))
    if pairs:
        values["strata"] = F.create_map(*pairs)
    return given.select(*[column.alias(name) for name, column in values.items()])


def _image_id_of(column: str) -> Any:
    """Readable and unique: the file's stem, and 12 hex digits of its URI's sha256."""
    stem = F.regexp_extract(F.col(column), r"([^/]*?)(\.[^./]*)?$", 1)
    clean = F.substring(F.regexp_replace(stem, r"[^\p{L}\p{N}._-]", "_"), 1, 80)
    return F.concat(clean, F.lit("-"), F.substring(F.sha2(F.col(column), 256), 1, 12))
