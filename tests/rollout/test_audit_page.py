"""The audit report without Spark: intervals, gates from the ledger, charts, and a page that holds all of it."""

import base64
import json
import math
import re
from datetime import datetime

import cv2
import numpy as np
import pytest
from scipy import stats

from cleanplate.records import Template
from cleanplate.rollout.arms import ArmDifference
from cleanplate.rollout.audit import (
    Audit,
    KindRow,
    MarkRow,
    RouteRow,
    Share,
    TrendPoint,
    drift_lines,
    gate_rows,
)
from cleanplate.rollout.audit_page import bounds_text, charts, percent, render_audit
from cleanplate.rollout.page import PageEntry
from cleanplate.warehouse.events import ActiveRun, Event

EVIL = '</style><script>alert(1)</script>"onerror="x\' {{ 7*7 }}'


def result(gate, verdict="passed", holds=False, **values):
    return {"gate": gate, "verdict": verdict, "holds": holds, "value": 0.02, "limit": 0.01} | values


def judged(seq, step, *results, run="b-r0001", drift=()):
    return Event(
        "b", seq, 0, "hold", run, "held", at=datetime(2026, 3, 1), note=EVIL,
        gates=json.dumps({"step": step, "results": results, "drift": list(drift)}),
    )  # fmt: skip


EVENTS = [
    judged(1, 1, result("seam"), result("residual_text", "failed", True, cause=EVIL, low=0.015, high=None)),
    judged(2, 2, result("seam", low=0.0, high=0.03, sure="at most 3 %"), result("size", "failed"),
           drift=[{"what": "confidence", "stratum": "device=scanner", "now": 0.5, "before": 0.75}]),
    Event("b", 3, 1, "publish", "b-r0001", "published", (ActiveRun("b-r0001", 1),), gates="no JSON"),
    Event("b", 4, 1, "hold", "b-r0001", "held", gates='{"rehearsal": 1}'),
]  # fmt: skip


@pytest.mark.parametrize(("count", "total"), [(0, 10), (3, 10), (10, 10), (99, 1000)])
def test_a_share_has_wilsons_interval(count, total):
    low, high = stats.binomtest(count, total).proportion_ci(method="wilson")
    assert Share(count, total).bounds == pytest.approx((low, high), abs=1e-6)


def test_nothing_has_no_interval():
    assert (Share(0, 0).value, Share(0, 0).bounds) == (None, None)
    assert (bounds_text(None), bounds_text((0.5, math.inf)), percent(None)) == ("", "from 0.5", "")
    assert (percent(0.0123), percent(0.5)) == ("1.23 %", "50.00 %")


def test_gates_are_those_of_the_last_step_and_what_failed_before():
    found = [(row.step, row.gate, row.verdict) for row in gate_rows(EVENTS)]
    assert found == [(1, "residual_text", "failed"), (2, "seam", "passed"), (2, "size", "warning")]
    rows = {row.gate: row for row in gate_rows(EVENTS)}
    assert rows["seam"].bounds == (0.0, 0.03)
    assert rows["residual_text"].bounds == (0.015, math.inf)
    assert rows["size"].bounds is None
    assert drift_lines(EVENTS) == ["b-r0001: confidence of device=scanner is 0.5, was 0.75"]


def points(*values):
    return [TrendPoint(f"b{n}", n, 10, {"touched": value, "confidence": 0.9}) for n, value in enumerate(values)]


def test_a_chart_has_gaps_and_marks_its_own_batch():
    touched, confidence = charts(points(0.0, None, 0.5, 1.0), "b3")
    assert (touched.name, touched.latest) == ("touched", "100.00 %")
    assert (touched.lowest, touched.highest) == ("0.00 %", "100.00 %")
    assert touched.path == "M8.0 76.0M197.3 42.0L292.0 8.0"
    assert [is_own for *_, is_own in touched.dots] == [False, False, True]
    assert [y for _, y, *_ in confidence.dots] == [76.0] * 4, "one value for all is no division by zero"
    assert [chart.name for chart in charts(points(0.5, None), "b0")] == ["confidence"]
    assert charts([], "b") == []


def template(alpha=0.2, colour=250.0):
    shape = (20, 40)
    return Template(np.full(shape, alpha, np.float32), np.full((*shape, 3), colour, np.float32), np.zeros(shape, "f4"))


