"""A review without tables: photographs in memory, verdicts in a list, and a real fill of corrected masks."""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time

import cv2
import numpy as np
import pytest

from cleanplate.batch.painted import read_mask
from cleanplate.errors import StorageError
from cleanplate.rollout.review_store import Candidate, ReviewItem
from cleanplate.spark.wide import encode_plane

SIZE = (90, 120)  # height, width
MARK = (slice(30, 50), slice(40, 80))


def photograph(number):
    """A smooth photograph, one with a dark mark, and a bad result: the left half of the mark is still there."""
    rows, columns = np.mgrid[0 : SIZE[0], 0 : SIZE[1]]
    clean = np.stack([rows + 60, columns + 40, rows + columns + 10 * number], axis=2).astype(np.uint8)
    before, after = clean.copy(), clean.copy()
    before[MARK] = 15
    after[30:50, 40:60] = 15
    return before, after


def region(left, right, confidence=0.6):
    """A row of `masks` over the mark's rows from column left to right."""
    plane = np.ones((20, right - left), np.float32)
    return {
        "region_id": 0, "kind": "overlay_text", "decision": "filled", "engine": "pde", "reason": "smooth ground",
        "score": 0.71, "confidence": confidence, "transcript": "SALE", "left": left, "top": 30, "right": right,
        "bottom": 50, "alpha_png": encode_plane(plane), "confidence_png": encode_plane(plane * 0.7),
        "attempts": [
            {"number": 1, "engine": "flat", "confidence": 0.31, "scores": {"seam": 4.2}, "failures": ["seam"]},
            {"number": 2, "engine": "pde", "confidence": confidence, "scores": {"seam": 1.1}, "failures": []},
        ],
    }  # fmt: skip


class MemoryStore:
    """A `ReviewStore` of four images; `run_again` really fills what the mask holds."""

    def __init__(self, count=4, runs=("b-r0001",)):
        self.pictures, self.stored, self.fails, self.published = {}, [], 0, []
        self.lock = threading.Lock()
        self.queue = []
        for number in range(count):
            before, after = photograph(number)
            found = tuple(Candidate(run, "cleaned", 0.6, SIZE[1], SIZE[0], regions=(region(60, 80),)) for run in runs)
            item = ReviewItem("b", f"photo-{number}", (f"confidence 0.6{number} is below 0.80",), found)
            self.queue.append(item)
            self.pictures[item.key, None] = before
            for place, run in enumerate(runs):
                self.pictures[item.key, run] = np.roll(after, 7 * place, axis=2)

    def items(self):
        return self.queue

    def picture(self, item, run_id):
        return self.pictures.get((item.key, run_id))

    def reviews(self):
        return list(self.stored)

    def add(self, reviews):
        with self.lock:
            if self.fails:
                self.fails -= 1
                raise StorageError("the table is out of reach")
            known = {review.key for review in self.stored}
            self.stored += [review for review in reviews if review.key not in known]
        return len(reviews)

    def run_again(self, item, mask_png, reviewer):
        mask = read_mask(mask_png)
        run_id = f"b-r{len(self.pictures):04d}"
        self.pictures[item.key, run_id] = cv2.inpaint(self.pictures[item.key, None], mask, 3, cv2.INPAINT_TELEA)
        return Candidate(run_id, "cleaned", 0.93, SIZE[1], SIZE[0], regions=(region(40, 80, 0.93),))

    def publish(self, who):
        self.published.append(who)
        return "1 rejected, originals shown again"


@pytest.fixture
def store():
    return MemoryStore()


@pytest.fixture
def pair():
    """A store with two results of every image."""
    return MemoryStore(runs=("b-r0001", "b-r0002"))


class Served:
    """An application on a port of this machine, in a thread."""

    def __init__(self, app):
        import uvicorn

        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
        self.address = f"http://127.0.0.1:{port}/"
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)

    def stop(self):
        self.server.should_exit = True
        self.thread.join(10)


@pytest.fixture
def serve():
    """Serves applications; they end with the test."""
    running = []

    def start(app):
        running.append(Served(app))
        return running[-1].address

    yield start
    for served in running:
        served.stop()


def find_browser():
    """Chromium (or Chrome) and its driver, None where one is missing."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver") or next(
        (path for path in ("/usr/lib/chromium/chromedriver", "/usr/lib/chromium-browser/chromedriver")
         if os.access(path, os.X_OK)), None,
    )  # fmt: skip
    return (browser, driver) if browser and driver else None


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Headless Chromium with a new profile; the test is skipped where there is none."""
    found = find_browser()
    if found is None:
        pytest.skip("no chromium with chromedriver: `sh tools/ensure_chromium.sh` installs or names them")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = found[0]
    for flag in ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
                 "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
                 "--window-size=1440,900", f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):  # fmt: skip
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=found[1]))
    driver.set_page_load_timeout(30)
    yield driver
    driver.quit()
