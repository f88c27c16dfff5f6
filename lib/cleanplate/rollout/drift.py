"""How a batch differs from earlier published runs: error, detection rate, routes, by stratum."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pandas as pd

from cleanplate.rollout.gates import Gate
from cleanplate.rollout.intervals import SURE, Moments, difference_of_shares, rise_bounds
from cleanplate.rollout.judge import drawn_of, strata_of

ALL = ""  # the stratum that holds every image


@dataclass(frozen=True)
class Portrait:
    """What a stratum of a run was like.

    Attributes:
        images: that were looked at.
        found: images with something to remove.
        engines: images by engine that worked on them; one image may count for several.
        means: moments by the text of what was measured.
    """

    images: int = 0
    found: int = 0
    engines: Mapping[str, int] = field(default_factory=dict)
    means: Mapping[str, Moments] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Portrait:
        """From JSON."""
        means = {name: Moments(**moments) for name, moments in values["means"].items()}
        return cls(values["images"], values["found"], values["engines"], means)

    def joined(self, other: Portrait) -> Portrait:
        """Both together."""
        names = {*self.engines, *other.engines}
        engines = {name: self.engines.get(name, 0) + other.engines.get(name, 0) for name in sorted(names)}
        means = {**other.means, **self.means}
        for name in {*self.means} & {*other.means}:
            means[name] = _joined(self.means[name], other.means[name])
        return Portrait(self.images + other.images, self.found + other.found, engines, means)


Profile = Mapping[str, Portrait]  # by stratum


@dataclass(frozen=True)
class Drift:
    """One thing in which a batch differs from earlier runs, surely by more than the limit.

    Attributes:
        what: "detection rate", "route pde", or the metric.
        stratum: "" for all images.
        now: share or mean in this run.
        before: in the earlier ones.
        low: bound of the change: points of a share, or the rise of a mean as a share of it.
        high: the other bound.
    """

    what: str
    stratum: str
    now: float
    before: float
    low: float
    high: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what is infinite becomes None."""
        return {n: None if isinstance(v, float) and not math.isfinite(v) else v for n, v in asdict(self).items()}


def profile_of(facts: pd.DataFrame, gates: Sequence[Gate], metrics: Sequence[str]) -> dict[str, Portrait]:
    """What a run is like, as a whole and in every stratum: small enough for the ledger.

    Args:
        facts: of the run's images; those that the sample did not draw do not count.
        gates: those with a `rise` need means of earlier runs.
        metrics: facts whose means are compared.
    """
    drawn = drawn_of(facts)
    parts = [(ALL, drawn), *((name, drawn[rows.reindex(drawn.index)]) for name, rows in strata_of(facts))]
    return {name: _portrait(part, gates, metrics) for name, part in parts if len(part)}


def profile_as_dict(profile: Profile) -> dict[str, Any]:
    """Plain values for JSON."""
    return {name: asdict(portrait) for name, portrait in profile.items()}


def profile_from_dict(values: Mapping[str, Any]) -> dict[str, Portrait]:
    """The other way."""
    return {name: Portrait.from_dict(portrait) for name, portrait in values.items()}


def last_means(earlier: Sequence[Profile]) -> dict[str, dict[str, Moments]]:
    """Of each stratum and mean what the last run that has it found.

    Args:
        earlier: profiles of published runs, the last one first.
    """
    found: dict[str, dict[str, Moments]] = {}
    for profile in earlier:
        for name, portrait in profile.items():
            known = found.setdefault(name, {})
            known.update({key: means for key, means in portrait.means.items() if key not in known and means.count})
    return found


def compare(
    now: Profile, earlier: Sequence[Profile], limit: float, metrics: Sequence[str], population: int | None = None
) -> list[Drift]:
    """Everything in which a run surely differs from earlier ones by more than a limit.

    Shares (detection rate, images by route) may move by `limit` in points either way; means may rise by `limit` of
    themselves. So many questions are asked at a time that each bound is stricter (Bonferroni).

    Args:
        now: of this run.
        earlier: of published runs; [] says nothing.
        limit: such as 0.12.
        metrics: facts whose means are compared.
        population: images of this run, where the profile is of a sample.
    """
    before: dict[str, Portrait] = {}
    for profile in earlier:
        for name, portrait in profile.items():
            before[name] = before[name].joined(portrait) if name in before else portrait
    pairs = [(name, now[name], before[name]) for name in sorted(now) if name in before]
    questions = sum(1 + len({*one.engines, *other.engines}) + len(metrics) for _, one, other in pairs)
    sure = 1 - (1 - SURE) / max(1, questions)
    changes = [change for pair in pairs for change in _changes(*pair, metrics, sure, population)]
    return [drift for drift, is_share in changes if drift.low > limit or (is_share and drift.high < -limit)]


def _changes(
    stratum: str, now: Portrait, before: Portrait, metrics: Sequence[str], sure: float, population: int | None
) -> Iterator[tuple[Drift, bool]]:
    counts = {"detection rate": (now.found, before.found)}
    for engine in sorted({*now.engines, *before.engines}):
        counts[f"route {engine}"] = (now.engines.get(engine, 0), before.engines.get(engine, 0))
    for what, (new, old) in counts.items():
        _, low, high = difference_of_shares((old, before.images), (new, now.images), sure)
        yield Drift(what, stratum, new / max(1, now.images), old / max(1, before.images), low, high), True
    for name in metrics:
        if name in now.means and name in before.means:
            size = population if stratum == ALL else None
            _, low, high = rise_bounds(now.means[name], before.means[name], size, sure)
            yield Drift(name, stratum, now.means[name].mean, before.means[name].mean, low, high), False


def _portrait(part: pd.DataFrame, gates: Sequence[Gate], metrics: Sequence[str]) -> Portrait:
    names = sorted(set().union(*part["engines"])) if "engines" in part else []
    engines = {name: sum(name in row for row in part["engines"]) for name in names}
    means = {gate.text: _moments(_values(gate, part)) for gate in gates if gate.rise is not None}
    means |= {name: _moments(part[name]) for name in metrics if name in part}
    found = int((part["found"] > 0).fillna(False).sum()) if "found" in part else 0
    return Portrait(len(part), found, engines, {name: value for name, value in means.items() if value.count})


def _values(gate: Gate, part: pd.DataFrame) -> pd.Series:
    rows = part[gate.filter.evaluate(part).fillna(False).astype(bool)] if gate.filter else part
    return gate.expression.evaluate(rows)


def _moments(values: pd.Series) -> Moments:
    return Moments.of(values.dropna())


def _joined(one: Moments, other: Moments) -> Moments:
    """Moments of both together (Chan, Golub and LeVeque, The American Statistician 1983)."""
    count = one.count + other.count
    apart = other.mean - one.mean
    squares = (
        one.variance * max(0, one.count - 1) + other.variance * max(0, other.count - 1)
        + apart**2 * one.count * other.count / count
    )  # fmt: skip
    return Moments(count, one.mean + apart * other.count / count, squares / max(1, count - 1))
