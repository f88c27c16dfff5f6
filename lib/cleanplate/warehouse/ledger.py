"""The ledger: an append-only table of events, written by MERGE so that of two writers one wins."""

from __future__ import annotations

import logging
import random
import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from importlib import metadata
from typing import TYPE_CHECKING, Any, cast

from cleanplate.errors import ContractError, StorageError
from cleanplate.spark.session import SPARK_ERRORS
from cleanplate.warehouse.events import (
    CARRIED,
    NEXT_PUBLISH_SEQ,
    OPEN_STATES,
    PUBLISHING,
    ActiveRun,
    Event,
    RunKind,
    check_transition,
    event_from_row,
    event_to_row,
    last_of,
    open_run_of,
    run_state,
)
from cleanplate.warehouse.schemas import LEDGER, where
from cleanplate.warehouse.tables import reason_of

if TYPE_CHECKING:
    from cleanplate.warehouse.tables import Warehouse

__all__ = ["NEXT_PUBLISH_SEQ", "OPEN_STATES", "ActiveRun", "Event", "Ledger", "last_of", "open_run_of", "run_state"]
logger = logging.getLogger(__name__)

TRIES = 30
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 1.0
_BATCH_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
# What is not the run's affair but the batch's: the event's run and what is active now decide.
_FIELDS = frozenset({"counts", "gates", "table_versions", "who", "note", "active_runs", *CARRIED})


