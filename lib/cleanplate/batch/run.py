"""Starts, continues or refuses the run of a batch, and publishes what came out."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pyspark.sql import Column
from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from cleanplate.batch.pending import Scope, Step, cut_steps, manifest_rows, scope_rows, wave_count
from cleanplate.batch.publish import abort, count_statuses, hold, publish, steps_left
from cleanplate.batch.recurring import look_for_marks, looking_arm, write_marks
from cleanplate.batch.share import batch_score_below
from cleanplate.batch.waves import Progress, WaveRunner
from cleanplate.config import Config
from cleanplate.errors import CleanplateError, ContractError, HeldError
from cleanplate.marks.recurring import RecurringMark
from cleanplate.models.registry import Registry
from cleanplate.spark.session import SPARK_ERRORS
from cleanplate.warehouse.ledger import ActiveRun, Event, Ledger
from cleanplate.warehouse.tables import Warehouse, reason_of


@dataclass(frozen=True)
class RunOptions:
    """What the user asked of a run besides its configuration."""

    new_run: bool = False
    limit: int | None = None
    no_publish: bool = False
    who: str = "unknown"
    note: str = ""
    staged: bool = False
    auto_approve: bool = False


@dataclass(frozen=True)
class RunReport:
    """What came of a call of `clean`."""

    run_id: str | None
    state: str
    cleaned_now: int
    counts: Mapping[str, int]
    nothing_to_do: bool = False
    gates: str = ""  # JSON, of the last step that was judged
    note: str = ""


logger = logging.getLogger(__name__)
StepPlanner = Callable[[Scope], Mapping[str, Any]]

def clean_batch(
    warehouse: Warehouse, batch_id: str, config: Config, options: RunOptions, progress: Progress
) -> RunReport:
    """Cleans what is pending in a batch, and publishes it.

    An open run goes on if configuration, models and manifest are the same. A published batch gets a layer for rows
    that came since, or that failed for want of storage or time; where the configuration changed, a new base run.

    Args:
        warehouse: the warehouse.
        batch_id: the batch.
        config: the merged configuration.
        options: what was asked besides.
        progress: told of every wave.

    Raises:
        ContractError: unknown batch, or an open run that cannot go on.
        HeldError: the open run waits for an approval.
        ModelError: weights are missing, tampered with or not permitted.
    """
    scope = open_scope(warehouse, batch_id, config, options)
    if scope is None:
        return RunReport(None, "published", 0, {}, nothing_to_do=True)
    if scope.steps:
        raise ContractError(f"run {scope.run_id} goes in steps: `cleanplate clean --batch {batch_id}` goes on with it")
    return clean_scope(warehouse, scope, config, options, progress)


def clean_scope(
    warehouse: Warehouse, scope: Scope, config: Config, options: RunOptions, progress: Progress
) -> RunReport:
    """Cleans all that is pending of a run in one go, then publishes or holds it."""
    cleaned = WaveRunner(warehouse, scope, config).run_all(progress)
    counts = count_statuses(warehouse, scope.batch_id, scope.run_id)
    conclude = hold if options.no_publish else publish
    done = conclude(warehouse, scope.batch_id, scope.run_id, who=options.who, note=options.note, counts=counts)
    return RunReport(scope.run_id, done.state, cleaned, counts)


def open_scope(
    warehouse: Warehouse, batch_id: str, config: Config, options: RunOptions, planner: StepPlanner | None = None
) -> Scope | None:
    """The scope of the run to work on: of the open one, where it may go on, else of a new one.

    Args:
        warehouse: the warehouse.
        batch_id: the batch.
        config: the merged configuration.
        options: what was asked besides.
        planner: divides a new run into steps: from its scope to "sizes" (images of each step and those before it) and
            "design" (JSON values that fix which images these are); None for a run in one go.

    Returns:
        None where nothing is to be done.

    Raises:
        ContractError: unknown batch, or an open run that cannot go on.
        HeldError: the open run waits for an approval.
        ModelError: weights are missing, tampered with or not permitted.
    """
    fingerprint = check_manifest(warehouse, batch_id)
    opened = Ledger(warehouse).open_run(batch_id)
    if opened is not None and options.new_run:
        abort(warehouse, batch_id, who=options.who, note="given up for a new run")
        opened = None
    if opened is not None:
        return _continued(opened, config, options, fingerprint)
    return _started(warehouse, batch_id, config, options, fingerprint, planner)


def check_manifest(warehouse: Warehouse, batch_id: str) -> str:
    """Checks that a batch has images, each with its own id.

    Returns:
        Its fingerprint, which changes when any row of the batch does; the order of the rows does not matter.

    Raises:
        ContractError: no images, or an id twice.
    """
    rows = manifest_rows(warehouse, batch_id)
    hashed = F.sum(F.xxhash64(*_hashable(rows.columns)).cast("decimal(38,0)"))
    facts = rows.agg(F.count("*"), F.count_distinct("image_id"), hashed).collect()[0]
    if not facts[0]:
        raise ContractError(f"batch {batch_id!r} has no images; `cleanplate ingest --batch {batch_id} …` adds them")
    if facts[0] != facts[1]:
        double = rows.groupBy("image_id").count().where("count > 1").limit(1).collect()[0]
        raise ContractError(f"duplicate image_id {double.image_id!r} in batch {batch_id!r}; correct the manifest")
    return f"{facts[0]}:{facts[2]}"


def model_hashes(config: Config) -> dict[str, str]:
    """Digest of every model that is registered, for either arm."""
    arms = [arm for arm in (config, config.arm_b()) if arm is not None]
    return {entry.id: entry.sha256 for arm in arms for entry in Registry.load(arm.models).entries}


def _hashable(columns: list[str]) -> list[Column]:
    return [F.to_json("strata") if name == "strata" else F.col(name) for name in columns if name != "ingested_at"]


def _continued(event: Event, config: Config, options: RunOptions, fingerprint: str) -> Scope:
    """The scope of an open run that may go on."""
    differs = _differences(event, config, options, fingerprint)
    if differs:
        raise ContractError(
            f"run {event.run_id} of batch {event.batch_id!r} is {event.state} and cannot go on, because its "
            f"{' and '.join(differs)} changed since it started; `cleanplate abort --batch {event.batch_id}` gives it "
            "up, `clean --new-run` gives it up and starts anew"
        )
    if event.state == "held":
        moves = "moves it on to its next step" if steps_left(event) else "publishes it"
        raise HeldError(
            f"run {event.run_id} of batch {event.batch_id!r} is held; `cleanplate approve --batch "
            f"{event.batch_id}` {moves}, `cleanplate abort --batch {event.batch_id}` gives it up"
        )
    return scope_of(event)


def _differences(event: Event, config: Config, options: RunOptions, fingerprint: str) -> list[str]:
    facts = json.loads(event.scope)
    checks = {
        "configuration": event.config_hash != config.digest(),
        "models": event.model_hashes != model_hashes(config),
        "manifest": facts["fingerprint"] != fingerprint,
        "limit": facts["limit"] != options.limit,
        "steps": options.staged and not facts.get("steps"),
    }
    return [name for name, differs in checks.items() if differs]


def _started(
    warehouse: Warehouse,
    batch_id: str,
    config: Config,
    options: RunOptions,
    fingerprint: str,
    planner: StepPlanner | None,
) -> Scope | None:
    """Starts a base run, or a layer where a published batch has rows that nobody has done; None where all is done."""
    ledger = Ledger(warehouse)
    event = ledger.last(batch_id)
    active = event.active_runs if event else ()
    is_refresh = bool(active) and not options.new_run and _same_work(ledger, batch_id, active, config)
    version = warehouse.version("manifest")
    draft = Scope(batch_id, "", version, 1, options.limit, active if is_refresh else None)
    images = scope_rows(warehouse, draft).count()
    if not images:
        return None
    marks = _marks(warehouse, batch_id, version, config)
    facts: dict[str, Any] = {
        "waves": wave_count(images, config.run.wave_images),
        "limit": options.limit,
        "fingerprint": fingerprint,
        "below": [[run.run_id, run.publish_seq] for run in active] if is_refresh else None,
        "score_below": batch_score_below(warehouse, batch_id, version, config),
        "score_below_b": batch_score_below(warehouse, batch_id, version, config.arm_b() or Config()),
        "marks": [mark.mark_id for mark in marks],
    }
    if planner is not None:
        facts |= _in_steps(planner(draft), config.run.wave_images)
    started = ledger.start_run(
        batch_id,
        # A limited run holds only some images, so it goes on top of what is shown; it must not replace it.
        run_kind="layer" if is_refresh or options.limit is not None else "base",
        manifest_version=version,
        config_hash=config.digest(),
        config_text=config.to_yaml(),
        model_hashes=model_hashes(config),
        scope=json.dumps(facts),
        who=options.who,
        note=options.note,
    )
    write_marks(warehouse, batch_id, started.run_id, marks)
    return scope_of(started)


def _marks(warehouse: Warehouse, batch_id: str, version: int, config: Config) -> list[RecurringMark]:
    """The batch's recurring marks; none where looking for them fails, which must cost no more than them."""
    arm = looking_arm(config)
    expected: tuple[type[Exception], ...] = (CleanplateError, *SPARK_ERRORS)
    try:
        return look_for_marks(warehouse, batch_id, version, arm) if arm else []
    except expected as error:
        logger.warning("batch %s: recurring marks could not be looked for: %s", batch_id, reason_of(error))
        return []


