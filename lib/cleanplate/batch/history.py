"""What a batch has gone through, and where it stands: plain values for the command line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cleanplate.batch.whole_file import write_whole
from cleanplate.errors import ContractError
from cleanplate.warehouse.events import Event, last_of, open_run_of, run_state
from cleanplate.warehouse.ledger import Ledger

if TYPE_CHECKING:
    from cleanplate.warehouse.tables import Warehouse


@dataclass(frozen=True)
class RunStatus:
    """Where a run stands.

    Attributes:
        run_id: the run.
        kind: "base" or "layer".
        state: as `events.run_state` has it.
        active: whether the batch shows it.
        publish_seq: the one it counts with, None where it is not active.
        counts: images by status at its last event that counted.
        config_hash: digest of its configuration.
        started: when, UTC.
        changed: when its last event was, UTC.
        note: of its last event.
    """

    run_id: str
    kind: str
    state: str
    active: bool
    publish_seq: int | None
    counts: dict[str, int]
    config_hash: str
    started: datetime | None
    changed: datetime | None
    note: str


@dataclass(frozen=True)
class BatchStatus:
    """Where a batch stands.

    Attributes:
        batch_id: the batch.
        images: rows of its manifest.
        shows: the active runs, base first; empty for the originals.
        open_run: the run that is running or held, or None.
        seq: number of its last event, 0 for none.
        runs: all its runs, in the order they started.
    """

    batch_id: str
    images: int
    shows: list[str]
    open_run: str | None
    seq: int
    runs: list[RunStatus] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Nested plain values, ready for JSON but for the times."""
        return asdict(self)


def batch_statuses(warehouse: Warehouse, batch_id: str | None = None) -> list[BatchStatus]:
    """Status of one batch, or of all, in the order of their names.

    Raises:
        ContractError: there is no such batch.
    """
    grouped = warehouse.frame("manifest").groupBy("batch_id").count().collect()
    images = {row["batch_id"]: int(row["count"]) for row in grouped}
    events = Ledger(warehouse).events()
    names = sorted({*images, *(event.batch_id for event in events)})
    if batch_id is not None and batch_id not in names:
        raise ContractError(f"there is no batch {batch_id!r}; there are: {', '.join(names) or 'none'}")
    chosen = [batch_id] if batch_id is not None else names
    return [_batch_status(name, images.get(name, 0), [e for e in events if e.batch_id == name]) for name in chosen]


def history(warehouse: Warehouse, batch_id: str | None = None) -> list[dict[str, Any]]:
    """The events of a batch, or of all, as plain values, oldest first.

    Raises:
        ContractError: the batch has no events.
    """
    return [asdict(event) for event in _events(warehouse, batch_id)]


def audit_lines(events: Sequence[Event]) -> list[str]:
    """Events as JSON lines: the same keys in the same order in each, times in UTC as ISO 8601, all that is known.

    `scope` and `gates` are JSON values here, not text; the configuration stays the YAML text that the digest is of.

    Args:
        events: in their order.
    """
    return [json.dumps(_audit_values(event), ensure_ascii=False, allow_nan=False) for event in events]


def write_audit_log(warehouse: Warehouse, batch_id: str | None, out: Path) -> int:
    """Writes the ledger of a batch, or of all, as JSON lines; the file appears whole or not at all.

    Args:
        warehouse: the warehouse.
        batch_id: the batch, None for all.
        out: the file; replaced if it is there.

    Returns:
        The number of events.

    Raises:
        ContractError: the batch has no events.
        StorageError: the file cannot be written.
    """
    events = _events(warehouse, batch_id)
    write_whole(out, "".join(f"{line}\n" for line in audit_lines(events)))
    return len(events)


def _events(warehouse: Warehouse, batch_id: str | None) -> list[Event]:
    events = Ledger(warehouse).events(batch_id)
    if batch_id is not None and not events:
        raise ContractError(f"batch {batch_id!r} has no events: nothing was run on it yet")
    return events


def _audit_values(event: Event) -> dict[str, Any]:
    values = asdict(event)
    maps = {name: dict(sorted(values[name].items())) for name in ("model_hashes", "table_versions", "counts")}
    texts = {name: _parsed(values[name]) for name in ("scope", "gates")}
    at = event.at.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z" if event.at else None
    return values | maps | texts | {"at": at}


def _parsed(text: str) -> Any:
    """The value of a JSON text; the text itself where it is none, None where it is empty."""
    try:
        return json.loads(text, parse_constant=lambda name: None) if text else None  # JSON knows no NaN
    except ValueError:
        return text


def _batch_status(batch_id: str, images: int, events: Sequence[Event]) -> BatchStatus:
    last, opened = last_of(events, batch_id), open_run_of(events, batch_id)
    runs = [event.run_id for event in events if event.action == "start"]
    return BatchStatus(
        batch_id=batch_id,
        images=images,
        shows=[run.run_id for run in last.active_runs] if last else [],
        open_run=opened.run_id if opened else None,
        seq=last.seq if last else 0,
        runs=[_run_status(events, run_id) for run_id in runs],
    )


def _run_status(events: Sequence[Event], run_id: str) -> RunStatus:
    own = [event for event in events if event.run_id == run_id]
    active = {run.run_id: run.publish_seq for run in events[-1].active_runs}
    counted = [event.counts for event in own if event.counts]
    return RunStatus(
        run_id=run_id,
        kind=own[-1].run_kind,
        state=str(run_state(events, own[-1].batch_id, run_id)),
        active=run_id in active,
        publish_seq=active.get(run_id),
        counts=dict(counted[-1]) if counted else {},
        config_hash=own[-1].config_hash,
        started=own[0].at,
        changed=own[-1].at,
        note=own[-1].note,
    )
