"""The event of the ledger, the states of a run, and which step leads from which state to which."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, cast

from cleanplate.errors import ContractError

if TYPE_CHECKING:
    from pyspark.sql import Row

State = Literal["running", "held", "published", "rolled_back", "aborted", "purging", "purged"]
RunKind = Literal["base", "layer"]
OPEN_STATES = ("running", "held")
NEXT_PUBLISH_SEQ = 0  # stands in `active_runs` until the ledger has drawn the number
PUBLISHING = ("publish", "republish")

# action -> (states it may start from, state it leads to); None stands for a run that does not exist yet, and as the
# state it leads to for the one that the run is in.
TRANSITIONS: dict[str, tuple[tuple[str | None, ...], State | None]] = {
    "start": ((None,), "running"),
    "hold": (("running", "held"), "held"),
    "resume": (("running", "held"), "running"),
    "approve": (("held",), "running"),
    "publish": (("running",), "published"),
    "abort": (("running", "held"), "aborted"),
    "roll_back": (("published",), "rolled_back"),
    "republish": (("rolled_back",), "published"),
    "restore": (("published", "rolled_back"), "published"),
    "rehearsed": (("held", "published"), None),
    "purge": (("published", "rolled_back", "aborted", "purging"), "purging"),
    "purged": (("purging",), "purged"),
}
_VERBS = {"rehearsed": "rehearse"}  # where the action is no verb
_ADVICE: dict[str | None, str] = {
    None: "no such run was started",
    "running": "`clean` continues it, `abort` gives it up",
    "held": "`approve` moves it on, `abort` gives it up",
    "published": "`rollback` takes it back",
    "rolled_back": "republish it, or start a new run with `clean --new-run`",
    "aborted": "start a new run with `clean`",
    "purging": "run the purge again to finish it",
    "purged": "nothing of it is left; start a new run with `clean`",
}


@dataclass(frozen=True)
class ActiveRun:
    """A run that counts now, with the publish_seq it was published with (0: to be drawn by the ledger)."""

    run_id: str
    publish_seq: int = NEXT_PUBLISH_SEQ

    @property
    def key(self) -> str:
        """The text `current.sql` compares."""
        return f"{self.run_id}@{self.publish_seq}"


@dataclass(frozen=True)
class Event:
    """One row of the ledger.

    Attributes:
        batch_id: the batch.
        seq: number within the batch, from 1 without gaps.
        publish_seq: drawn on publish and republish, one larger than any before in the warehouse; else carried.
        action: what was done, one of TRANSITIONS.
        run_id: the run it was done to.
        state: that run's state afterwards.
        active_runs: what the batch shows afterwards: a base run and its layers, bottom first; () = the originals.
        run_kind: "base" or "layer".
        manifest_version: Delta version of the manifest that the run reads.
        config_hash: digest of the run's configuration.
        config_text: the configuration as YAML; on every event of the run.
        model_hashes: sha256 by model id.
        code_version: version of the package.
        scope: JSON, what the run loop must know to go on; carried from the run's start to its every event.
        table_versions: Delta versions of the run's tables at the event.
        counts: images by status.
        gates: JSON, the gates' results.
        who: who did it.
        at: when, UTC; for people, never for order.
        note: in words.
    """

    batch_id: str
    seq: int
    publish_seq: int
    action: str
    run_id: str
    state: State
    active_runs: tuple[ActiveRun, ...] = ()
    run_kind: RunKind = "base"
    manifest_version: int | None = None
    config_hash: str = ""
    config_text: str = ""
    model_hashes: Mapping[str, str] = field(default_factory=dict)
    code_version: str = ""
    scope: str = ""
    table_versions: Mapping[str, int] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    gates: str = ""
    who: str = ""
    at: datetime | None = None
    note: str = ""

    @property
    def active_keys(self) -> tuple[str, ...]:
        """`run_id@publish_seq` of each active run."""
        return tuple(run.key for run in self.active_runs)


# What an event takes over from the run's event before it.
CARRIED = ("run_kind", "manifest_version", "config_hash", "config_text", "model_hashes", "code_version", "scope")


def event_from_row(row: Row) -> Event:
    """Reads a row of the ledger."""
    values: dict[str, Any] = {item.name: row[item.name] for item in fields(Event)}
    values["active_runs"] = tuple(ActiveRun(run["run_id"], run["publish_seq"]) for run in row["active_runs"])
    for name in ("model_hashes", "table_versions", "counts"):
        values[name] = dict(values[name] or {})
    texts = ("config_hash", "config_text", "code_version", "scope", "gates", "who", "note")
    return Event(**values | {name: values[name] or "" for name in texts})


def event_to_row(event: Event) -> dict[str, Any]:
    """Columns of the ledger for an event; `at` is set by the table's writer."""
    values = {item.name: getattr(event, item.name) for item in fields(Event)}
    runs = [{"run_id": run.run_id, "publish_seq": run.publish_seq} for run in event.active_runs]
    return values | {"active_runs": runs, "active_keys": list(event.active_keys)}


def last_of(events: Iterable[Event], batch_id: str, run_id: str | None = None) -> Event | None:
    """The last event of a batch, or of one run of it."""
    mine = [e for e in events if e.batch_id == batch_id and run_id in (None, e.run_id)]
    return max(mine, key=lambda event: event.seq, default=None)


def run_state(events: Sequence[Event], batch_id: str, run_id: str) -> State | None:
    """State of a run now, None where it was never started.

    A published run that another one replaced, or that a roll back of the whole batch took with it, counts as
    rolled back though no event of its own says so; one that a roll back restored counts as published.
    """
    own, last = last_of(events, batch_id, run_id), last_of(events, batch_id)
    if own is None or last is None or own.state not in ("published", "rolled_back"):
        return own.state if own else None
    return "published" if any(run.run_id == run_id for run in last.active_runs) else "rolled_back"


def is_aside(event: Event) -> bool:
    """Whether the run waits for a reviewer's verdict, beside what `clean` does: one image cleaned again."""
    return "over" in json.loads(event.scope or "{}")


def open_run_of(events: Sequence[Event], batch_id: str) -> Event | None:
    """Last event of the batch's run that is running or held; None where there is none.

    Runs that wait for a reviewer do not count: nobody continues them, and they stop nobody.
    """
    runs = {event.run_id for event in events if event.batch_id == batch_id and not is_aside(event)}
    lasts = [last_of(events, batch_id, run_id) for run_id in sorted(runs)]
    return next((event for event in lasts if event is not None and event.state in OPEN_STATES), None)


def check_transition(events: Sequence[Event], batch_id: str, run_id: str, action: str) -> State:
    """The state that an action leads to.

    Raises:
        ContractError: it is not allowed from the run's state; says what is.
    """
    allowed, target = TRANSITIONS[action]
    state = run_state(events, batch_id, run_id)
    if state is None and None in allowed:
        return cast(State, target)
    if state is None or state not in allowed:
        verb = _VERBS.get(action, action.replace("_", " "))
        raise ContractError(f"cannot {verb} run {run_id}, which is {state or 'unknown'}: {_ADVICE[state]}")
    return target or state
