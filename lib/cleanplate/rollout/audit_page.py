"""The audit report of a batch as one HTML file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from cleanplate.batch.whole_file import write_whole
from cleanplate.records import Template
from cleanplate.rollout.arms import COLUMNS, arm_rows
from cleanplate.rollout.audit import Audit, Share, TrendPoint
from cleanplate.rollout.html import data_uri, environment, markup, number
from cleanplate.rollout.page import PageEntry

THUMB_SIDE_PX = 320
QUALITY = 80
_GREY = 128.0
CHART_WIDTH, CHART_HEIGHT, CHART_MARGIN = 300, 84, 8
_SHARES = ("touched", "in review", "failed", "residual text")


@dataclass(frozen=True)
class Chart:
    """One line over the batches.

    Attributes:
        name: what is drawn.
        path: of SVG, in a box of CHART_WIDTH x CHART_HEIGHT; gaps where a batch has no value.
        dots: x, y, the text that a pointer over it shows, and whether it is the report's own batch.
        latest: the report's own value as text, else the last one.
        lowest: text of the lower end of the scale.
        highest: text of its upper end.
        is_share: whether its values are shares.
    """

    name: str
    path: str
    dots: tuple[tuple[float, float, str, bool], ...]
    latest: str
    lowest: str
    highest: str
    is_share: bool


def render_audit(audit: Audit, warehouse: str, out: Path, now: datetime | None = None) -> Path:
    """Writes one self-contained file; everything in it is escaped, and nothing is asked of any server.

    Args:
        audit: the figures.
        warehouse: where they are from.
        out: the file.
        now: UTC; the present where None.

    Returns:
        `out`.

    Raises:
        StorageError: it cannot be written.
    """
    tools = environment()
    tools.filters.update(percent=percent, bounds=bounds_text)
    stages = [(name, total, audit.per_thousand(total)) for name, total in audit.seconds.items()]
    page = tools.get_template("audit.html.j2").render(
        audit=audit,
        arms=arm_rows(audit.arms),
        arm_columns=COLUMNS,
        warehouse=warehouse,
        made=f"{now or datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC",
        first=next((event for event in audit.events if event.run_id == audit.runs[0]), None),
        touched=Share(audit.touched, audit.done),
        seconds=sum(audit.seconds.values()),
        longest=max((total for _, total, _ in stages), default=0.0),
        stages=stages,
        most_regions=max((row.regions for row in audit.routes), default=0),
        marks=[(mark, _on_grey(mark.template)) for mark in audit.marks],
        worst=[_worst(entry) for entry in audit.worst],
        charts=charts(audit.trends, audit.batch_id),
        style=markup("page.css"),
        report_style=markup("report.css"),
    )
    write_whole(out, page)
    return out


def percent(value: float | None) -> str:
    """A share in percent, nothing for what is missing."""
    return "" if value is None else f"{100 * value:.2f} %"


def bounds_text(found: Share | tuple[float, float] | None) -> str:
    """An interval: in percent for shares, as numbers for means and pairs; nothing for what is missing."""
    bounds = found.bounds if isinstance(found, Share) else found
    if bounds is None:
        return ""
    text = percent if isinstance(found, Share) else number
    low, high = bounds
    return f"from {text(low)}" if math.isinf(high) else f"{text(low)} to {text(high)}"


def charts(trends: Sequence[TrendPoint], batch_id: str) -> list[Chart]:
    """A line for each figure that at least two batches have.

    Args:
        trends: the batches, in their order.
        batch_id: the one that is marked.
    """
    names = list(trends[0].values) if trends else []
    measured = {name: sum(point.values[name] is not None for point in trends) for name in names}
    return [_chart(name, trends, batch_id) for name in names if measured[name] > 1]


def _chart(name: str, trends: Sequence[TrendPoint], batch_id: str) -> Chart:
    text = percent if name in _SHARES else number
    values = [value for point in trends if (value := point.values[name]) is not None]
    top = max(values)
    # Zero is the ground, so that a small wobble does not look like a change; confidence would be flat at the top.
    ground = min(values) if name == "confidence" else 0.0
    span = (top - ground) or 1.0
    step = (CHART_WIDTH - 2 * CHART_MARGIN) / max(1, len(trends) - 1)
    height = CHART_HEIGHT - 2 * CHART_MARGIN
    dots, path, is_open = [], "", False
    for place, point in enumerate(trends):
        value = point.values[name]
        if value is None:
            is_open = False
            continue
        x, y = CHART_MARGIN + place * step, CHART_MARGIN + height * (1 - (value - ground) / span)
        path += f"{'L' if is_open else 'M'}{x:.1f} {y:.1f}"
        is_open = True
        dots.append((round(x, 1), round(y, 1), f"{point.batch_id}: {text(value)}", point.batch_id == batch_id))
    own = next((point.values[name] for point in trends if point.batch_id == batch_id), None)
    latest = text(values[-1] if own is None else own)
    return Chart(name, path, tuple(dots), latest, text(ground), text(top), name in _SHARES)


def _on_grey(template: Template | None) -> str:
    """A mark on middle grey, on which both dark and bright ones show, as strong as its strongest pixel is opaque."""
    if template is None or not template.alpha.any():
        return ""
    alpha = (template.alpha / template.alpha.max())[..., None]
    picture = np.clip(np.rint((1 - alpha) * _GREY + alpha * template.colour), 0, 255).astype(np.uint8)
    return data_uri(picture, THUMB_SIDE_PX, QUALITY)


def _worst(entry: PageEntry) -> Mapping[str, Any]:
    """What the template shows of an image."""
    pictures = {"before": entry.before_rgb, "after": entry.after_rgb}
    thumbs = {name: data_uri(p, THUMB_SIDE_PX, QUALITY) for name, p in pictures.items() if p is not None and p.size}
    engines = sorted({str(r["engine"]) for r in entry.regions if r.get("engine")})
    kinds = sorted({str(r["kind"]).replace("_", " ") for r in entry.regions})
    return {"entry": entry, "thumbs": thumbs, "words": ", ".join([*kinds, *engines])}
