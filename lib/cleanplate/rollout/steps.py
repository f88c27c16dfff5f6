"""Runs a batch in steps: a stratified sample, gates, a hold or the next step, and in the end the publication."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from cleanplate.batch.pending import Scope, scope_rows
from cleanplate.batch.publish import approve, blocking_gates, count_statuses, hold, publish, steps_left
from cleanplate.batch.run import RunOptions, RunReport, clean_scope, open_scope
from cleanplate.batch.waves import Progress, WaveRunner
from cleanplate.config import Config, RolloutConfig
from cleanplate.errors import ContractError
from cleanplate.rollout.collect import collect_facts
from cleanplate.rollout.drift import Profile, compare, last_means, profile_from_dict, profile_of
from cleanplate.rollout.gates import Gate, gates_file, load_gates
from cleanplate.rollout.judge import ALWAYS, DRAWN, judge
from cleanplate.rollout.judgement import Judgement
from cleanplate.rollout.sample import Design, always_ids, digest_of, sample_order, step_sizes, strata, usable_columns
from cleanplate.warehouse.events import Event, run_state
from cleanplate.warehouse.ledger import Ledger
from cleanplate.warehouse.tables import Warehouse

logger = logging.getLogger(__name__)
PROFILED_IMAGES = 2000  # of an earlier run that was published without gates
AUTO_NOTE = "gates passed, approved by --auto-approve"
_LISTED = ("image_id", "strata", "width", "height", "bytes")


def clean_batch_in_steps(
    warehouse: Warehouse, batch_id: str, config: Config, options: RunOptions, progress: Progress
) -> RunReport:
    """Cleans what is pending in a batch, by steps where that was asked for or the open run goes so.

    After each step the gates are judged over all images so far. The run is held then, unless `options.auto_approve` is
    given, all gates passed and the batch does not drift; after the last step it is published in that case.

    Args:
        warehouse: the warehouse.
        batch_id: the batch.
        config: the merged configuration.
        options: what was asked besides.
        progress: told of every wave.

    Raises:
        ConfigError: the gates or the labelled set cannot be read.
        ContractError: unknown batch, or an open run that cannot go on.
        HeldError: the open run waits for an approval.
        ModelError: weights are missing, tampered with or not permitted.
    """
    gates = load_gates(gates_file(config))
    _approve_what_passed(warehouse, batch_id, options)
    planner = (lambda scope: plan_steps(warehouse, scope, config.rollout)) if options.staged else None
    scope = open_scope(warehouse, batch_id, config, options, planner)
    if scope is None:
        return RunReport(None, "published", 0, {}, nothing_to_do=True)
    if not scope.steps:
        return clean_scope(warehouse, scope, config, options, progress)
    return StagedRun(warehouse, scope, config, options, gates).go_on(progress)


def plan_steps(warehouse: Warehouse, scope: Scope, config: RolloutConfig) -> dict[str, Any]:
    """Divides a new run: how many images each step draws, and the design that fixes which."""
    images = listed(warehouse, scope)
    sizes = step_sizes(len(images), config.steps, config.min_images)
    design = Design(
        columns=usable_columns(images["strata"], config.strata),
        size_edges_mpx=config.size_edges_mpx,
        compression_edges=config.compression_edges,
        always_sha256=digest_of(always_ids(config.always) & set(images["image_id"])),
        first=sizes[0],
    )
    return {"sizes": sizes, "design": design.as_dict()}


def listed(warehouse: Warehouse, scope: Scope) -> pd.DataFrame:
    """What the sample goes by: ids, strata and sizes of a run's images, in the order of their ids."""
    frame = scope_rows(warehouse, scope).select(*_LISTED).toPandas()
    return frame.sort_values("image_id", ignore_index=True)


