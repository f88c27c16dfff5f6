"""Holds the facts of a step against the gates: numbers, bounds, worst images, cause."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from cleanplate.rollout.causes import cause_of
from cleanplate.rollout.facts import STRATUM
from cleanplate.rollout.gates import Gate
from cleanplate.rollout.intervals import SURE, Moments, mean_bounds, rise_bounds, share_bounds

DRAWN, ALWAYS = "drawn", "always"  # columns of the facts: whether the sample drew the image, whether it is labelled
WORST = 5
QUANTILES = {"p50": 0.5, "p95": 0.95}
# What an earlier run had: stratum ("" for all) -> text of a gate that has a `rise` -> moments of its values.
Baseline = Mapping[str, Mapping[str, Moments]]


@dataclass(frozen=True)
class GateResult:
    """What a gate says of all images so far, or of one stratum.

    Attributes:
        gate: its name.
        severity: block or warn.
        verdict: passed, failed, or missing.
        holds: whether it holds the run.
        measure: what was measured, in words.
        stratum: "" for all images, else such as "device=scanner".
        value: what was found; None where missing.
        limit: of the gate.
        low: bound of the value, None where it is not bounded.
        high: bound of the value.
        images: that were measured.
        hits: that count, for shares.
        sure: how sure the step can be, in words.
        cause: what the images over the limit have in common, "" where nothing was found.
        worst: the worst images with what was measured of each.
    """

    gate: str
    severity: str
    verdict: str
    holds: bool
    measure: str
    stratum: str = ""
    value: float | None = None
    limit: float = 0.0
    low: float | None = None
    high: float | None = None
    images: int = 0
    hits: int | None = None
    sure: str = ""
    cause: str = ""
    worst: tuple[tuple[str, float], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what is infinite becomes None."""
        values = asdict(self) | {"worst": [list(pair) for pair in self.worst]}
        return {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> GateResult:
        """The other way."""
        worst = tuple((str(name), float(value)) for name, value in values["worst"])
        return cls(**{**values, "worst": worst})


@dataclass(frozen=True)
class _Found:
    """A value with its bounds."""

    value: float
    low: float
    high: float
    images: int
    hits: int | None = None
    sure: str = ""
    bad: pd.Series | None = field(default=None, repr=False)  # which images are over the limit on their own


def judge(gates: Sequence[Gate], facts: pd.DataFrame, population: int, baseline: Baseline) -> list[GateResult]:
    """Every gate over all images, then, for those `by: strata`, the strata that are over.

    A gate by strata asks many questions at a time, so each is asked with a stricter bound (Bonferroni): of m strata
    1 - 0.05 / m each. A stratum counts as a sample of its kind, not as a finite set: else a single bad image would be
    proof enough in any stratum of less than a hundred.

    Args:
        gates: the limits.
        facts: one row per image with `image_id`, drawn, always, the facts, and columns "stratum.…".
        population: images of the run.
        baseline: means of the last published run.

    Returns:
        One result per gate, in their order, each followed by the strata that are over the limit.
    """
    results = []
    for gate in gates:
        chosen = _chosen(gate, facts)
        size = len(chosen) if gate.images == ALWAYS else population
        whole = _result(gate, chosen, facts, size, baseline, "", SURE)
        results.append(whole)
        strata = list(strata_of(facts)) if gate.by == "strata" else []
        for name, rows in strata:
            part = chosen[rows.reindex(chosen.index)]
            found = _result(gate, part, facts, None, baseline, name, 1 - (1 - SURE) / max(1, len(strata)))
            results += [found] if found.verdict == "failed" else []
    return results


def strata_of(facts: pd.DataFrame) -> Iterator[tuple[str, pd.Series]]:
    """Every value of every stratum column with the rows that have it; columns of one value say nothing."""
    for column in sorted(name for name in facts.columns if name.startswith(STRATUM)):
        values = sorted(facts[column].dropna().unique())
        if len(values) > 1:
            for value in values:
                yield f"{column.removeprefix(STRATUM)}={value}", facts[column].eq(value).fillna(False).astype(bool)


def drawn_of(facts: pd.DataFrame) -> pd.DataFrame:
    """The images that the sample drew: those that stand for the batch."""
    return facts[facts[DRAWN]] if DRAWN in facts else facts


def number_text(value: float | None, is_share: bool) -> str:
    """A share in percent, other numbers in four digits."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{100 * value:.3g} %" if is_share else f"{value:,.4g}"


def _chosen(gate: Gate, facts: pd.DataFrame) -> pd.DataFrame:
    rows = facts[facts[ALWAYS]] if gate.images == ALWAYS else drawn_of(facts)
    return rows[gate.filter.evaluate(rows).fillna(False).astype(bool)] if gate.filter else rows


def _result(
    gate: Gate,
    rows: pd.DataFrame,
    facts: pd.DataFrame,
    population: int | None,
    baseline: Baseline,
    stratum: str,
    sure: float,
) -> GateResult:
    found = _measure(gate, rows, population, baseline.get(stratum, {}), sure)
    common: dict[str, Any] = {"gate": gate.name, "severity": gate.severity, "measure": gate.text, "stratum": stratum}
    limit = float(gate.rise if gate.limit is None else gate.limit)  # type: ignore[arg-type]
    if found is None or math.isnan(found.value):
        holds = gate.on_missing == "hold" and gate.severity == "block" and not stratum
        why = "no earlier run to compare with" if gate.rise and not rows.empty else "nothing was measured"
        return GateResult(**common, verdict="missing", holds=holds, limit=limit, sure=why)
    over = found.low > limit
    is_bad = over or found.value > limit
    return GateResult(
        **common,
        verdict="failed" if over else "passed",
        holds=over and gate.severity == "block",
        value=found.value, limit=limit, low=found.low, high=found.high, images=found.images, hits=found.hits,
        sure=found.sure,
        cause=cause_of(found.bad, rows if stratum or gate.images == ALWAYS else drawn_of(facts)) if over else "",
        worst=_worst(gate, rows) if is_bad else (),
    )  # fmt: skip


def _measure(
    gate: Gate, rows: pd.DataFrame, population: int | None, baseline: Mapping[str, Moments], sure: float
) -> _Found | None:
    values = gate.expression.evaluate(rows)
    seen = values[values.notna()]
    if seen.empty:
        return None
    if gate.measure == "share":
        return _share(seen.astype(bool), population, sure)
    numbers = seen.astype(float)
    if gate.rise is not None:
        return _rise(numbers, baseline.get(gate.text), population, sure)
    limit = float(gate.limit or 0.0)
    if gate.measure in QUANTILES:
        return _quantile(numbers, QUANTILES[gate.measure], limit, population, sure)
    if gate.measure == "max":
        worst = float(numbers.max())
        return _Found(worst, worst, math.inf, len(numbers), sure=f"the largest of {len(numbers)}", bad=numbers > limit)
    return _mean(numbers, population or 1 if gate.measure == "total" else 1, population, sure)


def _share(hits: pd.Series, population: int | None, sure: float) -> _Found:
    count, images = int(hits.sum()), len(hits)
    low, high = share_bounds(count, images, _size(population, images), sure)
    return _Found(count / images, low, high, images, count, share_text(count, images, low, high, sure), hits)


def share_text(hits: int, images: int, low: float, high: float, sure: float = SURE) -> str:
    """How sure one can be of a share, in words.

    Example:
        >>> share_text(0, 50, 0.0, 0.0582)
        '0 of 50: at most 5.8 % with 95 %'
    """
    percent = f"{100 * sure:.3g} %"
    if low == high:
        return f"{hits} of {images}: all of them were looked at"
    if hits == 0:
        return f"0 of {images}: at most {100 * high:.2g} % with {percent}"
    return f"{hits} of {images}: at least {100 * low:.2g} %, at most {100 * high:.2g} %, each with {percent}"


def _mean(numbers: pd.Series, factor: int, population: int | None, sure: float) -> _Found:
    found = Moments.of(numbers)
    low, high = (factor * bound for bound in mean_bounds(found, _size(population, found.count), sure))
    text = f"{found.count} images, {number_text(low, False)} to {number_text(high, False)}"
    return _Found(factor * found.mean, low, high, found.count, sure=text, bad=_largest(numbers))


def _rise(numbers: pd.Series, before: Moments | None, population: int | None, sure: float) -> _Found | None:
    if before is None:
        return None
    now = Moments.of(numbers)
    rise, low, high = rise_bounds(now, before, _size(population, now.count), sure)
    text = (
        f"{now.mean:.3g} over {now.count} images, was {before.mean:.3g} over {before.count}: "
        f"{number_text(low, True)} to {number_text(high, True)}"
    )
    return _Found(rise, low, high, now.count, sure=text, bad=_largest(numbers))


def _quantile(numbers: pd.Series, quantile: float, limit: float, population: int | None, sure: float) -> _Found:
    """A quantile is over a limit where surely more than its rest of the images are; its bounds are order statistics."""
    ordered = np.sort(numbers.to_numpy(float))
    count = len(ordered)
    above = int((ordered > limit).sum())
    low_share, _ = share_bounds(above, count, _size(population, count), sure)
    value = float(np.quantile(ordered, quantile))
    surely = low_share > 1 - quantile
    low = max(value, math.nextafter(limit, math.inf)) if surely else min(value, limit)
    text = f"{above} of {count} images above the limit"
    return _Found(value, low, math.inf, count, sure=text, bad=numbers > limit)


def _size(population: int | None, images: int) -> int | None:
    return None if population is None else max(population, images)


def _largest(numbers: pd.Series) -> pd.Series:
    """The upper tenth, but at least one: the images that make a mean large."""
    count = max(1, len(numbers) // 10)
    return numbers.rank(method="first", ascending=False) <= count


def _worst(gate: Gate, rows: pd.DataFrame) -> tuple[tuple[str, float], ...]:
    """The worst images: by what is measured, where that is a number, else the least confident of those that count."""
    values = gate.expression.evaluate(rows)
    values = values[values.notna()].astype(float)
    chosen = rows.loc[values.index].assign(measured=values)
    chosen = chosen[chosen["measured"] > 0] if gate.measure == "share" else chosen
    by = ["measured", "image_id"] if "confidence" not in chosen else ["measured", "confidence", "image_id"]
    ordered = chosen.sort_values(by, ascending=[False, *[True] * (len(by) - 1)]).head(WORST)
    return tuple(zip(map(str, ordered["image_id"]), map(float, ordered["measured"]), strict=True))
