"""Moves a run through its states: hold, resume, approve, publish, abort."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F  # noqa: N812  (the name Spark's own documentation uses)

from cleanplate.batch.fanout import drop_staging
from cleanplate.errors import ContractError, HeldError
from cleanplate.warehouse.events import ActiveRun, Event, check_transition, last_of, open_run_of
from cleanplate.warehouse.ledger import Ledger
from cleanplate.warehouse.schemas import where

if TYPE_CHECKING:
    from cleanplate.warehouse.tables import Warehouse


def publish(
    warehouse: Warehouse,
    batch_id: str,
    run_id: str,
    who: str = "",
    note: str = "",
    counts: Mapping[str, int] | None = None,
    allow_partial: bool = False,
    **more: Any,
) -> Event:
    """Shows a run, in one commit: a base run instead of what the batch shows, a layer on top of it.

    Args:
        warehouse: the warehouse.
        batch_id: the batch.
        run_id: a run that is running.
        who: who publishes.
        note: in words.
        counts: images by status; counted here where None.
        allow_partial: a base run that lacks images of its manifest may be published.
        more: of the event: gates, scope.

    Returns:
        The event; its publish_seq is larger than any before.

    Raises:
        ContractError: the run's state forbids it, rows are still staged, images are missing, or another publisher
            of the batch came first.
    """
    ledger = Ledger(warehouse)
    events = ledger.events(batch_id)
    check_transition(events, batch_id, run_id, "publish")
    started = last_of(events, batch_id, run_id)
    last = last_of(events, batch_id)
    if started is None or last is None:
        raise ContractError(f"batch {batch_id!r} has no run {run_id}")
    with ThreadPoolExecutor(3) as pool:  # each is a query of its own, mostly waiting
        versions = pool.submit(warehouse.versions)
        counted = pool.submit(lambda: counts or count_statuses(warehouse, batch_id, run_id))
        _check_complete(warehouse, started, allow_partial)
    new = ActiveRun(run_id)
    return ledger.record(
        batch_id, run_id, "publish", events, who=who, note=note,
        active_runs=(*last.active_runs, new) if started.run_kind == "layer" else (new,),
        counts=dict(counted.result()), table_versions=versions.result(), **more,
    )  # fmt: skip


def hold(
    warehouse: Warehouse,
    batch_id: str,
    run_id: str,
    who: str = "",
    note: str = "",
    counts: Mapping[str, int] | None = None,
    **more: Any,
) -> Event:
    """Holds a run: a gate failed, a step awaits approval, or it was asked not to publish.

    Args:
        warehouse: the warehouse.
        batch_id: the batch.
        run_id: the run.
        who: who holds it.
        note: in words.
        counts: images by status; counted here where None.
        more: of the event: gates, scope.

    Raises:
        ContractError: the run is not open.
    """
    known = count_statuses(warehouse, batch_id, run_id) if counts is None else counts
    return Ledger(warehouse).record(batch_id, run_id, "hold", who=who, note=note, counts=dict(known), **more)


def resume(warehouse: Warehouse, batch_id: str, run_id: str, who: str = "", note: str = "") -> Event:
    """Notes that an open run goes on.

    Raises:
        ContractError: the run is not open.
    """
    return Ledger(warehouse).record(batch_id, run_id, "resume", who=who, note=note)


def approve(
    warehouse: Warehouse, batch_id: str, who: str = "", note: str = "", despite_gates: bool = False
) -> Event:
    """Moves the held run on: a complete one is published, another goes on with its next step.

    Args:
        warehouse: the warehouse.
        batch_id: the batch.
        who: who approves.
        note: in words.
        despite_gates: also a run that a gate blocked.

    Returns:
        The last event: of the publication, or of the approval where images are still missing.

    Raises:
        ContractError: no run of the batch is held.
        HeldError: a gate blocked it, and that is not approved of.
    """
    ledger = Ledger(warehouse)
    opened = _open_run(ledger, batch_id)
    blocked = blocking_gates(opened)
    if opened.state == "held" and blocked and not despite_gates:
        raise HeldError(
            f"run {opened.run_id} of batch {batch_id!r} was held by its gates ({', '.join(blocked)}); "
            f"`cleanplate approve --batch {batch_id} --despite-gates` moves it on all the same, "
            f"`cleanplate abort --batch {batch_id}` gives it up"
        )
    approved = ledger.record(batch_id, opened.run_id, "approve", who=who, note=note, counts=opened.counts)
    if steps_left(approved):
        return approved
    missing = missing_images(warehouse, approved)
    if missing or staged_waves(warehouse, batch_id, opened.run_id):
        return approved
    return publish(warehouse, batch_id, opened.run_id, who, note, approved.counts or None)


def abort(warehouse: Warehouse, batch_id: str, who: str = "", note: str = "") -> Event:
    """Gives the open run up; nothing of it was ever shown. Its rows stay until a purge.

    Raises:
        ContractError: no run of the batch is open.
    """
    ledger = Ledger(warehouse)
    opened = _open_run(ledger, batch_id)
    event = ledger.record(batch_id, opened.run_id, "abort", who=who, note=note)
    drop_staging(warehouse, batch_id, opened.run_id)
    return event


def count_statuses(warehouse: Warehouse, batch_id: str, run_id: str) -> dict[str, int]:
    """Images of a run by status, each by its last wave."""
    rows = warehouse.frame("results").where(where(batch_id=batch_id, run_id=run_id))
    last = rows.groupBy("image_id").agg(F.max_by("status", "wave").alias("status"))
    return {row["status"]: row["count"] for row in last.groupBy("status").count().collect()}


def blocking_gates(event: Event) -> list[str]:
    """Names of the gates that held a run, by its last event that has gates' results."""
    results = json.loads(event.gates)["results"] if event.gates else []
    return sorted({result["gate"] for result in results if result["holds"]})


