"""The review page in headless Chromium, by the keyboard alone: accept, reject, paint, run again, compare."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra `review` is not installed")
from cleanplate.rollout.ab_desk import AbDesk
from cleanplate.rollout.desk import Desk
from cleanplate.rollout.preference import a_is_first
from cleanplate.rollout.review_app import Access, make_app
from cleanplate.rollout.sheets import read_sheet, write_sheets

pytestmark = [pytest.mark.timeout(120), pytest.mark.xdist_group("browser")]


@pytest.fixture
def page(browser, serve, store):
    """The page of a desk over the store in memory, opened by "ann"."""
    return Page(browser, serve(make_app(Desk(store, "Review of b", "ann"), Access())))


class Page:
    """Keys in, text out."""

    def __init__(self, browser, address):
        self.browser, self.address = browser, address
        browser.get("about:blank")
        browser.get_log("browser")  # what another test left
        browser.get(address)
        self.wait(lambda: self.text("#count, #status, article"))

    def press(self, *keys):
        from selenium.webdriver.common.action_chains import ActionChains

        for key in keys:
            ActionChains(self.browser).send_keys(key).perform()

    def text(self, selector):
        found = self.browser.execute_script(
            "return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent).join(' | ')", selector
        )
        return str(found)

    def run(self, script):
        return self.browser.execute_script(f"return {script}")

    def wait(self, is_so):
        from selenium.webdriver.support.wait import WebDriverWait

        return WebDriverWait(self.browser, 20, poll_frequency=0.05).until(lambda _: is_so())

    def here(self, image_id):
        self.wait(lambda: self.text("#facts h2") == image_id)

    def problems(self):
        noisy = ("favicon",)
        return [line for line in self.browser.get_log("browser") if not any(word in line["message"] for word in noisy)]


def test_accept_reject_and_go_by_keys(page, store):
    page.here("photo-0")
    assert "confidence 0.60 is below" in page.text(".reasons")
    assert "SALE" in page.text("#facts")
    assert page.text("#facts table tr:first-child th").replace(" | ", " ") == "attempt flat pde", "side by side"
    page.press("a")
    page.here("photo-1")
    page.press("m", "h", "a", "l", "o", "\ue007")  # a note, then Enter leaves it
    page.press("r")
    page.here("photo-2")
    page.press("n")
    page.here("photo-3")
    page.press("\ue012")  # arrow left
    page.here("photo-2")
    page.press("p", "p")
    page.here("photo-0")
    page.wait(lambda: len(store.stored) == 2)
    found = [(review.image_id, review.verdict, review.reviewer, review.note) for review in store.stored]
    assert found == [("photo-0", "accept", "ann", ""), ("photo-1", "reject", "ann", "halo")]
    page.wait(lambda: page.text("#count") == "2 of 4")
    page.wait(lambda: "accepted ann" in page.text("#facts .verdict"))
    page.press("r")  # ann changes her mind: her last verdict counts
    page.wait(lambda: len(store.stored) == 3)
    page.press("p", "p", "p")
    page.wait(lambda: page.text("#row-" + store.queue[0].key + " .flag") == "")
    page.browser.get(page.address)
    page.here("photo-2")  # the first that is open, after a reload
    assert page.text("#count") == "2 of 4"
    assert page.problems() == []


def test_paint_a_mask_by_keys_and_run_again(page, store):
    page.here("photo-0")
    page.press("b")
    page.wait(lambda: page.run("!document.getElementById('canvas').hidden && brush.base !== null"))
    assert page.run("[brush.canvas.width, brush.canvas.height]") == [120, 90]
    page.run("brush.move([47, 40])")  # where a pointer would have gone; all else is by keys
    page.press("+", "+", "+", "+", "+", "+", "+")
    assert page.run("brush.size") > 15
    page.press(" ", *["\ue014"] * 3, " ")  # down, three steps right, up
    page.press(" ", *["\ue013"] * 6, " ", "z")  # a stroke upwards, taken back
    assert page.run("brush.strokes.length") == 1
    page.press("e", " ", " ", "z", "e")
    page.press("g")
    page.wait(lambda: "cleaned again as b-r" in page.text("#status"))
    mask = cv2.imdecode(np.frombuffer(store.stored[0].mask_png, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert store.stored[0].verdict == "corrected"
    assert mask.shape == (90, 120)
    assert (mask[32:48, 42:80] == 255).mean() > 0.95, "what was painted, and what was in the mask before"
    assert mask[:15].max() == 0, "what was taken back is not there"
    page.wait(lambda: page.text("#facts .candidate b") == "1. as cleaned | 2. corrected mask")
    page.press("4")
    page.wait(lambda: len(page.browser.find_elements("css selector", "#side figure")) == 3)
    after = store.pictures[store.queue[0].key, page.run("state.run")]
    assert np.abs(after[40, 45].astype(int) - photograph_without_mark()[40, 45]).max() < 25, "the rest of the mark went"
    page.press("a")
    page.wait(lambda: store.stored[-1].verdict == "accept")
    assert store.stored[-1].run_id not in ("b-r0001",), "the verdict is on the corrected result"
    assert page.problems() == []


def photograph_without_mark():
    rows, columns = np.mgrid[0:90, 0:120]
    return np.stack([rows + 60, columns + 40, rows + columns], axis=2)


def test_the_pointer_paints_and_erases_too(page, store):
    from selenium.webdriver.common.action_chains import ActionChains

    page.here("photo-0")
    page.press("b")
    page.wait(lambda: page.run("brush.base !== null"))
    canvas = page.browser.find_element("id", "canvas")
    scale = page.run("brush.canvas.clientWidth / brush.canvas.width")
    chain = ActionChains(page.browser).move_to_element_with_offset(canvas, int(-50 * scale), int(-35 * scale))
    chain.click_and_hold().move_by_offset(int(30 * scale), 0).release().perform()
    level = "brush.context.getImageData({}, {}, 1, 1).data[3]"
    page.wait(lambda: page.run(level.format(20, 10)) == 255)
    assert page.run(level.format(70, 40)) == 255
    page.press("e")
    chain = ActionChains(page.browser).move_to_element_with_offset(canvas, int(10 * scale), int(-5 * scale))
    chain.click().perform()
    page.wait(lambda: page.run(level.format(70, 40)) == 0)


def test_a_verdict_that_the_table_did_not_take_is_sent_again(page, store):
    page.here("photo-0")
    store.fails = 1
    page.press("a")
    page.here("photo-1")
    page.wait(lambda: "not stored yet" in page.text("#status"))
    assert "1 being stored" in page.text("#count")
    page.wait(lambda: len(store.stored) == 1)
    page.wait(lambda: "being stored" not in page.text("#count"))


def test_two_results_are_compared_by_keys(browser, serve, pair):
    desk = AbDesk(pair, "b-r0001", "b-r0002", "bob")
    page = Page(browser, serve(make_app(desk, Access())))
    page.wait(lambda: page.text("#count") == "0 of 4")
    assert "b-r0001" not in browser.page_source, "unlabelled"
    page.press("1", "2", "=", "1")
    page.wait(lambda: "All are judged" in page.text("#status"))
    sides = {f"photo-{number}": a_is_first(f"photo-{number}", "bob") for number in range(4)}
    expected = {"photo-0": sides["photo-0"], "photo-1": not sides["photo-1"], "photo-3": sides["photo-3"]}
    votes = {review.image_id: review.verdict for review in pair.stored}
    assert votes.pop("photo-2") == "ab_equal"
    assert votes == {image: "ab_a" if is_a else "ab_b" for image, is_a in expected.items()}
    assert desk.result().ties == 1
    assert page.problems() == []


def test_the_static_folder_is_judged_by_keys_and_its_csv_read_back(browser, store, tmp_path):
    index = write_sheets(store, tmp_path, "Review of b")
    page = Page(browser, index.as_uri())
    page.press("n", "a", "r", "n")
    assert page.text("#count") == "2 of 4"
    browser.find_element("id", "reviewer").send_keys("ann")
    page.run("(URL.createObjectURL = (blob) => { blob.text().then((text) => { window.saved = text; }); return '#'; })")
    browser.find_element("id", "save").click()
    text = page.wait(lambda: page.run("window.saved"))
    reviews = read_sheet(text, "", set).reviews
    found = [(review.image_id, review.verdict, review.reviewer) for review in reviews]
    assert found == [("photo-0", "accept", "ann"), ("photo-1", "reject", "ann")]
    assert page.run("[...document.images].every((picture) => picture.complete && picture.naturalWidth > 0)")
