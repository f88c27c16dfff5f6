"""Writes the current pictures of a batch as files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from cleanplate.config import SourceConfig
from cleanplate.errors import ContractError, StorageError
from cleanplate.warehouse.sources import read_source
from cleanplate.warehouse.tables import Warehouse

THREADS = 8


@dataclass(frozen=True)
class ExportReport:
    """How many files were written, and which could not be."""

    written: int
    missing: tuple[str, ...]


def export(warehouse: Warehouse, batch_id: str, out: Path, limits: SourceConfig) -> ExportReport:
    """Writes every image of a batch as it is shown now, and `outcomes.jsonl` beside them.

    A published result where there is one; else the original (unchanged, refused, restored, review, failed).

    Args:
        warehouse: the warehouse.
        batch_id: the batch.
        out: folder; created. Files are named image_id.ext.
        limits: of the files that are read.

    Raises:
        ContractError: the batch has no images.
        StorageError: the folder cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot create {out}: {error.strerror}") from error
    rows = shown_rows(warehouse, batch_id)
    with ThreadPoolExecutor(THREADS) as pool, (out / "outcomes.jsonl").open("w", encoding="utf-8") as log:
        missing = []
        count = 0
        for row, problem in pool.map(lambda row: (row, _write(row, out, limits)), rows):
            count += 1
            log.write(json.dumps(row, ensure_ascii=False) + "\n")
            if problem:
                missing.append(problem)
    if not count:
        raise ContractError(f"batch {batch_id!r} has no images; `cleanplate ingest --batch {batch_id} …` adds them")
    return ExportReport(count - len(missing), tuple(missing))


def shown_rows(warehouse: Warehouse, batch_id: str) -> Iterator[dict[str, Any]]:
    """Every image of the batch with what is shown of it now."""
    manifest = warehouse.frame("manifest").where(F.col("batch_id") == batch_id)
    current = warehouse.current("results").select(
        "image_id", "status", "result_uri", "result_sha256", "confidence", "error_message", "run_id"
    )
    joined = (
        manifest.select("image_id", "uri", "sha256", "rights")
        .join(current, "image_id", "left")
        .withColumn("status", F.coalesce("status", F.lit("original")))
        .orderBy("image_id")
    )
    return (row.asDict() for row in joined.toLocalIterator())


def _write(row: dict[str, Any], out: Path, limits: SourceConfig) -> str:
    """Writes one file; returns what went wrong, or ""."""
    is_result = row["result_uri"] is not None and row["status"] in ("cleaned", "restored")
    uri = row["result_uri"] if is_result else row["uri"]
    target = out / f"{row['image_id']}{PurePosixPath(uri).suffix.lower()}"
    try:
        target.write_bytes(read_source(uri, limits.model_copy(update={"allowed_roots": ()})))
    except StorageError as error:
        return f"{row['image_id']}: {error}"
    row["file"] = target.name
    return ""