def steps_left(event: Event) -> int:
    """How many steps of a run are still to come; 0 for a run in one go."""
    facts = json.loads(event.scope) if event.scope else {}
    return len(facts.get("steps") or ()) - int(facts.get("step", 0))


def missing_images(warehouse: Warehouse, run: Event) -> int:
    """How many images of its manifest a base run has no row for; 0 for a layer, which holds only some by its nature."""
    if run.run_kind == "layer":
        return 0
    listed = warehouse.frame("manifest", run.manifest_version).where(where(batch_id=run.batch_id))
    done = warehouse.frame("results").where(where(batch_id=run.batch_id, run_id=run.run_id))
    return listed.select("image_id").join(done.select("image_id"), "image_id", "left_anti").count()


def staged_waves(warehouse: Warehouse, batch_id: str, run_id: str) -> list[int]:
    """Waves whose rows still wait for their fan-out."""
    staged = warehouse.frame("staging").where(where(batch_id=batch_id, run_id=run_id))
    return sorted(row["wave"] for row in staged.select("wave").distinct().collect())


def _check_complete(warehouse: Warehouse, run: Event, allow_partial: bool) -> None:
    with ThreadPoolExecutor(1) as pool:
        lacking = pool.submit(lambda: 0 if allow_partial else missing_images(warehouse, run))
        waves = staged_waves(warehouse, run.batch_id, run.run_id)
    if waves:
        raise ContractError(f"run {run.run_id} has staged rows of wave {waves[0]}: `clean` finishes it first")
    missing = lacking.result()
    if missing:
        raise ContractError(
            f"run {run.run_id} lacks {missing} images of its manifest: `clean --batch {run.batch_id}` finishes it first"
        )


def _open_run(ledger: Ledger, batch_id: str) -> Event:
    opened = open_run_of(ledger.events(batch_id), batch_id)
    if opened is None:
        raise ContractError(f"batch {batch_id!r} has no open run; see `cleanplate status --batch {batch_id}`")
    return opened