def _in_steps(plan: Mapping[str, Any], wave_images: int) -> dict[str, Any]:
    """What the run's event must know of its steps."""
    steps = cut_steps(plan["sizes"], wave_images)
    return {
        "waves": sum(step.waves for step in steps),
        "steps": [[step.images, step.first_wave, step.waves] for step in steps],
        "step": 0,
        "design": plan["design"],
    }


def _same_work(ledger: Ledger, batch_id: str, active: tuple[ActiveRun, ...], config: Config) -> bool:
    """Whether what is shown was made with this configuration and these models."""
    starts = {event.run_id: event for event in ledger.events(batch_id) if event.action == "start"}
    # A layer of an undo or a review has no waves: what it was made with says nothing of the batch.
    made = [starts[run.run_id] for run in active if '"waves"' in starts[run.run_id].scope]
    wanted = (config.digest(), model_hashes(config))
    return bool(made) and all((event.config_hash, event.model_hashes) == wanted for event in made)


def scope_of(event: Event) -> Scope:
    """The scope that an event of a run names."""
    facts: dict[str, Any] = json.loads(event.scope)
    below = facts["below"]
    return Scope(
        batch_id=event.batch_id,
        run_id=event.run_id,
        manifest_version=event.manifest_version or 0,
        waves=facts["waves"],
        limit=facts["limit"],
        below=None if below is None else tuple(ActiveRun(run_id, seq) for run_id, seq in below),
        score_below=facts.get("score_below"),  # runs of older versions have none
        score_below_b=facts.get("score_below_b"),
        marks=tuple(facts.get("marks") or ()),
        steps=tuple(Step(*step) for step in facts.get("steps") or ()),
        step=int(facts.get("step", 0)),
    )