class Ledger:
    """Reads and appends the events of a warehouse."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse
        self._spark = warehouse.spark

    def events(self, batch_id: str | None = None) -> list[Event]:
        """All events, or those of a batch, in the order of batch and seq."""
        frame = self._warehouse.frame("ledger")
        if batch_id is not None:
            frame = frame.where(where(batch_id=batch_id))
        events = [event_from_row(row) for row in frame.collect()]
        return sorted(events, key=lambda event: (event.batch_id, event.seq))

    def last(self, batch_id: str) -> Event | None:
        """The last event of a batch; its active_runs are what the batch shows."""
        return last_of(self.events(batch_id), batch_id)

    def open_run(self, batch_id: str) -> Event | None:
        """Last event of the run that is running or held, though events of other runs may have come after it."""
        return open_run_of(self.events(batch_id), batch_id)

    def start_run(
        self, batch_id: str, run_kind: RunKind = "base", beside_open: bool = False, **fields: Any
    ) -> Event:
        """Starts a run under an id that was never used before.

        Args:
            batch_id: the batch.
            run_kind: "base", or "layer" for one that is published on top of what is active.
            beside_open: allowed while another run of the batch is open, as a small layer (an undo) is.
            fields: of Event: manifest_version, config_hash, config_text, model_hashes, code_version, scope, who, note.

        Raises:
            ContractError: the batch's name cannot stand in a path, or another run of it is open.
        """
        if not _BATCH_NAME.fullmatch(batch_id):
            raise ContractError(f"batch {batch_id!r}: use letters, digits, '.', '_' and '-', at most 100")
        events = self.events(batch_id)
        opened = open_run_of(events, batch_id)
        if opened is not None and not beside_open:
            raise ContractError(
                f"run {opened.run_id} of batch {batch_id!r} is still {opened.state}: `clean` continues it, "
                "`clean --new-run` or `abort` gives it up"
            )
        started = sum(event.action == "start" for event in events)
        code = fields.pop("code_version", "") or _code_version()
        last = last_of(events, batch_id)
        draft = Event(
            batch_id, 0, 0, "start", f"{batch_id}-r{started + 1:04d}", "running", run_kind=run_kind,
            active_runs=last.active_runs if last else (), code_version=code, **fields,
        )  # fmt: skip
        return self._append_after(events, draft)

    def record(
        self, batch_id: str, run_id: str, action: str, events: list[Event] | None = None, **fields: Any
    ) -> Event:
        """Appends the event of an action on a run.

        Args:
            batch_id: the batch.
            run_id: the run.
            action: one of TRANSITIONS.
            events: what the caller decided by; read anew where None. If the batch has moved since, nothing is written.
            fields: counts, gates, table_versions, who, note; active_runs where they change.

        Raises:
            ContractError: the run's state does not allow it, or another writer came first.
        """
        unknown = set(fields) - _FIELDS
        if unknown:
            raise TypeError(f"an event has no {', '.join(sorted(unknown))}")
        known = self.events(batch_id) if events is None else events
        state = check_transition(known, batch_id, run_id, action)
        before = cast(Event, last_of(known, batch_id, run_id))
        carried = {name: getattr(before, name) for name in CARRIED}
        active = {"active_runs": cast(Event, last_of(known, batch_id)).active_runs}
        return self._append_after(known, Event(batch_id, 0, 0, action, run_id, state, **active | carried | fields))

    def append(self, draft: Event, expected_seq: int) -> Event:
        """Inserts an event as number expected_seq + 1 of its batch, in one commit.

        Args:
            draft: the event; its seq, publish_seq and time are set here, and a publish_seq of 0 in its active_runs
                becomes the one drawn.
            expected_seq: the batch's last seq when the draft was made, 0 for none.

        Returns:
            The event as it stands in the ledger.

        Raises:
            ContractError: the batch's seq has moved: another writer came first; names its event.
            StorageError: other batches' writers kept coming first, or the table is out of reach.
        """
        pause_s = _FIRST_PAUSE_S
        for _ in range(TRIES):
            ready = self._numbered(draft, expected_seq)
            if self._insert(ready):
                return ready
            logger.info("ledger: %s of %s lost a race, trying again", draft.action, draft.run_id)
            time.sleep(pause_s * random.uniform(0.5, 1.5))  # noqa: S311  (spreads writers, decides nothing)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        raise StorageError(f"{draft.action} of run {draft.run_id} lost {TRIES} races in the ledger: try again later")

    def _append_after(self, events: list[Event], draft: Event) -> Event:
        last = last_of(events, draft.batch_id)
        return self.append(draft, last.seq if last else 0)

    def _numbered(self, draft: Event, expected_seq: int) -> Event:
        """The draft with its numbers, by the ledger as it is now."""
        columns = ("batch_id", "seq", "publish_seq", "action", "run_id", "who")
        known = self._warehouse.frame("ledger").select(*columns).collect()
        mine = sorted((row for row in known if row["batch_id"] == draft.batch_id), key=lambda row: int(row["seq"]))
        if (mine[-1]["seq"] if mine else 0) != expected_seq:
            raise ContractError(_lost(draft, mine[-1].asDict() if mine else {}))
        highest = max((row["publish_seq"] for row in known), default=0)
        carried = mine[-1]["publish_seq"] if mine else 0
        number = highest + 1 if draft.action in PUBLISHING else carried
        active = tuple(run if run.publish_seq else replace(run, publish_seq=number) for run in draft.active_runs)
        now = datetime.now(timezone.utc).replace(tzinfo=None)
        return replace(draft, seq=expected_seq + 1, publish_seq=number, active_runs=active, at=now)

    def _insert(self, event: Event) -> bool:
        """One insert-only MERGE; whether the event is now in the ledger.

        A publish also conflicts with any event that holds its publish_seq or a later one, so the numbers stay unique
        over all batches. Without a literal in the condition Delta counts the whole table as read, so two commits
        at a time always conflict.
        """
        stamp = uuid.uuid4().hex
        view = f"cleanplate_event_{stamp}"
        values = event_to_row(event)
        row = tuple(values[name] for name in LEDGER.fieldNames())
        self._spark.createDataFrame([row], LEDGER).createOrReplaceTempView(view)
        publishes = str(event.action in PUBLISHING).lower()
        statement = (
            f"MERGE INTO {self._warehouse.name('ledger')} t USING {view} s "
            "ON (t.batch_id = s.batch_id AND t.seq = s.seq) "
            f"OR ({publishes} AND t.publish_seq >= s.publish_seq) WHEN NOT MATCHED THEN INSERT *"
        )
        try:
            inserted = self._spark.sql(statement).collect()
        except SPARK_ERRORS as error:
            if is_conflict(error):
                return False
            place = self._warehouse.location
            raise StorageError(f"cannot write to the ledger of {place}: {reason_of(error)}") from error
        finally:
            self._spark.catalog.dropTempView(view)
        return bool(inserted and inserted[0]["num_inserted_rows"] == 1)


def is_conflict(error: BaseException) -> bool:
    """Whether Delta refused a commit because another one came first."""
    text = f"{type(error).__name__} {error}"
    return bool(re.search(r"DELTA_CONCURRENT_|Concurrent(Append|Write|Transaction|Delete\w+|Modification)\w*|"
                          r"MetadataChangedException|ProtocolChangedException", text))  # fmt: skip


def _lost(draft: Event, winner: Mapping[str, Any]) -> str:
    what = f"{draft.action.replace('_', ' ')} of run {draft.run_id}"
    if not winner:
        return f"{what}: batch {draft.batch_id!r} has no events"
    return (
        f"{what} was not done: batch {draft.batch_id!r} has moved meanwhile, {winner['who'] or 'somebody'} did "
        f"'{winner['action'].replace('_', ' ')}' on run {winner['run_id']} (event {winner['seq']}); look at "
        f"`cleanplate history --batch {draft.batch_id}`, then try again"
    )


def _code_version() -> str:
    try:
        return metadata.version("cleanplate")
    except metadata.PackageNotFoundError:  # shipped to the cluster as a plain zip
        return "unknown"
