"""Measures what a reader of the result sees: the re-decoded file, not the array that was encoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cleanplate.attempts import Edit
from cleanplate.encode import Result
from cleanplate.metrics.changed import changed_outside, changed_share
from cleanplate.metrics.coverage import confidence_tenths, mask_coverage
from cleanplate.metrics.lpips import Lpips
from cleanplate.metrics.no_reference import no_reference
from cleanplate.metrics.noise import noise_ratio
from cleanplate.records import Box, Region, RegionOutcome
from cleanplate.verify import Candidate
from cleanplate.windows import place, shrink

if TYPE_CHECKING:
    from cleanplate.pipeline import Plan


@dataclass(frozen=True)
class Measured:
    """Metrics of the whole image, and its regions with theirs."""

    image: Mapping[str, float]
    regions: tuple[RegionOutcome, ...]


def measure(results: Sequence[Result], plan: Plan) -> list[Measured]:
    """Judges every filled region again in the re-decoded result, and compares the rest with the source.

    Args:
        results: encoded and read back images.
        plan: the verifier, and whether LPIPS is wanted.

    Returns:
        One per result, in order. A region's confidence becomes that of the result's own pixels.
    """
    seen = [result.final_rgb for result in results]
    work = [
        (index, number, candidate_of(result, seen[index], region, plan.config.route.context_px))
        for index, result in enumerate(results)
        for number, region in enumerate(result.edit.regions)
        if region.decision == "filled" and result.image is not None
    ]
    verdicts = plan.verifier.judge([candidate for _, _, candidate in work])
    judged = [list(result.edit.regions) for result in results]
    for (index, number, candidate), verdict in zip(work, verdicts, strict=True):
        scores = {
            **verdict.scores,
            "noise_ratio": noise_ratio(candidate.after, candidate.core, candidate.invalid),
        }
        judged[index][number] = replace(judged[index][number], confidence=verdict.confidence, metrics=scores)
    return [
        Measured(_image_metrics(result, after, regions, plan), tuple(regions))
        for result, after, regions in zip(results, seen, judged, strict=True)
    ]


def candidate_of(result: Result, final_rgb: NDArray[np.uint8], outcome: RegionOutcome, context_px: int) -> Candidate:
    """A filled region as it stands in the re-decoded result (at the source's size), with its surroundings."""
    image, region = result.edit.job.image, outcome.region
    box = region.box.expand(context_px, image.width, image.height)
    invalid = np.zeros((box.height, box.width), np.uint8)
    for other in result.edit.regions:
        if other.decision != "kept" and other.region.box.intersects(box):
            invalid |= _core_in(other.region, box)
    return Candidate(
        region=region,
        before=image.rgb[box.slices],
        after=final_rgb[box.slices],
        alpha=place(region.alpha, region.box, box),
        core=_core_in(region, box),
        invalid=invalid,
    )


def _core_in(region: Region, box: Box) -> NDArray[np.uint8]:
    return place(region.core.astype(np.float32), region.box, box).astype(np.uint8)


def _image_metrics(
    result: Result, after: NDArray[np.uint8], regions: Sequence[RegionOutcome], plan: Plan
) -> dict[str, float]:
    if result.image is None:
        return {}
    edit = result.edit
    values = {
        "changed_share": changed_share(edit.job.image.rgb, after),
        "changed_outside_share": changed_outside(edit.job.image.rgb, after, edit.alpha),
    }
    if result.coefficients_outside is not None:
        values["coefficients_outside"] = float(result.coefficients_outside)
    values["mask_coverage"] = mask_coverage(edit.alpha)
    touched = [region.region for region in regions if region.decision == "filled"]
    tenths = confidence_tenths((region.confidence, region.core) for region in touched)
    values |= {f"confidence_tenth_{number}": share for number, share in enumerate(tenths)}
    for name in ("residual_text", "seam"):
        values[name] = max((region.metrics[name] for region in regions if name in region.metrics), default=0.0)
    values["no_reference_before"] = no_reference(edit.job.image.rgb)  # at one size, because a score depends on it
    values["no_reference_after"] = no_reference(after)
    if plan.config.metrics.lpips:
        values["lpips_outside"] = _lpips_outside(edit, after, plan)
    return values


def _lpips_outside(edit: Edit, after: NDArray[np.uint8], plan: Plan) -> float:
    """LPIPS with the source's pixels inside the mask: 0 where nothing else changed."""
    before = edit.job.image.rgb
    outside = np.where((edit.alpha > 0)[:, :, None], before, after)
    if np.array_equal(before, outside):
        return 0.0
    size = plan.config.metrics.lpips_long_side_px
    return Lpips.load(plan.registry, plan.device).distance(shrink(before, size), shrink(outside, size))