def mark(mark_id, shown, images=0, **decisions):
    return MarkRow(mark_id, "b-r0001", "watermark", shown, 0.875, 12, images, decisions, 0.9 if decisions else None)


def shown_pictures(text):
    """The pictures of a page, uint8 (H, W, 3), RGB, by their description."""
    found = re.findall(r'src="data:image/webp;base64,([^"]+)" alt="([^"]+)"', text)
    decoded = [cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR) for data, _ in found]
    return {name: picture[..., ::-1] for (_, name), picture in zip(found, decoded, strict=True)}


def audit(**values):
    picture = np.full((60, 90, 3), 120, np.uint8)
    known = {
        "batch_id": "b3", "runs": ("b-r0001", "b-r0002"), "standing": "published", "images": 1200,
        "statuses": {"cleaned": 900, "review": 80, "failed": 20, "unchanged": 100}, "touched": 900, "coverage": 0.034,
        "kinds": [KindRow("overlay_text", 800, 900, {"filled": 820, "review": 80}, 0.81)],
        "routes": [RouteRow("network", 700, 80, 0.8, 1.25, 2200.0), RouteRow(EVIL, 200, 0, None, None, 0.0)],
        "enhanced": {"denoise": 120}, "synthetic": 3,
        "seconds": {"fill": 900.0, "detect": 300.0}, "accepted": Share(45, 50), "verdicts": {"accept": 48, "ab_a": 2},
        "gates": gate_rows(EVENTS), "drift": [EVIL], "trends": points(0.1, 0.4, 0.3, 0.8), "events": EVENTS,
        "arms": [ArmDifference("review", True, 0.08, 0.03, -0.05, -0.07, -0.031, (600, 580))],
        "worst": [
            PageEntry(EVIL, "review", picture, picture, error=EVIL, confidence=0.1,
                      regions=[{"engine": "network", "kind": "stamp"}]),
            PageEntry("lost", "failed", error="read: gone", confidence=1.0),
        ],
    }  # fmt: skip
    return Audit(**known | values)


def test_the_report_holds_the_figures_and_nothing_active(tmp_path):
    page = render_audit(audit(), f"/wh/{EVIL}", tmp_path / "new" / "audit.html", datetime(2026, 3, 2, 8, 30))
    text = page.read_text()
    assert "<script" not in text
    assert "{{" not in text.replace("{{ 7*7 }}", "")
    assert "http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:;" in text
    assert not [link for link in ("src=\"http", "href=", "url(", "@import") if link in text]
    for figure in (
        "1,200", "81.82 %", "90.00 %", "2,000", "1,091", "not run yet", "100</td>", "from 0.015", "0 to 0.03",
        "78.64 % to 95.65 %", "2026-03-02 08:30 UTC", "least sure", "cannot be shown", "120 denoise",
        "3 images hold invented detail", "read: gone", "B minus A", "-7 % to -3.1 %", "600, 580",
    ):  # fmt: skip
        assert figure.lower() in text.lower(), figure
    assert text.count("<img") == 2
    assert [path.name for path in page.parent.iterdir()] == ["audit.html"]


def test_recurring_marks_are_shown_with_what_became_of_them(tmp_path):
    marks = [mark("m1", template(), 700, filled=690, review=10), mark("m2", None), mark("m3", template(0.0))]
    text = render_audit(audit(marks=marks), "wh", tmp_path / "a.html").read_text()
    for figure in ("recurring marks", "87.50 %", "700", "690", "0.90"):
        assert figure in text, figure
    assert text.count("recurring mark m") == 1, "a template that is lost, or empty, has no picture"
    assert text.count("cannot be shown") == 4
    seen = shown_pictures(text)["recurring mark m1"]
    assert seen.shape == (20, 40, 3)
    assert seen.min() >= 245, "as strong as its strongest pixel is opaque, so that a faint one is seen"
    assert "recurring" not in render_audit(audit(), "wh", tmp_path / "b.html").read_text()


def test_a_batch_without_reviews_gates_and_pictures_has_a_report(tmp_path):
    empty = Audit("b", ("b-r0001",), "run b-r0001 is running", 0, {}, 0, events=[])
    text = render_audit(empty, "wh", tmp_path / "a.html").read_text()
    for words in ("No gate has judged", "No reviewer has decided", "nothing was found", "no engine was used"):
        assert words in text
    assert "Arms" not in text
    assert "<svg" not in text
