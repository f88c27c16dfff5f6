"""The HTML page of a batch: before, after, mask and difference of every image, in one file."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.rollout.html import data_uri, environment, markup, script_digest
from cleanplate.rollout.judgement import COLUMNS, Judgement, gate_rows, remarks

THUMB_SIDE_PX = 480
DETAIL_SIDE_PX = 1200
THUMB_QUALITY = 76
DETAIL_QUALITY = 84
DIFF_GAIN = 4
MASK_RGB = (255, 74, 36)
MASK_DIM = 0.42
STATUSES = ("review", "failed", "refused", "cleaned", "restored", "unchanged")
_UNTOUCHED = ("unchanged", "refused", "failed")
_VIEWS = ("before", "after", "mask", "confidence", "diff")
_THUMBS = ("before", "after", "mask", "diff")
_TENTH = "confidence_tenth_"
_COVERAGE_STEPS = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)


@dataclass(frozen=True)
class PageEntry:
    """One image of a page.

    Attributes:
        image_id: its name.
        status: what became of it.
        before_rgb: uint8 (H, W, 3), RGB, or None where it cannot be read.
        after_rgb: uint8 (H, W, 3), RGB, or None.
        alpha: float32 (H, W), 0..1: the soft mask, or None.
        confidence_map: float32 (H, W), 0..1: the detectors' confidence, or None.
        regions: mappings with left, top, right, bottom, kind, score, decision, engine, reason, confidence, features,
            attempts (mappings with number, engine, confidence, failures); what is missing is left blank.
        metrics: whole-image metrics by name.
        timings: seconds by stage.
        error: stage and message, or None.
        confidence: 0..1.
        enhancements: mappings with name, reason, scale, synthetic: what ran over the whole image.
        enhance_reason: why that ran, and the rest did not; or None.
    """

    image_id: str
    status: str
    before_rgb: NDArray[np.uint8] | None = None
    after_rgb: NDArray[np.uint8] | None = None
    alpha: NDArray[np.float32] | None = None
    confidence_map: NDArray[np.float32] | None = None
    regions: Sequence[Mapping[str, Any]] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)
    error: str | None = None
    confidence: float = 1.0
    enhancements: Sequence[Mapping[str, Any]] = ()
    enhance_reason: str | None = None


@dataclass(frozen=True)
class PageSummary:
    """What stands above and below the images.

    Attributes:
        title: of the page.
        counts: images by status, those included that the page leaves out.
        facts: name -> value, such as the warehouse and the configuration's digest.
        events: rows of the ledger, as `batch.history.history` gives them.
        judgement: what the gates said last, None where they were not judged.
    """

    title: str
    counts: Mapping[str, int]
    facts: Mapping[str, str] = field(default_factory=dict)
    events: Sequence[Mapping[str, Any]] = ()
    judgement: Judgement | None = None


def render_page(
    entries: Sequence[PageEntry], summary: PageSummary, out: Path, most: int = 200, detailed: int = 40
) -> Path:
    """Writes the page: one file, without requests to anywhere; everything in it is escaped.

    Args:
        entries: the images; those that need eyes come first: by status, then the least sure.
        summary: title, counts, facts, ledger.
        out: the file; its folder is made.
        most: how many images at most; the page says how many it leaves out.
        detailed: how many of them bring pictures of 1200 px; the others show those of 480 px also when opened, which
            bounds the file: about 0.3 MB for each of these, 0.1 MB for each of the rest.

    Returns:
        `out`.
    """
    ordered = sorted(entries, key=lambda entry: (_rank(entry.status), entry.confidence, entry.image_id))[:most]
    total = max(len(entries), sum(summary.counts.values()))
    html = environment().get_template("page.html.j2").render(
        summary=summary,
        counts=_counts(summary.counts),
        total=total,
        cards=[_card(entry, number < detailed) for number, entry in enumerate(ordered)],
        left_out=total - len(ordered),
        coverage=_coverage(ordered),
        gates=gate_table(summary.judgement),
        gain=DIFF_GAIN,
        style=markup("page.css"),
        script=markup("page.js"),
        script_sha256=script_digest("page.js"),
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    # A POSIX file name need not be text: its stray bytes arrive as lone surrogates, which UTF-8 has no form for.
    out.write_text(html, encoding="utf-8", errors="backslashreplace")
    return out


def gate_table(judgement: Judgement | None) -> dict[str, Any] | None:
    """What a template shows of the gates: note, columns, rows, remarks; None where they were not judged."""
    if judgement is None:
        return None
    return {
        "note": judgement.note,
        "columns": COLUMNS,
        "rows": gate_rows(judgement),
        "remarks": remarks(judgement),
    }


def difference(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Absolute difference, amplified by 4, on black.

    Args:
        before: uint8 (H, W, 3), RGB.
        after: uint8 (H, W, 3), RGB, of the same size.

    Returns:
        uint8 (H, W, 3), RGB.
    """
    return np.asarray(cv2.convertScaleAbs(cv2.absdiff(before, after), alpha=DIFF_GAIN), np.uint8)


