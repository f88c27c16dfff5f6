"""Deletes all that a run left: its rows, its staging, its reviews and its files, for privacy."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from cleanplate.errors import ContractError
from cleanplate.warehouse.events import Event, last_of, run_state
from cleanplate.warehouse.ledger import Ledger
from cleanplate.warehouse.schemas import ROLLBACK_DAYS, RUN_TABLES, where

if TYPE_CHECKING:
    from cleanplate.warehouse.tables import Warehouse

PURGED_TABLES = (*RUN_TABLES, "staging", "reviews", "marks")
_PURGEABLE = ("rolled_back", "aborted", "purging")


def purge(warehouse: Warehouse, batch_id: str, run_id: str | None = None, who: str = "", note: str = "") -> Event:
    """Purges a run: the event `purging`, the deletions, the event `purged`. A purge that was killed is run again.

    The run stops counting with the first event. The tables' former files hold its rows until the retention has
    passed and `vacuum` runs; the note of the returned event says from when.

    Args:
        warehouse: the warehouse.
        batch_id: the batch.
        run_id: the run; by default the one that the batch's last event took back, gave up or began to purge.
        who: who does it.
        note: in words.

    Raises:
        ContractError: the run is open, purged or unknown.
        StorageError: something cannot be deleted; run it again.
    """
    ledger = Ledger(warehouse)
    events = ledger.events(batch_id)
    run = run_id or _taken_back_last(events, batch_id)
    if run_state(events, batch_id, run) != "purging":
        last = last_of(events, batch_id)
        left = tuple(active for active in (last.active_runs if last else ()) if active.run_id != run)
        ledger.record(batch_id, run, "purge", events, who=who, note=note, active_runs=left)
    objects = _delete_all(warehouse, batch_id, run)
    return ledger.record(batch_id, run, "purged", who=who, note=_what_is_left(objects))


def _delete_all(warehouse: Warehouse, batch_id: str, run_id: str) -> int:
    predicate = where(batch_id=batch_id, run_id=run_id)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda table: warehouse.delete(table, predicate), PURGED_TABLES))
    return warehouse.objects.delete_run(batch_id, run_id)


def _taken_back_last(events: Sequence[Event], batch_id: str) -> str:
    last = last_of(events, batch_id)
    state = run_state(events, batch_id, last.run_id) if last else None
    if last is None or state not in _PURGEABLE:
        raise ContractError(f"batch {batch_id!r}: roll back or abort the run first, or name the run to purge")
    return last.run_id


def _what_is_left(objects: int) -> str:
    free = datetime.now(timezone.utc) + timedelta(days=ROLLBACK_DAYS)
    return (
        f"rows and {objects} objects deleted; former files of the tables still hold the rows, "
        f"`cleanplate vacuum` removes them from {free:%Y-%m-%d} on"
    )
