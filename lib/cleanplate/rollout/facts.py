"""What the gates may speak of: the facts of an image, by name and type."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

STRATUM = "stratum."  # columns of the frame that say which stratum an image belongs to, by dimension

TEXTS: Mapping[str, str] = {
    "status": "cleaned, unchanged, review, refused, failed",
    "stage": "of the pipeline that failed, refused or sent the image to review",
    "error_class": "class of that error",
    "message": "of that error",
    "media_type": "of the result",
    "change": "local (regions only), whole (also what lies between them), or missing where nothing changed",
    "arm": "A or B",
}
SETS: Mapping[str, str] = {
    "engines": "that filled a region or tried to",
    "kinds": "of the regions that were worked on",
    "failures": "signals by which the last attempt of a region that keeps its pixels failed",
}
NUMBERS: Mapping[str, str] = {
    "confidence": "0..1, the lowest of the regions that were worked on",
    "asked_confidence": "0..1, what the run asks for: verify.min_confidence, and more while the batch drifts",
    "perceptual_error": "0..100, how bad the result looks by itself: 100 less the no-reference score",
    "bytes_ratio": "result file over source file",
    "seconds": "of all stages",
    "cost_units": "of all attempts",
    "found": "regions that are to go",
    "filled": "regions with new pixels",
    "kept_back": "regions that did not hold up and keep their pixels",
    "attempts": "most attempts of a region",
    "megapixels": "of the result",
}
IMAGE_METRICS = (
    "changed_share", "changed_outside_share", "coefficients_outside", "mask_coverage", "residual_text", "seam",
    "lpips_outside", "no_reference_before", "no_reference_after", "psnr", "lpips", "ssim",
    *(f"confidence_tenth_{number}" for number in range(10)),
)  # fmt: skip
REGION_METRICS = (
    "residual_text", "seam", "texture_ratio", "colour_drift", "noise_ratio", "expected_error", "disagreement", "share",
    "depth_px", "texture", "noise", "ring_std", "edges", "band_ssim", "structure",
)  # fmt: skip
AGGREGATES = ("max", "min", "mean")
DERIVED = tuple(f"{name}_{how}" for name in REGION_METRICS for how in AGGREGATES)


def known_facts() -> tuple[str, ...]:
    """Every name that an expression may use; a region's metric comes with _max, _min or _mean over the regions."""
    return (*TEXTS, *SETS, *NUMBERS, *IMAGE_METRICS, *DERIVED)


def typed(frame: pd.DataFrame) -> pd.DataFrame:
    """The facts in pandas' nullable types, sets as frozensets; what is not known stays as it is."""
    columns: dict[str, pd.Series] = {}
    for name in frame.columns:
        column = frame[name]
        if name in TEXTS or str(name).startswith(STRATUM):
            columns[name] = column.astype("string")
        elif name in SETS:
            columns[name] = pd.Series([_frozen(value) for value in column], index=frame.index, dtype="object")
        elif name in NUMBERS or name in IMAGE_METRICS or name in DERIVED:
            columns[name] = pd.to_numeric(column, errors="coerce").astype("Float64")
        else:
            columns[name] = column
    return pd.DataFrame(columns, index=frame.index)


def example_facts() -> pd.DataFrame:
    """One image that has every fact, to try an expression on."""
    values: dict[str, object] = dict.fromkeys(known_facts(), 1.0)
    values |= dict.fromkeys(TEXTS, "text") | dict.fromkeys(SETS, ("text",))
    return typed(pd.DataFrame([values]))


def _frozen(value: object) -> frozenset[str]:
    return frozenset() if value is None else frozenset(value)  # type: ignore[call-overload]
