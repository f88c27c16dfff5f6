"""The figures of an audit report, as plain values."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cleanplate.records import Template
from cleanplate.rollout.arms import ArmDifference
from cleanplate.rollout.intervals import wilson
from cleanplate.rollout.page import STATUSES, PageEntry
from cleanplate.warehouse.events import Event

ACCEPT, REJECT = "accept", "reject"


@dataclass(frozen=True)
class Share:
    """A part of a whole, with its interval of 95 %.

    Attributes:
        count: of the part.
        total: of the whole.
    """

    count: int
    total: int

    @property
    def value(self) -> float | None:
        """The share, None of nothing."""
        return self.count / self.total if self.total else None

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Wilson's score interval (Wilson, 1927), None of nothing.

        Example:
            >>> [round(bound, 3) for bound in Share(8, 10).bounds]
            [0.49, 0.943]
        """
        return wilson(self.count, self.total) if self.total else None


@dataclass(frozen=True)
class KindRow:
    """Regions of one kind.

    Attributes:
        kind: what they are.
        images: that have such regions.
        regions: how many.
        decisions: regions by decision (filled, review, gated, kept).
        confidence: mean of those that were filled, or tried and sent to review.
    """

    kind: str
    images: int
    regions: int
    decisions: Mapping[str, int]
    confidence: float | None


@dataclass(frozen=True)
class MarkRow:
    """A recurring mark of a run, and the images that carry it.

    Attributes:
        mark_id: identity in its run.
        run_id: the run.
        kind: what the detectors take it for.
        template: what it looks like; None where that cannot be read any more.
        support: share of the pictures looked at that carry it.
        pictures: that its template was made of.
        images: that carry it, of those that count.
        decisions: its regions by decision (filled, review, gated, kept).
        confidence: mean of those that were filled, or tried and sent to review.
    """

    mark_id: str
    run_id: str
    kind: str
    template: Template | None
    support: float
    pictures: int
    images: int
    decisions: Mapping[str, int]
    confidence: float | None


@dataclass(frozen=True)
class RouteRow:
    """Regions that ended with one engine.

    Attributes:
        engine: its name.
        regions: that it filled or tried last.
        review: of them, those that did not hold up.
        confidence: mean.
        attempts: mean number.
        cost_units: of all attempts on these regions.
    """

    engine: str
    regions: int
    review: int
    confidence: float | None
    attempts: float | None
    cost_units: float


@dataclass(frozen=True)
class TrendPoint:
    """One batch in the trends, as it is shown now.

    Attributes:
        batch_id: the batch.
        publish_seq: of its latest run that is shown; the order of the points.
        images: that it shows.
        values: by what, such as "touched"; None where nothing was measured.
    """

    batch_id: str
    publish_seq: int
    images: int
    values: Mapping[str, float | None]


@dataclass(frozen=True)
class GateRow:
    """One result of a gate, as the ledger has it.

    Attributes:
        run_id: the run.
        step: number of the step, None where the event does not say.
        gate: its name.
        stratum: "" for all images.
        verdict: passed, failed, missing, or warning (failed, but it does not hold the run).
        value: what was found.
        limit: what is allowed.
        bounds: of the value, None where it is not bounded.
        sure: how sure the step can be, in words.
        cause: what the images over the limit have in common.
    """

    run_id: str
    step: int | None
    gate: str
    stratum: str
    verdict: str
    value: float | None
    limit: float | None
    bounds: tuple[float, float] | None
    sure: str
    cause: str


