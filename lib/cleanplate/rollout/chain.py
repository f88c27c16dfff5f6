"""The chain of one image, from its source to what is shown of it: as plain values and as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cleanplate.rollout.html import number
from cleanplate.warehouse.events import Event

_BLOBS = ("alpha_png", "core_png", "confidence_png", "mask_png", "patch", "picture")
_SOURCE = ("uri", "sha256", "bytes", "width", "height", "media_type", "rights", "mask_uri", "prompt", "arm")


@dataclass(frozen=True)
class Chain:
    """All that the tables say of an image.

    Attributes:
        image_id: the image.
        manifest: its rows of the manifest, one per batch.
        runs: its rows of results in the order of publication, each with `kind`, `state`, `shown` (whether it is the
            row that counts now) and `publish_seq`.
        detailed: the row that the rest is about: the one that counts, or under a restored one the one it covers, or
            the latest of a run that is not published; None where no run has the image.
        regions: rows of `masks` of that row.
        metrics: rows of `metrics`: region_id (None for the image), name, value.
        diff: kind, patch_bytes, before_sha256, after_sha256, picture (WebP, of a whole-image change); None without one.
        reviews: verdicts on any run's result of it, oldest first.
        events: of that row's run, oldest first; the first holds configuration, models and code version.
        before_rgb: uint8 (H, W, 3), RGB, or None where it cannot be read.
        after_rgb: uint8 (H, W, 3), RGB, or None.
        alpha: float32 (H, W), 0..1: the soft mask, or None.
    """

    image_id: str
    manifest: Sequence[Mapping[str, Any]]
    runs: Sequence[Mapping[str, Any]] = ()
    detailed: Mapping[str, Any] | None = None
    regions: Sequence[Mapping[str, Any]] = ()
    metrics: Sequence[Mapping[str, Any]] = ()
    diff: Mapping[str, Any] | None = None
    reviews: Sequence[Mapping[str, Any]] = ()
    events: Sequence[Event] = ()
    before_rgb: NDArray[np.uint8] | None = field(default=None, repr=False)
    after_rgb: NDArray[np.uint8] | None = field(default=None, repr=False)
    alpha: NDArray[np.float32] | None = field(default=None, repr=False)

    @property
    def shown(self) -> Mapping[str, Any] | None:
        """The row that counts now, None where none does."""
        return next((run for run in self.runs if run["shown"]), None)

    @property
    def standing(self) -> str:
        """What is shown of the image, in words."""
        if self.shown is None:
            return "no published run has it: its original is shown"
        text = f"run {self.shown['run_id']} counts: {self.shown['status']}"
        return text if self.shown["status"] == "cleaned" else f"{text}, its original is shown"

    def as_dict(self) -> dict[str, Any]:
        """Plain values, without pictures and blobs."""
        return {
            "image_id": self.image_id,
            "standing": self.standing,
            "manifest": [_plain(row) for row in self.manifest],
            "runs": [_plain(row) for row in self.runs],
            "detailed": _plain(self.detailed) if self.detailed else None,
            "regions": [_plain(row) for row in self.regions],
            "metrics": [_plain(row) for row in self.metrics],
            "diff": _plain(self.diff) if self.diff else None,
            "reviews": [_plain(row) for row in self.reviews],
            "applied": self.applied(),
        }

    def applied(self) -> dict[str, Any]:
        """What the detailed run was made with: configuration, models, code; {} where no run has the image."""
        if not self.events:
            return {}
        first = self.events[0]
        return {
            "run_id": first.run_id,
            "who": first.who,
            "started": first.at,
            "code_version": first.code_version,
            "manifest_version": first.manifest_version,
            "config_hash": first.config_hash,
            "config_text": first.config_text,
            "model_hashes": dict(sorted(first.model_hashes.items())),
        }


def chain_text(chain: Chain) -> str:
    """The chain as text, a step per paragraph."""
    lines = [f"image {chain.image_id}: {chain.standing}"]
    for title, part in (
        ("source", _source_lines(chain)),
        ("regions: found, masked, routed, tried", _region_lines(chain)),
        ("enhancement of the whole image", enhancement_lines(chain.detailed or {})),
        ("metrics", _metric_lines(chain)),
        ("diff", _diff_lines(chain)),
        ("verdicts", _review_lines(chain)),
        ("runs that have it", _run_lines(chain)),
        ("made with", _applied_lines(chain)),
    ):
        lines += ["", title, *(f"  {line}" for line in part)]
    return "\n".join(lines)


def box_text(region: Mapping[str, Any]) -> str:
    """Size and place of a region."""
    left, top, right, bottom = (int(region.get(side) or 0) for side in ("left", "top", "right", "bottom"))
    return f"{right - left} × {bottom - top} px at {left}, {top}"


def attempt_text(attempt: Mapping[str, Any]) -> str:
    """One attempt: engine, confidence, cost, scores, and why it did not hold up."""
    parts = [f"confidence {number(attempt.get('confidence'))}", f"cost {number(attempt.get('cost_units'))}"]
    scores = sorted((attempt.get("scores") or {}).items())
    parts += [f"{name.replace('_', ' ')} {number(value)}" for name, value in scores]
    failures = ", ".join(attempt.get("failures") or ())
    return f"{attempt.get('engine')}: {', '.join(parts)}; " + (f"failed: {failures}" if failures else "held up")


def _source_lines(chain: Chain) -> Iterator[str]:
    for row in chain.manifest:
        facts = [f"{name} {row[name]}" for name in _SOURCE if row.get(name) not in (None, "")]
        yield f"batch {row['batch_id']}: " + ", ".join(facts)
        strata = ", ".join(f"{name}={value}" for name, value in sorted((row.get("strata") or {}).items()))
        given = ", ".join(f"{region['kind']} {box_text(region)}" for region in row.get("regions") or ())
        yield from filter(None, (f"strata: {strata}" if strata else "", f"given boxes: {given}" if given else ""))
    if not chain.manifest:
        yield "no row of the manifest"


def _region_lines(chain: Chain) -> Iterator[str]:
    if chain.detailed is None:
        yield "no run has the image yet"
    elif not chain.regions:
        yield chain.detailed.get("error_message") or "nothing was found"
    for region in chain.regions:
        yield (
            f"{region['region_id']}: {region['kind']} by {region.get('source')}, score {number(region.get('score'))}, "
            f"{box_text(region)}, mask covers {100 * (region.get('coverage') or 0):.0f} % of it, "
            f"dilated by {region.get('dilation_px')} px"
        )
        if region.get("mark_id"):
            yield f"   recurring mark {region['mark_id']} of its run"
        if region.get("transcript"):
            yield f"   reads “{region['transcript']}”"
        yield f"   {region['decision']} by {region.get('engine') or 'no engine'}: {region.get('reason') or 'no reason'}"
        features = sorted((region.get("features") or {}).items())
        if features:
            yield "   features: " + ", ".join(f"{name} {number(value)}" for name, value in features)
        for attempt in region.get("attempts") or ():
            yield f"   attempt {attempt.get('number')}: {attempt_text(attempt)}"


def enhancement_lines(row: Mapping[str, Any]) -> list[str]:
    """What ran over the whole image and why, by its row of results."""
    lines = [row.get("enhance_reason") or "none was asked for"]
    for step in row.get("enhancements") or ():
        why = f"{step['reason']}, " if step.get("reason") else ""
        synthetic = ", synthetic pixels" if step.get("synthetic") else ""
        lines.append(f"{step.get('name')} ×{step.get('scale')}: {why}{number(step.get('seconds'))} s{synthetic}")
    analysis = ", ".join(f"{name} {number(value)}" for name, value in sorted((row.get("analysis") or {}).items()))
    return [*lines, f"source: {row.get('origin')}; {analysis}"] if analysis else lines


def _metric_lines(chain: Chain) -> Iterator[str]:
    for region_id, rows in metrics_by_region(chain.metrics).items():
        where = "image" if region_id is None else f"region {region_id}"
        yield f"{where}: " + ", ".join(f"{name} {number(value)}" for name, value in rows)


def metrics_by_region(metrics: Sequence[Mapping[str, Any]]) -> dict[int | None, list[tuple[str, float]]]:
    """Names and values, of the image (None) first, then region by region."""
    found: dict[int | None, list[tuple[str, float]]] = {}
    ordered = sorted(metrics, key=lambda row: (-1 if row["region_id"] is None else row["region_id"], row["name"]))
    for row in ordered:
        found.setdefault(row["region_id"], []).append((row["name"], row["value"]))
    return found


def _diff_lines(chain: Chain) -> Iterator[str]:
    if chain.diff is None:
        yield "none: the result has the source's own bytes, or there is no result"
        return
    yield f"{chain.diff['kind']}, {chain.diff['patch_bytes'] or 0:,} bytes"
    yield f"samples before: sha256 {chain.diff['before_sha256']}"
    yield f"samples after:  sha256 {chain.diff['after_sha256']}"


def _review_lines(chain: Chain) -> Iterator[str]:
    for row in chain.reviews:
        mask = ", with a corrected mask" if row.get("has_mask") else ""
        note = f": {row['note']}" if row.get("note") else ""
        yield f"{row['verdict']} of run {row['run_id']} by {row.get('reviewer')} at {row.get('at')}{mask}{note}"
    if not chain.reviews:
        yield "nobody has looked at it"


def _run_lines(chain: Chain) -> Iterator[str]:
    for row in chain.runs:
        counts = " <- counts now" if row["shown"] else ""
        error = f", {row['error_stage']}: {row['error_message']}" if row.get("error_message") else ""
        yield (
            f"{row['kind']} run {row['run_id']}, wave {row['wave']}, {row['state']}: {row['status']}, confidence "
            f"{number(row.get('confidence'))}, sha256 {row.get('result_sha256') or 'none'}{error}{counts}"
        )
    if not chain.runs:
        yield "none"


def _applied_lines(chain: Chain) -> Iterator[str]:
    applied = chain.applied()
    if not applied:
        yield "nothing yet"
        return
    yield f"run {applied['run_id']}, started by {applied['who']} at {applied['started']} UTC"
    yield f"code {applied['code_version']}, manifest version {applied['manifest_version']}"
    yield from (f"model {name}: sha256 {digest}" for name, digest in applied["model_hashes"].items())
    yield f"configuration {applied['config_hash']}:"
    yield from (f"  {line}" for line in applied["config_text"].splitlines())


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in _BLOBS}