def mask_overlay(before: NDArray[np.uint8], alpha: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The soft mask in orange on the darkened grey picture, so that both its place and its softness show.

    Args:
        before: uint8 (H, W, 3), RGB.
        alpha: float32 (H, W), 0..1.

    Returns:
        uint8 (H, W, 3), RGB.
    """
    return _tinted(before, np.asarray(MASK_RGB, np.float32), alpha)


def confidence_overlay(before: NDArray[np.uint8], confidence: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A confidence map in false colours (Viridis) on the darkened grey picture.

    Args:
        before: uint8 (H, W, 3), RGB.
        confidence: float32 (H, W), 0..1.

    Returns:
        uint8 (H, W, 3), RGB.
    """
    levels = np.round(np.clip(confidence, 0, 1) * 255).astype(np.uint8)
    colours = cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS)[:, :, ::-1].astype(np.float32)
    return _tinted(before, colours, confidence * 4)


def _tinted(
    before: NDArray[np.uint8], colours: NDArray[np.float32], weight: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Mixes colours, (3,) or (H, W, 3), into the darkened grey picture by a weight that is cut to 0..1."""
    grey = cv2.cvtColor(before, cv2.COLOR_RGB2GRAY).astype(np.float32)[:, :, None] * MASK_DIM
    share = np.clip(weight, 0, 1)[:, :, None]
    return np.round(grey * (1 - share) + colours * share).astype(np.uint8)


def _coverage(entries: Sequence[PageEntry]) -> list[tuple[str, int, float]]:
    """The histogram of the masks' coverage over the edited images: range, images, height of the bar 0..1."""
    shares = [entry.metrics["mask_coverage"] for entry in entries if entry.metrics.get("mask_coverage")]
    if not shares:
        return []
    counts = np.histogram(shares, _COVERAGE_STEPS)[0]
    names = [f"{100 * low:g}–{100 * high:g} %" for low, high in itertools.pairwise(_COVERAGE_STEPS)]
    return [(name, int(count), float(count) / max(counts)) for name, count in zip(names, counts, strict=True)]


def _rank(status: str) -> int:
    return STATUSES.index(status) if status in STATUSES else len(STATUSES)


def _counts(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return [(status, counts[status]) for status in sorted(counts, key=_rank) if counts[status]]


def _card(entry: PageEntry, is_detailed: bool) -> dict[str, Any]:
    """Everything the template shows of an image, as plain values."""
    pictures = _pictures(entry)
    small = pictures if not is_detailed else {name: pictures[name] for name in _THUMBS if name in pictures}
    thumbs = {name: data_uri(picture, THUMB_SIDE_PX, THUMB_QUALITY) for name, picture in small.items()}
    large = pictures if is_detailed else {}
    details = {name: data_uri(picture, DETAIL_SIDE_PX, DETAIL_QUALITY) for name, picture in large.items()}
    height, width = next((picture.shape[:2] for picture in pictures.values()), (0, 0))
    timings = sorted(entry.timings.items(), key=lambda timing: (-timing[1], timing[0]))
    longest = timings[0][1] if timings else 0.0
    decided = [region for region in entry.regions if region.get("decision") in ("filled", "review")]
    return {
        "entry": entry,
        "thumbs": thumbs,
        "pictures": details or thumbs,
        "width": width,
        "height": height,
        "seconds": sum(entry.timings.values()),
        "timings": [(name, value, value / longest if longest else 0.0) for name, value in timings],
        "cut": _cut(entry),
        "share": _share(entry),
        "metrics": sorted((name, value) for name, value in entry.metrics.items() if not name.startswith(_TENTH)),
        "tenths": _tenths(entry),
        "is_judged": bool(decided),
        "engines": sorted({str(region["engine"]) for region in decided if region.get("engine")}),
        "enhanced": " + ".join(_enhancer(step) for step in entry.enhancements),
        "is_synthetic": any(step.get("synthetic") for step in entry.enhancements),
        "regions": [_region(number, region) for number, region in enumerate(entry.regions)],
    }


def _enhancer(step: Mapping[str, Any]) -> str:
    scale = step.get("scale") or 1
    return f"{step.get('name')} ×{scale}" if scale > 1 else str(step.get("name"))


def _region(number: int, region: Mapping[str, Any]) -> dict[str, Any]:
    box = [int(region.get(side) or 0) for side in ("left", "top", "right", "bottom")]
    return {
        "number": region.get("region_id", number),
        "box": box,
        "size": (box[2] - box[0], box[3] - box[1]),
        **{name: region.get(name) or "" for name in ("kind", "decision", "engine", "reason", "transcript")},
        **{name: region.get(name) or 0.0 for name in ("score", "confidence")},
        "features": sorted((region.get("features") or {}).items()),
        "attempts": list(region.get("attempts") or ()),
    }


def _pictures(entry: PageEntry) -> dict[str, NDArray[np.uint8]]:
    """The views that there are, in the order of _VIEWS."""
    before, after, alpha = entry.before_rgb, entry.after_rgb, entry.alpha
    found: dict[str, NDArray[np.uint8]] = {}
    if before is not None and before.size:
        found["before"] = before
    if after is not None and after.size and entry.status not in _UNTOUCHED:
        found["after"] = after
    if "before" in found and _fits(alpha, found["before"]):
        found["mask"] = mask_overlay(found["before"], alpha)
    confidence = entry.confidence_map
    if "before" in found and _fits(confidence, found["before"]):
        found["confidence"] = confidence_overlay(found["before"], confidence)
    if "before" in found and "after" in found and found["before"].shape == found["after"].shape:
        found["diff"] = difference(found["before"], found["after"])
    return {name: found[name] for name in _VIEWS if name in found}


def _fits(plane: NDArray[np.float32] | None, picture: NDArray[np.uint8]) -> TypeGuard[NDArray[np.float32]]:
    """Whether there is anything in a map, and it has the picture's size."""
    return plane is not None and bool(plane.any()) and plane.shape == picture.shape[:2]


def _cut(entry: PageEntry) -> int:
    """Where the slider starts, in percent of the width: amid what was removed, so that both states of it show."""
    if entry.alpha is None or not entry.alpha.any():
        return 50
    columns = entry.alpha.sum(axis=0)
    centre = float(np.average(np.arange(len(columns)) + 0.5, weights=columns)) / len(columns)
    return round(min(max(100 * centre, 8), 92))


def _tenths(entry: PageEntry) -> list[tuple[str, float, float]]:
    """The distribution of confidence: range, share, height of the bar 0..1; empty where there is none."""
    shares = [entry.metrics.get(f"{_TENTH}{number}") or 0.0 for number in range(10)]
    most = max(shares)
    return [(f"{n / 10:.1f}–{(n + 1) / 10:.1f}", share, share / most) for n, share in enumerate(shares)] if most else []


def _share(entry: PageEntry) -> float:
    return float((entry.alpha > 0).mean()) if entry.alpha is not None and entry.alpha.size else 0.0
