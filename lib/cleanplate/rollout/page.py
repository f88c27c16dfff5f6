"""The HTML page of a batch: before, after, mask and diff of every image, in one file."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np
from numpy.typing import NDArray

LONG_SIDE_PX = 900
DIFF_GAIN = 4
QUALITY = 82
STATUSES = ("review", "failed", "refused", "cleaned", "restored", "unchanged")


@dataclass(frozen=True)
class PageEntry:
    """One image of a page.

    Attributes:
        image_id: its name.
        status: what became of it.
        before_rgb: uint8 (H, W, 3), RGB, or None where it cannot be read.
        after_rgb: uint8 (H, W, 3), RGB, or None.
        alpha: float32 (H, W), 0..1: the soft mask, or None.
        regions: mappings with left, top, right, bottom, kind, score, decision, engine, reason, confidence, attempts.
        metrics: whole-image metrics by name.
        timings: seconds by stage.
        error: stage and message, or None.
        confidence: 0..1.
    """

    image_id: str
    status: str
    before_rgb: NDArray[np.uint8] | None = None
    after_rgb: NDArray[np.uint8] | None = None
    alpha: NDArray[np.float32] | None = None
    regions: Sequence[Mapping[str, Any]] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)
    error: str | None = None
    confidence: float = 1.0


@dataclass(frozen=True)
class PageSummary:
    """What stands above and below the images.

    Attributes:
        title: of the page.
        counts: images by status.
        facts: name -> value, such as the warehouse and the configuration's digest.
        events: rows of the ledger, as `batch.history.history` gives them.
    """

    title: str
    counts: Mapping[str, int]
    facts: Mapping[str, str] = field(default_factory=dict)
    events: Sequence[Mapping[str, Any]] = ()


def render_page(entries: Sequence[PageEntry], summary: PageSummary, out: Path, most: int = 200) -> Path:
    """Writes the page: one file, without requests to anywhere; everything in it is escaped.

    Args:
        entries: the images; those that need eyes come first: by status, then the least sure.
        summary: title, counts, facts, ledger.
        out: the file; its folder is made.
        most: how many images at most; the page says how many it leaves out.

    Returns:
        `out`.
    """
    ordered = sorted(entries, key=lambda entry: (_rank(entry.status), entry.confidence, entry.image_id))
    cards = [_card(entry) for entry in ordered[:most]]
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(
        resources.files("cleanplate.rollout").joinpath("page.html.j2").read_text(encoding="utf-8")
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    counts = [(status, summary.counts[status]) for status in STATUSES if summary.counts.get(status)]
    html = template.render(summary=summary, counts=counts, cards=cards, left_out=max(0, len(ordered) - most))
    out.write_text(html, encoding="utf-8")
    return out


def difference(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Absolute difference, amplified by 4, on black.

    Args:
        before: uint8 (H, W, 3), RGB.
        after: uint8 (H, W, 3), RGB, of the same size.

    Returns:
        uint8 (H, W, 3), RGB.
    """
    return np.asarray(cv2.convertScaleAbs(cv2.absdiff(before, after), alpha=DIFF_GAIN), np.uint8)


def _rank(status: str) -> int:
    return STATUSES.index(status) if status in STATUSES else len(STATUSES)


def _card(entry: PageEntry) -> dict[str, Any]:
    pictures = {name: _data_uri(picture) for name, picture in _pictures(entry).items()}
    seconds = sum(entry.timings.values())
    return {"entry": entry, "pictures": pictures, "seconds": seconds, "share": _share(entry)}


def _pictures(entry: PageEntry) -> dict[str, NDArray[np.uint8]]:
    found: dict[str, NDArray[np.uint8]] = {}
    if entry.before_rgb is not None:
        found["before"] = entry.before_rgb
    if entry.after_rgb is not None and entry.status not in ("unchanged", "refused"):
        found["after"] = entry.after_rgb
    if "after" in found and entry.alpha is not None and entry.alpha.any():
        found["mask"] = np.repeat((entry.alpha * 255).astype(np.uint8)[:, :, None], 3, axis=2)
    if "before" in found and "after" in found and found["before"].shape == found["after"].shape:
        found["diff"] = difference(found["before"], found["after"])
    return found


def _share(entry: PageEntry) -> float:
    return float((entry.alpha > 0).mean()) if entry.alpha is not None and entry.alpha.size else 0.0


def _data_uri(image_rgb: NDArray[np.uint8]) -> str:
    height, width = image_rgb.shape[:2]
    scale = min(1.0, LONG_SIDE_PX / max(height, width))
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        image_rgb = np.asarray(cv2.resize(image_rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
    encoded = cv2.imencode(".webp", image_rgb[:, :, ::-1], [cv2.IMWRITE_WEBP_QUALITY, QUALITY])[1]
    return "data:image/webp;base64," + base64.b64encode(encoded.tobytes()).decode()
