"""The page: complete, self-contained, bounded, and safe against hostile names."""

import base64
import hashlib
import re
from collections import Counter
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from cleanplate.rollout.judge import GateResult
from cleanplate.rollout.judgement import Judgement
from cleanplate.rollout.page import (
    MASK_RGB,
    PageEntry,
    PageSummary,
    confidence_overlay,
    difference,
    mask_overlay,
    render_page,
)

EVIL = '</script><script>alert(1)</script>"onerror="x\' {{ 7*7 }}'
REGION = {
    "region_id": 0, "left": 10, "top": 10, "right": 90, "bottom": 40, "kind": "stamp", "score": 0.5,
    "decision": "filled", "engine": "pde", "reason": f"2,140 px {EVIL}", "confidence": 0.8, "transcript": EVIL,
    "features": {"ring_std": 12.5, "area_px": 71852.0}, "attempts": [{"engine": "flat", "confidence": 0.4,
    "failures": ["seam"]}, {"engine": "pde", "confidence": 0.8, "failures": []}],
}  # fmt: skip


class Page(HTMLParser):
    """Collects what a browser would make of the page."""

    def __init__(self, text):
        super().__init__()
        self.images, self.cards, self.links, self.text, self.scripts, self.ranges = [], [], [], [], [], []
        self.handlers, self.rows, self.policy, self.depth, self._inside = [], 0, "", Counter(), ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values, self._inside = dict(attrs), tag
        self.depth[tag] += 1
        if tag == "img":
            self.images.append(values)
        if tag == "details":
            self.cards.append(values)
        if tag == "input" and values["type"] == "range":
            self.ranges.append(values)
        if values.get("http-equiv") == "Content-Security-Policy":
            self.policy = values["content"]
        self.rows += tag == "tr" and "data-region" in values
        self.handlers += [name for name in values if name.startswith("on")]
        self.links += [values[name] for name in ("src", "href", "srcset", "action") if name in values]

    def handle_endtag(self, tag):
        self.depth[tag] -= 1
        self._inside = ""

    def handle_data(self, data):
        (self.scripts if self._inside == "script" else self.text).append(data)

    @property
    def visible(self):
        return re.sub(r"\s+", " ", " ".join(self.text))


def entry(name="a", status="cleaned", confidence=0.9, **values):
    before = np.full((300, 1800, 3), 90, np.uint8)
    after = before.copy()
    after[10:40, 10:90] = 120
    alpha = np.zeros((300, 1800), np.float32)
    alpha[10:40, 10:90] = 1
    known = {"before_rgb": before, "after_rgb": after, "alpha": alpha, "regions": [REGION], "metrics": {"seam": 0.5}}
    return PageEntry(name, status, **known | {"timings": {"fill": 0.25}, "confidence": confidence} | values)


def render(tmp_path, entries, counts=None, **values):
    event = {
        "seq": 1, "action": "publish", "run_id": "b-r0001", "state": "published", "who": EVIL, "at": None, "note": "",
        "active_runs": [{"run_id": "b-r0001", "publish_seq": 1}], "counts": {"cleaned": 3},
    }  # fmt: skip
    summary = PageSummary("Batch b", counts or Counter(item.status for item in entries), {"warehouse": EVIL}, [event])
    text = render_page(entries, summary, tmp_path / "sub" / "page.html", **values).read_text(encoding="utf-8")
    return text, Page(text)


def picture(uri):
    head, _, data = uri.partition(",")
    assert head == "data:image/webp;base64"
    return cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]


def test_hostile_names_stay_text(tmp_path):
    _, page = render(tmp_path, [entry(EVIL, error=EVIL)])
    assert len(page.scripts) == 1, "only the page's own script"
    assert page.handlers == []
    assert page.cards[0]["data-name"] == EVIL.lower()
    assert "".join(page.text).count(EVIL) >= 6, "name, error twice, reason, transcript, fact, who"


def test_a_status_from_elsewhere_stays_text(tmp_path):
    _, page = render(tmp_path, [entry("a", EVIL)])
    assert len(page.scripts) == 1
    assert page.cards[0]["data-status"] == EVIL
    assert page.handlers == []


def test_a_name_that_is_no_text_is_written(tmp_path):
    stray = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    _, page = render(tmp_path, [entry(stray)])
    assert page.cards[0]["data-name"] == "caf\\udce9.jpg"


def test_the_page_asks_nobody_for_anything(tmp_path):
    text, page = render(tmp_path, [entry()])
    assert page.links
    assert all(link.startswith("data:image/webp;base64,") for link in page.links)
    assert not re.search(r"https?://|@import|url\(", text)


