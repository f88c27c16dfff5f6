"""Takes a batch back to what it showed before, or forward again, in one commit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cleanplate.batch.consequences import Consequences, foresee
from cleanplate.batch.retention import check_rows
from cleanplate.errors import ContractError
from cleanplate.warehouse.events import PUBLISHING, ActiveRun, Event, last_of, run_state
from cleanplate.warehouse.ledger import Ledger

if TYPE_CHECKING:
    from cleanplate.warehouse.tables import Warehouse

_GONE = ("purging", "purged")


def roll_back(
    warehouse: Warehouse,
    batch_id: str,
    to: str | int | None = None,
    originals: bool = False,
    who: str = "",
    note: str = "",
) -> Event:
    """Makes a batch show what it showed earlier; batches published later stay on top of it.

    Args:
        warehouse: the warehouse.
        batch_id: the batch.
        to: a run (what the batch showed when that run was last published) or the seq of an event; by default what it
            showed before its current base run was published.
        originals: show the originals, whatever was published before.
        who: who does it.
        note: in words.

    Returns:
        The event; its run_id is the base run that was taken back.

    Raises:
        ContractError: the batch shows the originals already, or `to` names nothing of this batch, or nothing
            is left of it.
    """
    ledger = Ledger(warehouse)
    events = ledger.events(batch_id)
    last, target = _decide(events, batch_id, to, originals)
    check_rows(warehouse, events, target)
    return ledger.record(
        batch_id, taken_back(last, target), "roll_back", events, who=who, note=note, active_runs=target
    )


def foresee_roll_back(
    warehouse: Warehouse, batch_id: str, to: str | int | None = None, originals: bool = False
) -> Consequences:
    """What `roll_back` would do; nothing is written, the errors are the same."""
    events = Ledger(warehouse).events(batch_id)
    _, target = _decide(events, batch_id, to, originals)
    check_rows(warehouse, events, target)
    return foresee(warehouse, events, target)


def republish(warehouse: Warehouse, batch_id: str, run_id: str, who: str = "", note: str = "") -> Event:
    """Shows a run again that was rolled back or replaced, with a new publish_seq.

    Raises:
        ContractError: the run is not rolled back.
    """
    ledger = Ledger(warehouse)
    events = ledger.events(batch_id)
    run, last = last_of(events, batch_id, run_id), last_of(events, batch_id)
    new = ActiveRun(run_id)
    active = (*last.active_runs, new) if run and last and run.run_kind == "layer" else (new,)
    versions = warehouse.versions()
    counts = next((e.counts for e in reversed(events) if e.run_id == run_id and e.counts), {})
    return ledger.record(
        batch_id, run_id, "republish", events, who=who, note=note, active_runs=active, table_versions=versions,
        counts=counts,
    )  # fmt: skip


def _decide(
    events: Sequence[Event], batch_id: str, to: str | int | None, originals: bool
) -> tuple[Event, tuple[ActiveRun, ...]]:
    """The last event, and what is to be shown after a roll back."""
    last = last_of(events, batch_id)
    if last is None or not last.active_runs:
        raise ContractError(f"batch {batch_id!r} shows the originals: there is nothing to roll back")
    target = () if originals else _target(events, last, to)
    if target == last.active_runs:
        raise ContractError(f"batch {batch_id!r} already shows {names(target)}: nothing was done")
    return last, target


def _target(events: Sequence[Event], last: Event, to: str | int | None) -> tuple[ActiveRun, ...]:
    if to is None:
        return _before(events, last.active_runs)
    event = _event_named(events, str(to))
    left = not_purged(events, event.active_runs)
    if event.active_runs and not left:
        raise ContractError(f"all that batch {event.batch_id!r} showed at {to} was purged: choose another run or event")
    return left


def _before(events: Sequence[Event], active: tuple[ActiveRun, ...]) -> tuple[ActiveRun, ...]:
    """What was shown before the base run of `active` was published; further back where that was purged."""
    while active:
        base = active[0]
        published = _publication(events, base)
        active = next((e.active_runs for e in events if e.seq == published.seq - 1), ())
        left = not_purged(events, active)
        if left and left[0] == active[0]:
            return left
    return ()


def _publication(events: Sequence[Event], run: ActiveRun) -> Event:
    for event in reversed(events):
        if event.action in PUBLISHING and run in event.active_runs and event.run_id == run.run_id:
            return event
    raise ContractError(f"the ledger holds no publication of run {run.run_id}: it was changed by hand")


def _event_named(events: Sequence[Event], to: str) -> Event:
    for event in reversed(events):
        if to == str(event.seq) or (to == event.run_id and event.action in PUBLISHING):
            return event
    batch_id = events[0].batch_id
    raise ContractError(
        f"batch {batch_id!r} has no published run and no event {to!r}; see `cleanplate history --batch {batch_id}`"
    )


def not_purged(events: Sequence[Event], active: Sequence[ActiveRun]) -> tuple[ActiveRun, ...]:
    """Those of some runs that are still there."""
    return tuple(run for run in active if run_state(events, events[0].batch_id, run.run_id) not in _GONE)


def taken_back(last: Event, target: tuple[ActiveRun, ...]) -> str:
    """The run that the event is about: the base run that goes, else the lowest layer that goes, else the base run."""
    gone = [run for run in last.active_runs if run.run_id not in {kept.run_id for kept in target}]
    return (gone or list(last.active_runs))[0].run_id


def names(active: Sequence[ActiveRun]) -> str:
    """What is shown, in words."""
    return ", ".join(run.run_id for run in active) or "the originals"