@dataclass(frozen=True)
class Audit:
    """All that a report shows of a batch.

    Attributes:
        batch_id: the batch.
        runs: what the report is about, bottom first: the runs that are shown, else the open one, else the last one.
        standing: in words, whether they are shown.
        images: rows of the manifest.
        statuses: images by status; of an image in several runs its last row counts.
        touched: images of which pixels were changed.
        coverage: mean share of the pixels under the masks, of the touched images.
        enhanced: images by the step that ran over the whole of them, such as "denoise".
        synthetic: images whose detail was partly invented.
        kinds: regions by kind.
        marks: recurring marks, those on the most images first.
        routes: regions by engine.
        seconds: by stage, over all images.
        accepted: images that reviewers accepted, of those with a verdict; one reject outweighs accepts.
        verdicts: all verdicts by name.
        gates: results of the last judgement of each run, with those of its earlier steps that did not pass.
        drift: in what the batch differs from earlier ones, in words.
        arms: B against A, where a run has both.
        trends: over the batches of the warehouse.
        worst: the least sure images.
        events: of the ledger.
    """

    batch_id: str
    runs: tuple[str, ...]
    standing: str
    images: int
    statuses: Mapping[str, int]
    touched: int
    coverage: float | None = None
    enhanced: Mapping[str, int] = field(default_factory=dict)
    synthetic: int = 0
    kinds: Sequence[KindRow] = ()
    marks: Sequence[MarkRow] = ()
    routes: Sequence[RouteRow] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    accepted: Share = Share(0, 0)
    verdicts: Mapping[str, int] = field(default_factory=dict)
    gates: Sequence[GateRow] = ()
    drift: Sequence[str] = ()
    arms: Sequence[ArmDifference] = ()
    trends: Sequence[TrendPoint] = ()
    worst: Sequence[PageEntry] = ()
    events: Sequence[Event] = ()

    @property
    def done(self) -> int:
        """Images with a row."""
        return sum(self.statuses.values())

    @property
    def cost_units(self) -> float:
        """Of all attempts on all images."""
        return sum(route.cost_units for route in self.routes)

    def per_thousand(self, total: float) -> float | None:
        """What a thousand images take, where all took `total`."""
        return 1000 * total / self.done if self.done else None

    def ordered_statuses(self) -> list[tuple[str, int]]:
        """Statuses that occur, those that need eyes first."""
        return [(status, self.statuses[status]) for status in STATUSES if self.statuses.get(status)]


def gate_rows(events: Sequence[Event]) -> list[GateRow]:
    """The gates' results in some events: of each run the last judgement, and what failed in earlier steps.

    Args:
        events: oldest first; their `gates` hold JSON with "step" and "results", other texts are passed over.
    """
    judged = [(event, values) for event in events if (values := _judgement(event))]
    last = {event.run_id: values for event, values in judged}
    found: dict[tuple[Any, ...], GateRow] = {}
    for event, values in judged:
        for result in values["results"]:
            row = _gate_row(event.run_id, values.get("step"), result)
            if values is last[event.run_id] or row.verdict != "passed":
                found[row.run_id, row.step, row.gate, row.stratum] = row
    return list(found.values())


def drift_lines(events: Sequence[Event]) -> list[str]:
    """What the last judgement of each run says of drift, in words."""
    last = {event.run_id: values for event in events if (values := _judgement(event))}
    return [_drift_line(run_id, item) for run_id, values in last.items() for item in values.get("drift") or ()]


def _drift_line(run_id: str, item: Mapping[str, Any]) -> str:
    where = f" of {item['stratum']}" if item.get("stratum") else ""
    return f"{run_id}: {item.get('what')}{where} is {_text(item.get('now'))}, was {_text(item.get('before'))}"


def _judgement(event: Event) -> dict[str, Any] | None:
    try:
        values = json.loads(event.gates) if event.gates else None
    except ValueError:
        return None
    return values if isinstance(values, dict) and isinstance(values.get("results"), list) else None


def _gate_row(run_id: str, step: int | None, result: Mapping[str, Any]) -> GateRow:
    verdict = str(result.get("verdict") or "")
    low, high = result.get("low"), result.get("high")
    return GateRow(
        run_id=run_id,
        step=step,
        gate=str(result.get("gate") or ""),
        stratum=str(result.get("stratum") or ""),
        verdict="warning" if verdict == "failed" and not result.get("holds", True) else verdict,
        value=result.get("value"),
        limit=result.get("limit"),
        bounds=None if low is None and high is None else (low or 0.0, math.inf if high is None else high),
        sure=str(result.get("sure") or ""),
        cause=str(result.get("cause") or ""),
    )


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, (int, float)) else "nothing"
