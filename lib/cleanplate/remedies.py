"""What is done about a fill that does not hold up, by the failure that was found."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from cleanplate.fill.base import EngineSpec

Remedy = Literal["a wider mask", "histogram match", "another exemplar scale", "the next engine"]
WIDER: Remedy = "a wider mask"
MATCHED: Remedy = "histogram match"
RESCALED: Remedy = "another exemplar scale"
NEXT: Remedy = "the next engine"

# How the verifier's failures are called where people read them.
WORDS: Mapping[str, str] = {
    "residual_text": "residual text",
    "colour_drift": "low-frequency mismatch",
    "texture_ratio": "texture mismatch ratio",
    "structure": "broken structure",
    "expected_error": "expected error",
}


def choose(failures: Sequence[str], spec: EngineSpec, done: Collection[Remedy], *, may_widen: bool) -> Remedy:
    """The remedy for the worst failure; the next, more capable engine where there is no other left.

    Args:
        failures: names of the signals that failed, worst first.
        spec: of the engine that was tried.
        done: what this region has been given with this engine (a wider mask: with any).
        may_widen: whether masks may grow.
    """
    worst = failures[0] if failures else ""
    if worst == "residual_text" and may_widen and WIDER not in done and not spec.uncovers:
        return WIDER
    if worst == "colour_drift" and MATCHED not in done:
        return MATCHED
    if worst == "structure" and spec.exemplars and RESCALED not in done:
        return RESCALED
    return NEXT


def explain(confidence: float, least: float, failures: Sequence[str], scores: Mapping[str, float]) -> str:
    """Why an attempt did not hold up: "confidence 0.61 < 0.70 (low-frequency mismatch=11.30)"."""
    found = ", ".join(f"{WORDS.get(name, name)}={scores.get(name, 0.0):.2f}" for name in failures[:2])
    return f"confidence {confidence:.2f} < {least:.2f}{f' ({found})' if found else ''}"
