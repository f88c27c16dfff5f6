"""What time and hand-made deletions can take from the way back, and until when."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from cleanplate.errors import ContractError
from cleanplate.warehouse.events import PUBLISHING, ActiveRun, Event, open_run_of
from cleanplate.warehouse.schemas import ROLLBACK_DAYS, TABLES

if TYPE_CHECKING:
    from cleanplate.warehouse.tables import Warehouse

FILES = "delta.deletedFileRetentionDuration"
LOG = "delta.logRetentionDuration"
WARN_DAYS = 7
_DELTA_DEFAULT_DAYS = {FILES: 7.0, LOG: 30.0}
_HOURS = {"hour": 1.0, "day": 24.0, "week": 168.0}


def retention_warnings(warehouse: Warehouse, events: Sequence[Event], now: datetime | None = None) -> list[str]:
    """What about the retention endangers a batch's way back, in sentences.

    Rolling back reads no old version of any table: it is an event, and the rows of all runs stay until a purge. Delta's
    retention bounds three other things: how long rows deleted by hand can be brought back, how long a reader can be
    pinned to an event's table versions, and how long an open run can read the manifest's version that it started from.

    Args:
        warehouse: the warehouse.
        events: of the batch.
        now: UTC; the present where None.
    """
    with ThreadPoolExecutor(4) as pool:
        days = dict(zip(TABLES, map(shortest_days, pool.map(warehouse.properties, TABLES)), strict=True))
    moment = now or datetime.now(timezone.utc)
    return [*_shortened(days), *_run_warnings(events, days, moment.replace(tzinfo=None))]


def shortest_days(properties: Mapping[str, str]) -> float:
    """For how many days a table can be read as it was, by its properties.

    Args:
        properties: of a Delta table; what is missing has Delta's default (7 days of files, 30 of the log).
    """
    return min(
        interval_days(properties[name]) if name in properties else default
        for name, default in _DELTA_DEFAULT_DAYS.items()
    )


def interval_days(text: str) -> float:
    """Turns Delta's "interval 30 days" into 30.0; 0.0 where a unit is not known, which warns rather than lulls."""
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*([a-z]+?)s?\b", text.lower())
    return sum(float(number) * _HOURS.get(unit, 0.0) for number, unit in parts) / 24


def _shortened(days: Mapping[str, float]) -> list[str]:
    short = {table: kept for table, kept in days.items() if kept < ROLLBACK_DAYS}
    return [
        f"table {table} keeps former versions for {kept:g} days, not {ROLLBACK_DAYS}: rows that are deleted by hand "
        f"can be brought back for no longer; set {FILES} and {LOG} to 'interval {ROLLBACK_DAYS} days' or more"
        for table, kept in short.items()
    ]


def _run_warnings(events: Sequence[Event], days: Mapping[str, float], now: datetime) -> list[str]:
    """On the open run's manifest and on the shown publication's pins, where their time is nearly up or over."""
    found = []
    opened = open_run_of(events, events[0].batch_id) if events else None
    if opened is not None:
        started = next((e.at for e in events if e.run_id == opened.run_id and e.action == "start"), None)
        what = f"run {opened.run_id} is {opened.state} and reads the manifest as it was when it started"
        found += _deadline(started, days["manifest"], now, what, "publish it, or give it up with `cleanplate abort`")
    shown = next((e for e in reversed(events) if e.action in PUBLISHING and e.table_versions), None)
    if shown is not None and any(run.run_id == shown.run_id for run in events[-1].active_runs):
        kept = min(days.get(table, ROLLBACK_DAYS) for table in shown.table_versions)
        what = f"readers pinned to the table versions of event {shown.seq} read files that a vacuum may remove"
        advice = "pin them to a newer event; roll back itself does not need them"
        # Said while there is time; afterwards every old batch would say it for ever.
        found += _deadline(shown.at, kept, now, what, advice) if shown.at and now < shown.at + timedelta(kept) else []
    return found


def _deadline(since: datetime | None, days: float, now: datetime, what: str, advice: str) -> list[str]:
    if since is None or now < since + timedelta(days=days - WARN_DAYS):
        return []
    end = since + timedelta(days=days)
    when = f"until {end:%Y-%m-%d %H:%M} UTC only" if now < end else f"safe only until {end:%Y-%m-%d %H:%M} UTC"
    return [f"{what}: {when}; {advice}"]


def check_rows(warehouse: Warehouse, events: Sequence[Event], runs: Sequence[ActiveRun]) -> None:
    """Checks that runs still have the rows that they were published with.

    No retention touches them: rows go by a purge, which the ledger knows of, or by somebody's own DELETE or RESTORE.

    Raises:
        ContractError: a run has fewer rows than the ledger says.
    """
    batch_id, named = events[0].batch_id, [run.run_id for run in runs]
    wanted = {event.run_id: sum(event.counts.values()) for event in events if event.counts and event.run_id in named}
    if not wanted:
        return
    rows = warehouse.frame("results").where((F.col("batch_id") == batch_id) & F.col("run_id").isin(*wanted))
    counted = rows.groupBy("run_id").agg(F.count_distinct("image_id").alias("images"))
    there = {row["run_id"]: row["images"] for row in counted.collect()}
    for run_id, images in wanted.items():
        if there.get(run_id, 0) < images:
            raise ContractError(
                f"run {run_id} was published with {images:,} images, but `results` holds {there.get(run_id, 0):,} of "
                "them: rows were deleted by hand, or the table was taken back; bring them back by Delta's RESTORE "
                f"within {ROLLBACK_DAYS} days, or choose another run or the originals"
            )
