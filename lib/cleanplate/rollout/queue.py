"""The queue of a review: which images a person looks at, why, and in which order."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cleanplate.config import ReviewConfig

SAMPLE_DIGITS = 8  # hex digits of the hash that a sample is drawn by
_GATE, _REFUSED, _LOW, _AMBIGUOUS, _SAMPLE = range(5)


@dataclass(frozen=True)
class Facts:
    """What the tables say of an image, as far as the queue needs it.

    Attributes:
        batch_id: the batch.
        image_id: the image.
        run_id: the run whose result is looked at.
        status: of the result.
        confidence: 0..1, of the result.
        message: why it went to review or was refused, in words; "" for the others.
        is_gated: refused for want of rights.
        scores: kind and score (0..1) of what was found in it.
        drifts: whether the run drifts from those before it, so that more of it is looked at.
    """

    batch_id: str
    image_id: str
    run_id: str
    status: str
    confidence: float = 1.0
    message: str = ""
    is_gated: bool = False
    scores: Sequence[tuple[str, float]] = ()
    drifts: bool = False


@dataclass(frozen=True)
class QueueEntry:
    """An image that waits for a person, with the reasons, the most urgent first."""

    facts: Facts
    reasons: tuple[str, ...]


def build_queue(
    facts: Iterable[Facts],
    config: ReviewConfig,
    worst: Mapping[str, str] | None = None,
    drift_confidence: float = 0.0,
) -> list[QueueEntry]:
    """Chooses and orders the images that a person looks at.

    Gate failures come first, then what was refused for want of rights, what is unsure (the least sure first),
    ambiguous kinds, and a random sample of the rest. The order is the same for everyone, whoever asks.

    Args:
        facts: of every image, or of a superset of those that may qualify.
        config: the section "review".
        worst: image_id -> the failed gate that names it among its worst.
        drift_confidence: how much more confidence is asked of a run that drifts.

    Returns:
        At most `max_images` entries.
    """
    found = []
    for item in facts:
        asked = min(1.0, config.below_confidence + (drift_confidence if item.drifts else 0.0))
        reasons = _reasons(item, config, asked, (worst or {}).get(item.image_id, ""))
        if reasons:
            found.append((reasons[0][0], item.confidence, item.batch_id, item.image_id, item, reasons))
    found.sort(key=lambda entry: entry[:4])
    return [QueueEntry(entry[4], tuple(words for _, words in entry[5])) for entry in found[: config.max_images]]


def is_sampled(batch_id: str, image_id: str, share: float) -> bool:
    """Whether an image belongs to the random sample: a hash of batch and image decides, so it is always the same.

    Args:
        batch_id: the batch.
        image_id: the image.
        share: 0..1, of all images.
    """
    digits = hashlib.sha256(f"{batch_id}/{image_id}".encode()).hexdigest()[:SAMPLE_DIGITS]
    return int(digits, 16) < share * 16**SAMPLE_DIGITS


def worst_of_gates(gates: str) -> dict[str, str]:
    """The images that failed gates name as their worst, from the ledger's text.

    Args:
        gates: JSON with `results`, each with `gate`, `verdict` and `worst`, pairs of image_id and what was measured;
            "" for none.

    Returns:
        image_id -> name of the first gate that names it.
    """
    found: dict[str, str] = {}
    for result in json.loads(gates).get("results", ()) if gates else ():
        if result["verdict"] == "failed":
            for image_id, _ in result.get("worst") or ():
                found.setdefault(image_id, result["gate"])
    return found


def _reasons(facts: Facts, config: ReviewConfig, asked: float, gate: str) -> list[tuple[int, str]]:
    """Rank and words of everything that speaks for a look, in the order of the ranks."""
    found = []
    if gate:
        found.append((_GATE, f"gate {gate} names it among the worst"))
    if facts.is_gated:
        found.append((_REFUSED, f"refused for want of rights: {facts.message}"))
    if facts.status == "review":
        found.append((_LOW, facts.message or "no attempt held up"))
    elif facts.status == "cleaned" and facts.confidence < asked:
        why = ", raised while the batch drifts" if facts.drifts else ""
        found.append((_LOW, f"confidence {facts.confidence:.2f} is below {asked:.2f}{why}"))
    found += [(_AMBIGUOUS, words) for words in _ambiguous(facts, config)[:1]]
    if facts.status in ("cleaned", "unchanged") and is_sampled(facts.batch_id, facts.image_id, config.sample_share):
        found.append((_SAMPLE, f"random sample for quality ({100 * config.sample_share:g} %)"))
    return found


def _ambiguous(facts: Facts, config: ReviewConfig) -> list[str]:
    inside = sorted(
        (score, kind) for kind, score in facts.scores if config.ambiguous_from <= score < config.ambiguous_to
    )
    return [f"{kind.replace('_', ' ')}? found with score {score:.2f}" for score, kind in inside]
