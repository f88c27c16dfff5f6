"""From what was done to an image to its outcome: status, confidence, diff, reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from cleanplate.diff import make_diff, whole_diff
from cleanplate.encode import Result
from cleanplate.errors import RefusedError
from cleanplate.measure import Measured
from cleanplate.records import ErrorInfo, Job, Outcome, RegionOutcome, Status, WholeDiff
from cleanplate.stages import StageError


def conclude(
    results: Sequence[Result], measured: Sequence[Measured], seconds: Mapping[str, float], min_confidence: float
) -> list[Outcome]:
    """Gives every image its status.

    Args:
        results: encoded and read back images.
        measured: their metrics.
        seconds: by stage, per image.
        min_confidence: below it a region of the written result sends its image to review.

    Returns:
        One outcome per result, in order.
    """
    pairs = zip(results, measured, strict=True)
    return [_conclude(result, found, seconds, min_confidence) for result, found in pairs]


def _conclude(result: Result, measured: Measured, seconds: Mapping[str, float], min_confidence: float) -> Outcome:
    job = result.edit.job
    status, error = _status(result, measured.regions, min_confidence)
    after, enhancement = result.final, result.edit.enhancement
    filled = [region.confidence for region in measured.regions if region.decision in ("filled", "review")]
    return Outcome(
        image_id=job.image_id,
        status=status,
        data=result.data,
        media_type=after.carried.media_type,
        regions=measured.regions,
        confidence=min(filled, default=1.0),
        metrics=measured.image,
        diff=_diff(result),
        error=error,
        timings=dict(seconds),
        seed=job.seed,
        width=after.width,
        height=after.height,
        enhancement=replace(enhancement, rgb=None) if enhancement else None,
    )


def _diff(result: Result) -> bytes | WholeDiff | None:
    before, after = result.edit.job.image, result.final
    if result.data is None:
        return None
    return whole_diff(before, after) if result.is_whole else make_diff(before.native, after.native)


def _status(
    result: Result, regions: Sequence[RegionOutcome], min_confidence: float
) -> tuple[Status, ErrorInfo | None]:
    decisions = [region.decision for region in regions]
    kept = [region for region in regions if region.decision == "review"]
    if kept:
        return "review", _low_confidence("verify", "did not hold up and keep their pixels", kept, len(regions))
    # What counts is the file as it was written: with all regions filled, and through the losses of its format.
    written = [region for region in regions if region.decision == "filled" and region.confidence < min_confidence]
    if written:
        error = _low_confidence("measure", "do not hold up in the written result", written, len(regions))
        return "review", replace(error, message=f"{error.message} < {min_confidence:.2f}")
    if "gated" in decisions and "filled" not in decisions:
        gated = next(region for region in regions if region.decision == "gated")
        return "refused", ErrorInfo("rights", RefusedError.__name__, gated.route.reason if gated.route else "rights")
    return ("cleaned" if result.data is not None else "unchanged"), None


def _low_confidence(stage: str, what: str, regions: Sequence[RegionOutcome], total: int) -> ErrorInfo:
    worst = min(regions, key=lambda region: region.confidence)
    message = (
        f"{len(regions)} of {total} regions {what}; the worst is region {worst.region.region_id} "
        f"({worst.region.kind}), confidence {worst.confidence:.2f}"
    )
    return ErrorInfo(stage, "LowConfidence", message)


def failed(job: Job, failure: StageError, seconds: Mapping[str, float]) -> Outcome:
    """The outcome of an image that a stage could not do: `refused` where the stage says so, else `failed`."""
    cause = failure.cause
    status: Status = "refused" if isinstance(cause, RefusedError) else "failed"
    return Outcome(
        image_id=job.image_id,
        status=status,
        media_type=job.image.carried.media_type,
        error=ErrorInfo(failure.stage, type(cause).__name__, str(cause)),
        timings=dict(seconds),
        seed=job.seed,
        width=job.image.width,
        height=job.image.height,
    )