def test_the_policy_permits_the_own_script_and_nothing_else(tmp_path):
    _, page = render(tmp_path, [entry()])
    digest = base64.b64encode(hashlib.sha256(page.scripts[0].encode()).digest()).decode()
    rules = dict(rule.strip().split(" ", 1) for rule in page.policy.split(";"))
    assert rules["script-src"] == f"'sha256-{digest}'"
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"


def test_every_element_is_closed(tmp_path):
    failed = PageEntry("broken.jpg", "failed", error="decode: the JPEG is cut off")
    _, page = render(tmp_path, [entry(), failed, entry("r", "review")])
    void = {"meta", "img", "input"}
    assert {tag: depth for tag, depth in page.depth.items() if depth and tag not in void} == {}


def test_what_needs_eyes_comes_first(tmp_path):
    entries = [entry("x", "unchanged"), entry("y", "cleaned", 0.9), entry("z", "cleaned", 0.2), entry("w", "review")]
    _, page = render(tmp_path, entries)
    assert [card["data-name"] for card in page.cards] == ["w", "z", "y", "x"]
    assert [card["data-status"] for card in page.cards] == ["review", "cleaned", "cleaned", "unchanged"]


def test_small_and_large_pictures_of_each_view(tmp_path):
    _, page = render(tmp_path, [entry()])
    views = ["before", "after", "mask", "diff"]
    assert [image["alt"] for image in page.images] == views + [f"{view} at full size" for view in views]
    assert [picture(image["src"]).shape for image in page.images] == [(80, 480, 3)] * 4 + [(200, 1200, 3)] * 4


def test_the_pictures_show_what_they_say(tmp_path):
    _, page = render(tmp_path, [entry()])
    shown = {image["alt"]: picture(image["src"]).astype(int) for image in page.images[4:]}
    inside, outside = (16, 33), (150, 900)
    assert np.abs(shown["before at full size"][inside] - 90).max() <= 3
    assert np.abs(shown["after at full size"][inside] - 120).max() <= 3
    assert np.abs(shown["mask at full size"][inside] - MASK_RGB).max() <= 30
    assert np.abs(shown["diff at full size"][inside] - 120).max() <= 8, "30 grey levels, four times"
    assert shown["diff at full size"][outside].max() <= 3


def test_beyond_the_detailed_ones_the_small_pictures_serve_twice(tmp_path):
    entries = [entry(str(number)) for number in range(3)]
    _, page = render(tmp_path, entries, detailed=1)
    sizes = [max(picture(image["src"]).shape) for image in page.images if image["alt"] == "before at full size"]
    assert sizes == [1200, 480, 480]


def test_the_slider_starts_amid_what_was_removed(tmp_path):
    alpha = np.zeros((300, 1800), np.float32)
    alpha[:, 1200:1500] = 0.5
    _, page = render(tmp_path, [entry(alpha=alpha), entry("corner"), entry("none", alpha=None)])
    assert [values["value"] for values in page.ranges] == ["75", "8", "50"]
    assert all(values["aria-label"] for values in page.ranges)


def test_a_broken_image_and_an_untouched_one_have_their_rows(tmp_path):
    failed = PageEntry("broken.jpg", "failed", error="decode: the JPEG is cut off")
    _, page = render(tmp_path, [failed, entry("same", "unchanged", after_rgb=None, alpha=None, regions=())])
    assert [card["data-status"] for card in page.cards] == ["failed", "unchanged"]
    assert [image["alt"] for image in page.images] == ["before", "before at full size"]
    assert "cannot be shown" in page.visible
    assert "the JPEG is cut off" in page.visible
    assert page.ranges == []


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 2000, 3), (0, 5, 3)])
def test_odd_sizes_do_no_harm(tmp_path, shape):
    pixels = np.zeros(shape, np.uint8)
    odd = entry(before_rgb=pixels, after_rgb=pixels, alpha=np.zeros(shape[:2], np.float32))
    _, page = render(tmp_path, [odd])
    assert len(page.cards) == 1


def test_an_upscaled_result_has_no_difference(tmp_path):
    larger = np.zeros((600, 3600, 3), np.uint8)
    _, page = render(tmp_path, [entry(after_rgb=larger)])
    assert "diff" not in [image["alt"] for image in page.images]
    assert len(page.ranges) == 1


def test_an_enhanced_image_says_what_ran_and_why(tmp_path):
    steps = [{"name": "denoise", "scale": 1, "synthetic": False}, {"name": "generative", "scale": 4, "synthetic": True}]
    _, page = render(tmp_path, [entry(enhancements=steps, enhance_reason=f"noise 7.2 > 4: denoise {EVIL}")])
    for words in ("denoise + generative ×4 · synthetic pixels", "noise 7.2 > 4: denoise"):
        assert words in page.visible
    _, page = render(tmp_path, [entry(enhancements=steps[:1])])
    assert "synthetic" not in page.visible


