"""Rehearses the way back of a batch: a Spark job that reads every original and inverts every diff."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from typing import Any

import pandas as pd
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from cleanplate.batch.limits import limits_of
from cleanplate.batch.wayback import Failure, Reference, check_way_back
from cleanplate.config import SourceConfig
from cleanplate.errors import ContractError
from cleanplate.guard import Codec, make_codec
from cleanplate.spark.stream import ahead
from cleanplate.warehouse.events import Event, last_of, open_run_of
from cleanplate.warehouse.ledger import Ledger
from cleanplate.warehouse.objects import ObjectStore
from cleanplate.warehouse.schemas import where
from cleanplate.warehouse.tables import Warehouse

MOST_FAILURES = 1000  # that a task names one by one; the others are only counted
GROUP_IMAGES = 50_000  # whose references are sent to every task of a job
ROWS_PER_BATCH = 64  # that travel to Python together: each may hold a patch of some megabytes
THREADS = 4
_REFERENCE = tuple(item.name for item in fields(Reference))
_COUNTS = ("images", "unrecorded", "failed", "diffs", "whole")
_ANSWER = ", ".join(
    [f"{item.name} string" for item in fields(Failure)] + [f"{name} long" for name in _COUNTS]
)


@dataclass(frozen=True)
class Rehearsal:
    """What a rehearsal found.

    Attributes:
        batch_id: the batch.
        runs: the runs whose way back was tried: those that are shown, and one that is held.
        images: rows of the runs, and images of the manifest that none of them has.
        unrecorded: originals of which no digest is known (they could not be read when they were ingested or cleaned).
        failed: rows whose way back is closed.
        diffs: local diffs that were tried.
        whole: results without a local diff; the original is their way back.
        failures: what failed; of each task the first thousand.
        seconds: wall time of the checks.
        event: the ledger's event, None until it is written.
    """

    batch_id: str
    runs: tuple[str, ...]
    images: int
    unrecorded: int
    failed: int
    diffs: int
    whole: int
    failures: tuple[Failure, ...]
    seconds: float
    event: Event | None = field(default=None, compare=False)

    def note(self) -> str:
        """The outcome in one sentence."""
        verdict = "every one leads back" if not self.failed else f"{self.failed:,} of the rows do not lead back"
        unknown = f", {self.unrecorded:,} of them without a recorded digest" if self.unrecorded else ""
        return (
            f"rehearsed in {self.seconds:.1f} s: originals of {self.images:,} rows{unknown}, "
            f"{self.diffs:,} local diffs, {self.whole:,} results without one: {verdict}"
        )


@dataclass(frozen=True)
class _Task:
    """What the executors need to know; plain values, so that it travels with the function."""

    objects: ObjectStore
    limits: Mapping[str, dict[str, Any]]


def rehearse(warehouse: Warehouse, batch_id: str, who: str = "", note: str = "") -> Rehearsal:
    """Checks that every original is reachable with its recorded digest, and that every local diff inverts bit for bit.

    Nothing is written but the event `rehearsed`.

    Args:
        warehouse: the warehouse.
        batch_id: the batch.
        who: who does it.
        note: a word for the ledger, before the outcome's.

    Raises:
        ContractError: the batch shows the originals and no run of it is held, or it has moved meanwhile.
        StorageError: a table is out of reach.
    """
    ledger = Ledger(warehouse)
    events = ledger.events(batch_id)
    runs = _runs(events, batch_id)
    found = _check(warehouse, batch_id, runs, events)
    text = "; ".join(filter(None, (note, found.note())))
    before = last_of(ledger.events(batch_id), batch_id, runs[0])
    # What the gates said of a held run decides whether it may go on: the run's last event must still say it.
    kept: dict[str, Any] = {"gates": before.gates, "counts": before.counts} if before else {}
    event = ledger.record(batch_id, runs[0], "rehearsed", who=who, note=text, **kept)
    return replace(found, event=event)


def _runs(events: Sequence[Event], batch_id: str) -> list[str]:
    last, opened = last_of(events, batch_id), open_run_of(events, batch_id)
    runs = [run.run_id for run in last.active_runs] if last else []
    if opened is not None and opened.state == "held":
        runs.append(opened.run_id)
    if not runs:
        raise ContractError(f"batch {batch_id!r} shows its originals: there is no way back to rehearse")
    return runs


def _check(warehouse: Warehouse, batch_id: str, runs: Sequence[str], events: Sequence[Event]) -> Rehearsal:
    started = time.perf_counter()
    limits = {run: limits_of(last_of(events, batch_id, run)).model_dump(mode="json") for run in runs}
    function = rehearsal_function(_Task(warehouse.objects, limits | {"": limits[runs[0]]}))
    counts: Counter[str] = Counter()
    failures: list[Failure] = []
    with _small_batches(warehouse.spark):
        for frame in _references(warehouse, batch_id, runs):
            for row in frame.mapInPandas(function, _ANSWER).collect():
                if row["step"]:
                    failures.append(Failure(*(row[item.name] for item in fields(Failure))))
                counts.update({name: row[name] or 0 for name in _COUNTS})
    ordered = tuple(sorted(failures, key=lambda failure: (failure.image_id, failure.run_id)))
    seconds = time.perf_counter() - started
    return Rehearsal(
        batch_id, tuple(runs), counts["images"], counts["unrecorded"], counts["failed"], counts["diffs"],
        counts["whole"], ordered, seconds,
    )  # fmt: skip


@contextmanager
def _small_batches(spark: SparkSession) -> Iterator[None]:
    key = "spark.sql.execution.arrow.maxRecordsPerBatch"
    before = spark.conf.get(key)
    spark.conf.set(key, str(ROWS_PER_BATCH))
    try:
        yield
    finally:
        spark.conf.set(key, str(before))


def _references(warehouse: Warehouse, batch_id: str, runs: Sequence[str]) -> Iterator[DataFrame]:
    """What is to be checked, some waves at a time; what no run has comes with the first.

    The patches are not shuffled: each file of `diffs` meets the references of its waves where it is read.
    """
    mine = (F.col("batch_id") == batch_id) & F.col("run_id").isin(*runs)
    manifest = warehouse.frame("manifest").where(where(batch_id=batch_id))
    known = manifest.select("image_id", F.col("sha256").alias("listed_sha256"))
    waves = warehouse.frame("results").where(mine).groupBy("run_id", "wave").count().orderBy("run_id", "wave")
    rest = _untouched(manifest, warehouse.frame("results").where(mine))
    for number, group in enumerate([*_groups(waves.collect())] or ["false"]):
        results = warehouse.frame("results").where(mine).where(group).join(known, "image_id", "left")
        results = results.withColumn("source_sha256", F.coalesce("source_sha256", "listed_sha256"))
        columns = ("run_id", "wave", "image_id", "uri", "source_sha256", "result_uri", "result_sha256")
        keys = ["run_id", "wave", "image_id"]
        diffs = warehouse.frame("diffs").where(mine).where(group)
        edited = diffs.drop("batch_id", "config_hash").withColumnRenamed("kind", "diff_kind")
        frame = edited.join(F.broadcast(results.select(*columns)), keys).unionByName(
            results.select(*columns).join(F.broadcast(diffs.select(*keys)), keys, "left_anti"),
            allowMissingColumns=True,
        )
        frame = frame if number else frame.unionByName(rest, allowMissingColumns=True)
        yield frame.select(*_REFERENCE)


def _untouched(manifest: DataFrame, results: DataFrame) -> DataFrame:
    """Images of the manifest that no run has: only their originals can be checked."""
    rest = manifest.join(results.select("image_id"), "image_id", "left_anti")
    return rest.select("image_id", "uri", F.col("sha256").alias("source_sha256"), F.lit("").alias("run_id"))


def _groups(waves: Sequence[Row]) -> Iterator[str]:
    """SQL conditions on run and wave, each for about GROUP_IMAGES rows."""
    terms: list[str] = []
    images = 0
    for row in waves:
        if terms and images + row["count"] > GROUP_IMAGES:
            yield " OR ".join(terms)
            terms, images = [], 0
        terms.append(f"({where(run_id=row['run_id'], wave=row['wave'])})")
        images += row["count"]
    if terms:
        yield " OR ".join(terms)


def rehearsal_function(task: _Task) -> Callable[[Iterator[pd.DataFrame]], Iterator[pd.DataFrame]]:
    """The function for `mapInPandas`: references in, failures and one row of counts out."""
    return partial(_rehearse_partition, task)


def _rehearse_partition(task: _Task, frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    counts = Counter(dict.fromkeys(_COUNTS, 0))
    failures: list[Failure] = []
    with ExitStack() as stack:
        limits = {run: SourceConfig(**values) for run, values in task.limits.items()}
        codecs = _codecs(stack, limits)
        pool = stack.enter_context(ThreadPoolExecutor(THREADS, thread_name_prefix="rehearse"))

        def check(row: Reference) -> tuple[Reference, list[Failure]]:
            return row, check_way_back(row, task.objects, codecs[row.run_id], limits[row.run_id])

        for row, found in ahead(pool, check, _rows(frames), 2 * THREADS):
            counts.update(_tally(row, found))
            failures += found[: MOST_FAILURES - len(failures)]
    answers = [asdict(failure) for failure in failures]
    columns = [part.split()[0] for part in _ANSWER.split(", ")]
    table = pd.DataFrame([*answers, dict(counts)], columns=columns).astype(object)
    yield table.where(table.notna(), None)


def _codecs(stack: ExitStack, limits: Mapping[str, SourceConfig]) -> dict[str, Codec]:
    """One codec for each kind of limits, however many runs share them."""
    made: dict[SourceConfig, Codec] = {}
    for values in limits.values():
        if values not in made:
            made[values] = stack.enter_context(make_codec(values))
    return {run: made[values] for run, values in limits.items()}


def _rows(frames: Iterator[pd.DataFrame]) -> Iterator[Reference]:
    for frame in frames:
        for values in frame.astype(object).where(frame.notna(), None).to_dict("records"):
            patch = values["patch"]
            texts = {str(name): value for name, value in values.items() if name != "patch"}
            yield Reference(**texts, patch=None if patch is None else bytes(patch))


def _tally(row: Reference, found: Sequence[Failure]) -> dict[str, int]:
    return {
        "images": 1,
        "unrecorded": int(row.source_sha256 is None),
        "failed": int(bool(found)),
        "diffs": int(row.is_local),
        "whole": int(row.has_result and not row.is_local),
    }
