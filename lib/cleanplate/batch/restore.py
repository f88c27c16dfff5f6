"""Makes a batch show again what it showed after an earlier event of its ledger, backwards or forwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cleanplate.batch.consequences import Consequences, foresee
from cleanplate.batch.retention import check_rows
from cleanplate.batch.rollback import names, not_purged, taken_back
from cleanplate.errors import ContractError
from cleanplate.warehouse.events import ActiveRun, Event, last_of
from cleanplate.warehouse.ledger import Ledger

if TYPE_CHECKING:
    from cleanplate.warehouse.tables import Warehouse


def restore_to(warehouse: Warehouse, batch_id: str, seq: int, who: str = "", note: str = "") -> Event:
    """Makes a batch show what it showed after an earlier event, backwards or forwards, in one commit.

    No table goes back: runs and their rows stay, only what counts changes. Runs that were purged since are left out.

    Args:
        warehouse: the warehouse.
        batch_id: the batch.
        seq: number of the event.
        who: who does it.
        note: in words.

    Returns:
        The event `restore`, or `roll_back` where the originals are shown again; each run keeps its publish_seq.

    Raises:
        ContractError: no such event, nothing is left of what it showed, its rows are gone, or it is shown already.
    """
    ledger = Ledger(warehouse)
    events = ledger.events(batch_id)
    last, target, _ = _decide(events, batch_id, seq)
    check_rows(warehouse, events, target)
    run, action = (target[0].run_id, "restore") if target else (taken_back(last, target), "roll_back")
    words = "; ".join(filter(None, (note, f"as after event {seq}")))
    return ledger.record(batch_id, run, action, events, who=who, note=words, active_runs=target)


def foresee_restore(warehouse: Warehouse, batch_id: str, seq: int) -> Consequences:
    """What `restore_to` would do; nothing is written, the errors are the same."""
    events = Ledger(warehouse).events(batch_id)
    _, target, purged = _decide(events, batch_id, seq)
    check_rows(warehouse, events, target)
    return foresee(warehouse, events, target, purged)


def _decide(
    events: Sequence[Event], batch_id: str, seq: int
) -> tuple[Event, tuple[ActiveRun, ...], tuple[str, ...]]:
    """The last event, what is to be shown, and the runs of the earlier event that are purged."""
    last = last_of(events, batch_id)
    event = next((event for event in events if event.seq == seq), None)
    if last is None or event is None:
        known = f"events 1 to {last.seq}" if last else "no events"
        raise ContractError(f"batch {batch_id!r} has {known}, not {seq}; see `cleanplate history --batch {batch_id}`")
    target = not_purged(events, event.active_runs)
    if event.active_runs and not target:
        raise ContractError(f"all that batch {batch_id!r} showed after event {seq} was purged: choose another event")
    if target == last.active_runs:
        raise ContractError(f"batch {batch_id!r} already shows {names(target)}: nothing was done")
    gone = tuple(run.run_id for run in event.active_runs if run not in target)
    return last, target, gone
