"""What the gates said after a step, as it stands in the ledger."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cleanplate.rollout.drift import Drift, Portrait, profile_as_dict, profile_from_dict
from cleanplate.rollout.judge import GateResult, number_text
from cleanplate.warehouse.events import Event

COLUMNS = ("gate", "of", "verdict", "found", "limit", "how sure")


@dataclass(frozen=True)
class Judgement:
    """All results of a step.

    Attributes:
        step: number of the step, from 1.
        steps: how many there are.
        images: that the sample drew so far.
        of: images of the run.
        results: of the gates.
        drift: in what the batch differs from earlier ones; anything here makes the rest of the run semi-automatic.
        asked_confidence: what the review gate asked for.
        compared: runs that the batch was compared with.
        profile: of the run, for later batches to be compared with.
    """

    step: int
    steps: int
    images: int
    of: int
    results: tuple[GateResult, ...] = ()
    drift: tuple[Drift, ...] = ()
    asked_confidence: float = 0.0
    compared: tuple[str, ...] = ()
    profile: Mapping[str, Portrait] = field(default_factory=dict)

    @property
    def blocked(self) -> tuple[str, ...]:
        """Names of the gates that hold the run."""
        return tuple(sorted({result.gate for result in self.results if result.holds}))

    @property
    def is_semi_automatic(self) -> bool:
        """Whether a person has to approve, whatever was asked for."""
        return bool(self.drift)

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against going on."""
        return not self.blocked and not self.drift

    @property
    def note(self) -> str:
        """The judgement in one line, for the ledger."""
        text = f"step {self.step} of {self.steps}, {self.images} of {self.of} images: "
        if self.blocked:
            return text + f"held by {', '.join(self.blocked)}"
        return text + ("the batch drifts, a person has to approve" if self.drift else "gates passed")

    def to_json(self) -> str:
        """For the ledger's column `gates`."""
        values = {
            "step": self.step, "steps": self.steps, "images": self.images, "of": self.of,
            "passed": self.passed, "semi_automatic": self.is_semi_automatic,
            "asked_confidence": self.asked_confidence, "compared": list(self.compared),
            "results": [result.as_dict() for result in self.results],
            "drift": [drift.as_dict() for drift in self.drift],
            "profile": profile_as_dict(self.profile),
        }  # fmt: skip
        return json.dumps(values)

    @classmethod
    def from_json(cls, text: str) -> Judgement:
        """The other way."""
        values: dict[str, Any] = json.loads(text)
        return cls(
            step=values["step"],
            steps=values["steps"],
            images=values["images"],
            of=values["of"],
            results=tuple(GateResult.from_dict(result) for result in values["results"]),
            drift=tuple(Drift(**drift) for drift in values["drift"]),
            asked_confidence=values["asked_confidence"],
            compared=tuple(values["compared"]),
            profile=profile_from_dict(values["profile"]),
        )


def last_judgement(events: Sequence[Event], run_id: str) -> Judgement | None:
    """The last judgement of a run, None where its gates were never judged."""
    texts = [event.gates for event in events if event.run_id == run_id and event.gates]
    return Judgement.from_json(texts[-1]) if texts else None


def asked_confidence(events: Sequence[Event], run_id: str) -> float | None:
    """The confidence below which images of a run need eyes: raised while its batch drifts; None where never judged."""
    found = last_judgement(events, run_id)
    return found.asked_confidence if found else None


def gate_rows(judgement: Judgement) -> list[tuple[str, ...]]:
    """The results as a table of texts under COLUMNS, for the command line and for pages."""
    rows = [_row(result) for result in judgement.results]
    for drift in judgement.drift:
        change = f"{number_text(drift.low, True)} to {number_text(drift.high, True)}"
        is_share = drift.what.startswith(("route ", "detection"))
        found = f"{number_text(drift.now, is_share)}, was {number_text(drift.before, is_share)}"
        rows.append((f"drift: {drift.what}", drift.stratum or "all", "drifts", found, "", f"change of {change}"))
    return rows


def remarks(judgement: Judgement) -> list[str]:
    """What stands below the table: causes and worst images of what is over its limit."""
    lines = []
    for result in judgement.results:
        if result.verdict == "failed":
            name = f"{result.gate} ({result.stratum})" if result.stratum else result.gate
            worst = ", ".join(f"{image} {number_text(value, False)}" for image, value in result.worst)
            lines += [f"{name}: {result.cause or 'no common cause was found'}"]
            lines += [f"{name}: worst {worst}"] if worst else []
    if judgement.is_semi_automatic:
        lines.append(
            "the batch drifts from earlier ones: each step waits for `cleanplate approve`, and the review gate asks "
            f"for a confidence of {judgement.asked_confidence:.2f}"
        )
    return lines


def _row(result: GateResult) -> tuple[str, ...]:
    is_share = result.measure.startswith("share") or "was " in result.sure
    verdict = result.verdict if result.holds or result.verdict != "failed" else "warning"
    verdict = f"{verdict}, holds" if result.holds and result.verdict == "missing" else verdict
    found, limit = number_text(result.value, is_share), number_text(result.limit, is_share)
    return result.gate, result.stratum or "all", verdict, found, limit, result.sure