@dataclass(frozen=True)
class StagedRun:
    """A run in steps, from where it stands."""

    warehouse: Warehouse
    scope: Scope
    config: Config
    options: RunOptions
    gates: Sequence[Gate]

    def go_on(self, progress: Progress) -> RunReport:
        """Runs step after step until one is held or all are published."""
        cleaned, step = 0, self.scope.step
        if step == len(self.scope.steps):  # approved, but killed before the publication
            done = publish(self.warehouse, self.scope.batch_id, self.scope.run_id, self.options.who, self.options.note)
            return RunReport(self.scope.run_id, done.state, 0, done.counts)
        while True:
            scope = replace(self.scope, step=step)
            cleaned += WaveRunner(self.warehouse, scope, self.config, self._early).run_all(progress)
            found = self._judge(step)
            counts = count_statuses(self.warehouse, scope.batch_id, scope.run_id)
            event = self._conclude(found, counts)
            if event.state != "running":
                return RunReport(scope.run_id, event.state, cleaned, counts, gates=found.to_json(), note=found.note)
            step += 1

    def _conclude(self, found: Judgement, counts: Mapping[str, int]) -> Event:
        """Holds the run, publishes it, or notes the step and goes on."""
        run = (self.warehouse, self.scope.batch_id, self.scope.run_id)
        note = "; ".join(filter(None, (self.options.note, found.note)))
        extra: dict[str, Any] = {"gates": found.to_json(), "scope": self._scope_text(found.step)}
        goes_on = self.options.auto_approve and found.passed
        if goes_on and found.step == found.steps and not self.options.no_publish:
            return publish(*run, who=self.options.who, note=note, counts=counts, **extra)
        held = hold(*run, who=self.options.who, note=note, counts=counts, **extra)
        if not goes_on or found.step == found.steps:
            return held
        return approve(self.warehouse, self.scope.batch_id, self.options.who, AUTO_NOTE)

    def _scope_text(self, step: int) -> str:
        """The run's scope for the ledger, with the number of steps that are judged."""
        events = Ledger(self.warehouse).events(self.scope.batch_id)
        text = next(event.scope for event in reversed(events) if event.run_id == self.scope.run_id)
        return json.dumps(json.loads(text) | {"step": step})

    @cached_property
    def _design(self) -> Design:
        events = Ledger(self.warehouse).events(self.scope.batch_id)
        text = next(event.scope for event in events if event.run_id == self.scope.run_id)
        return Design.from_dict(json.loads(text)["design"])

    @cached_property
    def _members(self) -> pd.DataFrame:
        """Every image of the run with its rank in the sample's order, and whether it is of the labelled set.

        Raises:
            ContractError: the labelled set is not the one that the run started with.
        """
        images = listed(self.warehouse, self.scope)
        labelled = always_ids(self.config.rollout.always) & set(images["image_id"])
        if digest_of(labelled) != self._design.always_sha256:
            raise ContractError(
                f"run {self.scope.run_id} cannot go on, because rollout.always names other images than when it "
                "started; bring that file back, or start anew with `clean --new-run`"
            )
        divided = strata(images, self._design)
        cells = ["|".join(row) for row in divided.assign(one="").itertuples(index=False)]
        ranks = sample_order(images["image_id"], cells, self.scope.batch_id, self._design.first)
        return pd.DataFrame(
            {"image_id": images["image_id"], "rank": ranks, ALWAYS: images["image_id"].isin(labelled)}
        )

    @cached_property
    def _early(self) -> DataFrame:
        """Image ids with their step, for all steps but the last."""
        members, sizes = self._members, [step.images for step in self.scope.steps]
        steps = np.searchsorted(sizes, members["rank"].to_numpy(), side="right")
        steps[members[ALWAYS].to_numpy()] = 0
        table = pd.DataFrame({"image_id": members["image_id"], "step": steps.astype(np.int32)})
        return F.broadcast(_frame(self.warehouse, table[table["step"] < len(sizes) - 1]))

    def _judge(self, step: int) -> Judgement:
        """The gates over all images of this step and those before it."""
        rollout, ledger = self.config.rollout, Ledger(self.warehouse)
        facts = self._facts(step)
        earlier = self._earlier(ledger)
        metrics, population = rollout.drift_metrics, self.scope.steps[-1].images
        profile = profile_of(facts, self.gates, metrics)
        drift = compare(profile, list(earlier.values()), rollout.drift, metrics, population)
        asked = self.config.verify.min_confidence
        asked = min(1.0, asked + rollout.drift_confidence) if drift else asked
        facts["asked_confidence"] = pd.Series(asked, index=facts.index, dtype="Float64")
        return Judgement(
            step=step + 1,
            steps=len(self.scope.steps),
            images=int(facts[DRAWN].sum()),
            of=population,
            results=tuple(judge(self.gates, facts, population, last_means(list(earlier.values())))),
            drift=tuple(drift),
            asked_confidence=asked,
            compared=tuple(earlier),
            profile=profile,
        )

    def _facts(self, step: int) -> pd.DataFrame:
        facts = self._collected(self.scope.batch_id, self.scope.run_id)
        facts = facts.merge(self._members, on="image_id", how="left")
        facts[DRAWN] = (facts["rank"] < self.scope.steps[step].images).fillna(False).astype(bool)
        facts[ALWAYS] = facts[ALWAYS].fillna(False).astype(bool)
        return facts[facts[DRAWN] | facts[ALWAYS]].reset_index(drop=True)

    def _collected(self, batch_id: str, run_id: str, most: int | None = None) -> pd.DataFrame:
        wanted = {name for gate in self.gates for name in gate.facts} | set(self.config.rollout.drift_metrics)
        return collect_facts(self.warehouse, batch_id, run_id, self._design, wanted, most)

    def _earlier(self, ledger: Ledger) -> dict[str, Profile]:
        """Profiles of the last published runs by run, the latest first; a run is measured where its event has none."""
        found: dict[str, Profile] = {}
        for event in published_runs(ledger.events(), self.config.rollout.drift_runs):
            profile = json.loads(event.gates)["profile"] if event.gates else None
            if profile is not None:
                found[event.run_id] = profile_from_dict(profile)
            else:
                facts = self._collected(event.batch_id, event.run_id, PROFILED_IMAGES)
                found[event.run_id] = profile_of(facts, self.gates, self.config.rollout.drift_metrics)
        return found


def published_runs(events: Sequence[Event], most: int) -> list[Event]:
    """Where runs that are shown now were published, the latest first; layers of an undo have nothing to compare."""
    shown = [
        event
        for event in events
        if event.action in ("publish", "republish")
        and event.scope
        and run_state(events, event.batch_id, event.run_id) == "published"
    ]
    latest = {event.run_id: event for event in sorted(shown, key=lambda event: event.publish_seq)}
    judged = {event.run_id: event.gates for event in events if event.gates}
    ordered = sorted(latest.values(), key=lambda event: -event.publish_seq)[:most]
    return [replace(event, gates=event.gates or judged.get(event.run_id, "")) for event in ordered]


def _approve_what_passed(warehouse: Warehouse, batch_id: str, options: RunOptions) -> None:
    """Moves a run on whose step passed its gates, where that was asked for and a kill came before the approval."""
    if not options.auto_approve or options.new_run:
        return
    opened = Ledger(warehouse).open_run(batch_id)
    if opened is None or opened.state != "held" or not opened.gates:
        return
    if options.no_publish and not steps_left(opened):
        return
    if not blocking_gates(opened) and not json.loads(opened.gates)["semi_automatic"]:
        approve(warehouse, batch_id, options.who, AUTO_NOTE)


def _frame(warehouse: Warehouse, table: pd.DataFrame) -> DataFrame:
    return warehouse.spark.createDataFrame(table, "image_id string, step int")
