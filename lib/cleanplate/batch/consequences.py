"""What would vanish and what would come back, if a batch showed other runs than it does."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from cleanplate.warehouse.events import ActiveRun, Event, event_to_row, open_run_of
from cleanplate.warehouse.schemas import LEDGER

if TYPE_CHECKING:
    from cleanplate.warehouse.tables import Warehouse

NAMED_IMAGES = 20
ORIGINAL = "the original"


@dataclass(frozen=True)
class RunChange:
    """A run that would vanish or come back.

    Attributes:
        run_id: the run.
        kind: "base" or "layer".
        counts: images by status, as it was published with.
    """

    run_id: str
    kind: str
    counts: Mapping[str, int]


@dataclass(frozen=True)
class ImageChange:
    """An image that would look different: what shows it now, and then (a run's id, or "the original")."""

    image_id: str
    now: str
    then: str


@dataclass(frozen=True)
class Consequences:
    """What another choice of active runs would do.

    Attributes:
        batch_id: the batch.
        target: the runs that it would show, bottom first; () = the originals.
        vanishing: runs that it shows now and would not then, bottom first.
        returning: runs that it would show again.
        purged: runs of the earlier event that are gone for good.
        open_run: a run that is running or held, and goes on whatever is shown; None for none.
        images: how many images would change, by "result to original", "original to result", "result to other result".
        named: the first of them, in the order of their ids.
    """

    batch_id: str
    target: tuple[ActiveRun, ...]
    vanishing: tuple[RunChange, ...]
    returning: tuple[RunChange, ...]
    purged: tuple[str, ...]
    open_run: str | None
    images: Mapping[str, int]
    named: tuple[ImageChange, ...]


def foresee(
    warehouse: Warehouse, events: Sequence[Event], target: Sequence[ActiveRun], purged: Sequence[str] = ()
) -> Consequences:
    """Compares what is shown now with what would be shown; nothing is written.

    Later batches are taken into account: an image that another batch covers does not change.

    Args:
        warehouse: the warehouse.
        events: of the batch.
        target: the runs it would show.
        purged: runs that the event named and that are gone.
    """
    last = events[-1]
    now, then = {run.run_id for run in last.active_runs}, {run.run_id for run in target}
    opened = open_run_of(events, last.batch_id)
    planned = replace(last, seq=last.seq + 1, action="roll_back", active_runs=tuple(target))
    with _ledger_with(warehouse, planned) as view:
        changes = _changed_images(warehouse, view)
        counted = changes.groupBy("change").count().collect()
        first = changes.orderBy("image_id").limit(NAMED_IMAGES).collect()
    return Consequences(
        batch_id=last.batch_id,
        target=tuple(target),
        vanishing=tuple(_run_change(events, run.run_id) for run in last.active_runs if run.run_id not in then),
        returning=tuple(_run_change(events, run.run_id) for run in target if run.run_id not in now),
        purged=tuple(purged),
        open_run=opened.run_id if opened else None,
        images={row["change"]: row["count"] for row in counted},
        named=tuple(
            ImageChange(row["image_id"], row["run_now"] or ORIGINAL, row["run_then"] or ORIGINAL) for row in first
        ),
    )


def _run_change(events: Sequence[Event], run_id: str) -> RunChange:
    own = [event for event in events if event.run_id == run_id]
    counts = [event.counts for event in own if event.counts]
    return RunChange(run_id, own[-1].run_kind if own else "base", dict(counts[-1]) if counts else {})


def _changed_images(warehouse: Warehouse, ledger: str) -> DataFrame:
    """image_id, run_now, run_then (null for the original) and the kind of change, of the images that change."""
    now = _shown(warehouse.current("results"), "run_now")
    then = _shown(warehouse.current("results", ledger=ledger), "run_then")
    differs = ~F.col("run_now").eqNullSafe(F.col("run_then"))
    return now.join(then, "image_id", "full").where(differs).withColumn("change", _change())


def _shown(results: DataFrame, name: str) -> DataFrame:
    """image_id and the run whose result is shown; every other status shows the original."""
    return results.where(F.col("status") == "cleaned").select("image_id", F.col("run_id").alias(name))


def _change() -> Column:
    return (
        F.when(F.col("run_then").isNull(), "result to original")
        .when(F.col("run_now").isNull(), "original to result")
        .otherwise("result to other result")
    )


@contextmanager
def _ledger_with(warehouse: Warehouse, event: Event) -> Iterator[str]:
    """The name of a view: the ledger and one more event."""
    values = event_to_row(event)
    row = tuple(values[name] for name in LEDGER.fieldNames())
    view = f"cleanplate_planned_{uuid.uuid4().hex}"
    planned = warehouse.spark.createDataFrame([row], LEDGER)
    warehouse.frame("ledger").unionByName(planned).createOrReplaceTempView(view)
    try:
        yield view
    finally:
        warehouse.spark.catalog.dropTempView(view)