def test_regions_show_their_attempts_features_and_reasons(tmp_path):
    _, page = render(tmp_path, [entry()])
    assert page.rows == 1
    for words in ("80 × 30", "flat 0.40 (failed: seam)", "then pde 0.80", "area px 71,852", "ring std 12.5"):
        assert words in page.visible


def test_a_region_may_lack_what_is_not_known(tmp_path):
    bare = {"left": 1, "top": 2, "right": 4, "bottom": 8, "kind": "watermark", "decision": "gated", "engine": None}
    _, page = render(tmp_path, [entry("a", "refused", regions=[bare], alpha=None)])
    assert page.rows == 1
    assert "3 × 6" in page.visible


def test_the_page_is_bounded_and_says_so(tmp_path):
    entries = [entry(str(number), before_rgb=None, after_rgb=None, alpha=None) for number in range(5)]
    _, page = render(tmp_path, entries, most=3)
    assert len(page.cards) == 3
    assert "2 more images are not on this page" in page.visible
    _, page = render(tmp_path, entries, counts={"cleaned": 4000, "failed": 6})
    assert "4001 more images are not on this page" in page.visible
    assert "all 4006" in page.visible


def test_the_difference_is_amplified():
    before = np.full((1, 2, 3), 100, np.uint8)
    after = before.copy()
    after[0, 0] = (90, 100, 200)
    assert difference(before, after).tolist() == [[[40, 0, 255], [0, 0, 0]]]


def test_the_mask_keeps_its_softness():
    before = np.full((1, 3, 3), 200, np.uint8)
    shown = mask_overlay(before, np.array([[0, 0.5, 1]], np.float32))
    assert shown[0, 0].tolist() == [84, 84, 84]
    assert shown[0, 2].tolist() == list(MASK_RGB)
    assert shown[0, 1].tolist() == [round((84 + value) / 2) for value in MASK_RGB]
    assert before.min() == 200, "the argument stays as it was"


def test_the_distribution_of_confidence_and_the_coverage_of_masks_are_shown(tmp_path):
    tenths = {f"confidence_tenth_{number}": 0.0 for number in range(10)} | {
        "confidence_tenth_9": 0.75, "confidence_tenth_4": 0.25,
    }  # fmt: skip
    confidence = np.zeros((300, 1800), np.float32)
    confidence[10:40, 10:90] = 0.9
    shares = (0.002, 0.0025, 0.05)
    entries = [
        entry(f"e{number}", metrics=tenths | {"mask_coverage": share}, confidence_map=confidence)
        for number, share in enumerate(shares)
    ]
    text, page = render(tmp_path, [*entries, entry("bare", "unchanged", metrics={}, alpha=None)])
    assert text.count("confidence of the detectors under the mask") == 3
    assert 'title="0.9–1.0: 75 %"><i style="height: 100%"' in text
    assert "confidence tenth" not in page.visible
    rows = re.findall(r"<td>([\d.]+–[\d.]+ %)</td><td class=\"n\">(\d+)</td>", text)
    assert {name: int(count) for name, count in rows if count != "0"} == {"0.1–0.3 %": 2, "3–10 %": 1}
    views = [image["alt"] for image in page.images if "full size" in image["alt"]]
    assert views.count("confidence at full size") == 3


def test_confidence_is_drawn_in_false_colours_where_there_is_any():
    before = np.full((4, 6, 3), 200, np.uint8)
    confidence = np.zeros((4, 6), np.float32)
    confidence[1, 2], confidence[2, 3] = 1.0, 0.4
    shown = confidence_overlay(before, confidence)
    assert len({tuple(shown[y, x]) for y, x in ((0, 0), (1, 2), (2, 3))}) == 3
    assert np.ptp(shown[0, 0].astype(int)) <= 1
    assert shown[1, 2, 0] > 200, "Viridis ends in yellow"


def test_the_gates_stand_on_the_page(tmp_path):
    result = GateResult("failed", "block", "failed", True, "share of x", value=0.06, limit=0.01, cause=EVIL)
    judgement = Judgement(1, 3, 50, 2000, (result,))
    path = render_page([entry()], PageSummary("t", {"cleaned": 1}, judgement=judgement), tmp_path / "page.html")
    page = Page(path.read_text())
    assert "step 1 of 3, 50 of 2000 images: held by failed" in page.visible
    assert "6 %" in page.visible
    assert len(page.scripts) == 1
