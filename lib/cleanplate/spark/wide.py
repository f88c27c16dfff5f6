"""From an outcome to the one wide row that an executor writes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.diff import diff_hashes
from cleanplate.records import Enhancement, Outcome, RegionOutcome, WholeDiff
from cleanplate.spark.stream import Cleaned, is_retryable


@dataclass(frozen=True)
class RunKey:
    """What every output row of a wave carries."""

    batch_id: str
    run_id: str
    wave: int
    config_hash: str
    attempt: int = 1


def wide_row(key: RunKey, cleaned: Cleaned, result_uri: str | None) -> dict[str, Any]:
    """Builds a row of `staging`.

    Args:
        key: of the wave.
        cleaned: the manifest's row with its outcome.
        result_uri: where the result was stored; None where the source's bytes are the result.

    Returns:
        Column name -> value, as `warehouse.schemas.STAGING` has them.
    """
    outcome, error = cleaned.outcome, cleaned.outcome.error
    data = outcome.data
    return {
        "batch_id": key.batch_id,
        "run_id": key.run_id,
        "wave": key.wave,
        "image_id": cleaned.row.image_id,
        "config_hash": key.config_hash,
        "attempt": key.attempt,
        "status": outcome.status,
        "uri": cleaned.row.uri,
        "source_sha256": cleaned.source_sha256 or None,
        "result_uri": result_uri or (cleaned.row.uri if outcome.status == "unchanged" else None),
        "result_sha256": hashlib.sha256(data).hexdigest() if data is not None else _kept_sha256(cleaned),
        "media_type": outcome.media_type or None,
        "result_bytes": len(data) if data is not None else None,
        "width": outcome.width or None,
        "height": outcome.height or None,
        "confidence": float(outcome.confidence),
        "error_stage": error.stage if error else None,
        "error_class": error.error_class if error else None,
        "error_message": error.message if error else None,
        "retryable": is_retryable(outcome),
        "seed": int(outcome.seed),
        "timings": _numbers(outcome.timings),
        "arm": cleaned.row.arm,
        **_enhancement_columns(outcome),
        "masks": [_mask_row(region) for region in outcome.regions],
        "diff": _diff_row(outcome),
        "metrics": _metric_rows(outcome),
    }


def encode_plane(plane: NDArray[np.floating[Any] | np.uint8], scale: float = 255.0) -> bytes:
    """A map (H, W) in 0..1 as an 8-bit grey PNG."""
    grey = np.clip(np.rint(plane.astype(np.float32) * scale), 0, 255).astype(np.uint8)
    return bytes(cv2.imencode(".png", grey)[1].tobytes())


def _kept_sha256(cleaned: Cleaned) -> str | None:
    return cleaned.source_sha256 if cleaned.outcome.status == "unchanged" else None


def _mask_row(outcome: RegionOutcome) -> dict[str, Any]:
    region, route = outcome.region, outcome.route
    return {
        "region_id": region.region_id,
        "kind": region.kind,
        "score": float(region.score),
        **asdict(region.box),
        "coverage": float(region.alpha.mean()) if region.alpha.size else 0.0,
        "dilation_px": int(region.dilation_px),
        "source": region.source,
        "transcript": region.transcript,
        "decision": outcome.decision,
        "engine": route.engine if route else None,
        "reason": route.reason if route else None,
        "features": _numbers(route.features) if route else {},
        "attempts": [
            {**asdict(attempt), "scores": _numbers(attempt.scores), "failures": list(attempt.failures)}
            for attempt in outcome.attempts
        ],
        "confidence": float(outcome.confidence),
        "alpha_png": encode_plane(region.alpha),
        "core_png": encode_plane(region.core),
        "confidence_png": encode_plane(region.confidence),
        "mark_id": region.known.mark_id if region.known else None,
    }


def _enhancement_columns(outcome: Outcome) -> dict[str, Any]:
    """What was decided about the whole image; empty where nothing was asked for."""
    done = outcome.enhancement or Enhancement()
    return {
        "synthetic": done.synthetic,
        "origin": done.origin or None,
        "analysis": _numbers(done.analysis),
        "enhancements": [asdict(step) for step in done.steps],
        "enhance_reason": done.reason or None,
    }


def _diff_row(outcome: Outcome) -> dict[str, Any] | None:
    diff = outcome.diff
    if diff is None:
        return None
    if isinstance(diff, WholeDiff):
        row: dict[str, Any] = {"kind": "whole", "patch": None, "picture": diff.picture}
        return row | {"before_sha256": diff.before_sha256, "after_sha256": diff.after_sha256}
    before, after = diff_hashes(diff)
    return {"kind": "local", "before_sha256": before, "after_sha256": after, "patch": diff, "picture": None}


def _metric_rows(outcome: Outcome) -> list[dict[str, Any]]:
    image = [{"region_id": None, "name": name, "value": value} for name, value in _numbers(outcome.metrics).items()]
    regions = [
        {"region_id": region.region.region_id, "name": name, "value": value}
        for region in outcome.regions
        for name, value in _numbers(region.metrics).items()
    ]
    return image + regions


def _numbers(values: Mapping[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items()}
