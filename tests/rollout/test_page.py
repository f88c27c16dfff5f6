"""The page: complete, self-contained, and safe against hostile names."""

import base64
import re
from html.parser import HTMLParser

import cv2
import numpy as np

from cleanplate.rollout.page import PageEntry, PageSummary, difference, render_page

EVIL = '<script>alert(1)</script>"onerror="x'


class Page(HTMLParser):
    """Collects what a browser would make of the page."""

    def __init__(self, text):
        super().__init__()
        self.images, self.scripts, self.articles, self.links, self.text = [], 0, [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if tag == "img":
            self.images.append(values)
        if tag == "article" and "data-status" in values:
            self.articles.append(values["data-status"])
        self.scripts += tag == "script"
        self.links += [values[name] for name in ("src", "href") if name in values]

    def handle_data(self, data):
        self.text.append(data)


def entry(name="a", status="cleaned", confidence=0.9, **values):
    before = np.full((300, 1800, 3), 90, np.uint8)
    after = before.copy()
    after[10:40, 10:90] = 120
    alpha = np.zeros((300, 1800), np.float32)
    alpha[10:40, 10:90] = 1
    region = {
        "left": 10, "top": 10, "right": 90, "bottom": 40, "kind": "stamp", "score": 0.5, "decision": "filled",
        "engine": "pde", "reason": f"2,140 px {EVIL}", "confidence": 0.8, "attempts": [{}],
    }  # fmt: skip
    known = {"before_rgb": before, "after_rgb": after, "alpha": alpha, "regions": [region], "metrics": {"seam": 0.5}}
    return PageEntry(name, status, **known | {"timings": {"fill": 0.25}, "confidence": confidence} | values)


def render(tmp_path, entries, **values):
    counts = {}
    for item in entries:
        counts[item.status] = counts.get(item.status, 0) + 1
    event = {
        "seq": 1, "action": "publish", "run_id": "b-r0001", "state": "published", "who": EVIL, "at": None, "note": "",
        "active_runs": [{"run_id": "b-r0001", "publish_seq": 1}],
    }  # fmt: skip
    summary = PageSummary("Batch b", counts, {"warehouse": EVIL}, [event])
    text = render_page(entries, summary, tmp_path / "sub" / "page.html", **values).read_text()
    return text, Page(text)


def test_hostile_names_stay_text(tmp_path):
    _, page = render(tmp_path, [entry(EVIL, error=EVIL)])
    assert page.scripts == 1, "only the page's own script"
    assert all("onerror" not in values for values in page.images)
    assert "".join(page.text).count(EVIL) >= 4


def test_the_page_asks_nobody_for_anything(tmp_path):
    text, page = render(tmp_path, [entry()])
    assert all(link.startswith("data:image/webp;base64,") for link in page.links)
    assert not re.search(r"https?://|@import|url\(", text)


def test_what_needs_eyes_comes_first(tmp_path):
    entries = [entry("x", "unchanged"), entry("y", "cleaned", 0.9), entry("z", "cleaned", 0.2), entry("w", "review")]
    text, page = render(tmp_path, entries)
    assert page.articles == ["review", "cleaned", "cleaned", "unchanged"]
    assert text.index("<h2>z</h2>") < text.index("<h2>y</h2>")


def test_pictures_are_scaled_and_complete(tmp_path):
    _, page = render(tmp_path, [entry()])
    assert [image["alt"] for image in page.images] == ["before", "after", "mask", "difference"[:4]]
    data = base64.b64decode(page.images[0]["src"].partition(",")[2])
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape == (150, 900, 3)


def test_a_broken_image_and_an_untouched_one_have_their_cards(tmp_path):
    failed = PageEntry("broken.jpg", "failed", error="decode: the JPEG is cut off")
    _, page = render(tmp_path, [failed, entry("same", "unchanged", after_rgb=None, alpha=None, regions=())])
    assert page.articles == ["failed", "unchanged"]
    assert [image["alt"] for image in page.images] == ["the original"]


def test_the_page_is_bounded_and_says_so(tmp_path):
    text, page = render(tmp_path, [entry(str(number)) for number in range(5)], most=3)
    assert len(page.articles) == 3
    assert "2 more images are not on this page" in text


def test_the_difference_is_amplified():
    before = np.full((1, 2, 3), 100, np.uint8)
    after = before.copy()
    after[0, 0] = (90, 100, 200)
    assert difference(before, after).tolist() == [[[40, 0, 255], [0, 0, 0]]]
