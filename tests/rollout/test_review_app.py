"""Who may use the review page, and what it answers: without a browser and without tables."""

from __future__ import annotations

import threading
import time

import cv2
import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra `review` is not installed")
from fastapi.testclient import TestClient

from cleanplate.errors import ConfigError
from cleanplate.rollout.desk import Desk, VerdictWriter
from cleanplate.rollout.review_app import Access, make_app

TOKEN = "0123456789abcdef"
PAGE = {"X-Cleanplate": "review"}


@pytest.fixture
def desk(store):
    return Desk(store, "Review of b", "ann")


@pytest.fixture
def client(desk):
    return TestClient(make_app(desk, Access()), base_url="http://127.0.0.1:8710", follow_redirects=False)


def key_of(store, number=0):
    return store.queue[number].key


def verdict_of(store, **values):
    at_ms = int(time.time() * 1000)
    known = {"key": key_of(store), "run_id": "b-r0001", "verdict": "accept", "reviewer": "ann", "at_ms": at_ms}
    return known | values


def mask_png(height=90, width=120, painted=True):
    mask = np.zeros((height, width), np.uint8)
    mask[30:50, 40:80] = 255 * painted
    return cv2.imencode(".png", mask)[1].tobytes()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.com"])
def test_others_may_listen_only_with_a_token(host):
    with pytest.raises(ConfigError, match="--token"):
        Access.checked(host, None)
    assert Access.checked(host, TOKEN).token == TOKEN
    with pytest.raises(ConfigError, match="at least 8"):
        Access.checked(host, "short")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.3.2.1"])
def test_this_machine_needs_no_token(host):
    assert Access.checked(host, None) == Access(host, "")


def test_with_a_token_every_request_needs_it(desk, store):
    client = TestClient(make_app(desk, Access("0.0.0.0", TOKEN)), base_url="http://host", follow_redirects=False)
    paths = ("/", "/static/review.js", "/api/queue", f"/image/{key_of(store)}/b-r0001/before", "/?token=wrong", "/none")
    for path in paths:
        assert client.get(path).status_code == 401, path
    assert client.post("/api/verdict", json=verdict_of(store), headers=PAGE).status_code == 401
    assert client.get("/api/queue", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert client.get("/api/queue", headers={"X-Cleanplate-Token": TOKEN}).status_code == 200
    answer = client.get("/", params={"token": TOKEN})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert client.get("/api/queue").status_code == 200, "the cookie was kept"
    assert store.stored == []


def test_only_the_page_itself_may_write(client, store):
    assert client.post("/api/verdict", json=verdict_of(store)).status_code == 403
    assert client.post(f"/api/again/{key_of(store)}/b-r0001", content=mask_png()).status_code == 403
    foreign = {"Host": "evil.example"}
    assert client.get("/api/queue", headers=foreign).status_code == 403, "a name that was made to point here"
    answer = client.get("/")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-frame-options"] == "DENY"
    assert client.get("/docs").status_code == client.get("/openapi.json").status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/image/nobody/b-r0001/before",
        "/image/../../etc/passwd",
        "/image/%2e%2e%2f%2e%2e/etc/passwd",
        "/static/..%2fdesk.py",
        "/static/../desk.py",
        "/static/review.html",
        "/mask/nobody/b-r0001",
        "/api/item/photo-0",
        "/api/task/99",
    ],
)
def test_nothing_but_the_queue_is_served(client, path):
    assert client.get(path).status_code == 404


def test_only_results_of_the_queue_are_served(client, store):
    key = key_of(store)
    for view in ("before", "after", "mask", "confidence", "diff"):
        answer = client.get(f"/image/{key}/b-r0001/{view}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/webp")
        picture = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)
        assert picture.shape == (90, 120, 3)
    assert client.get(f"/image/{key}/b-r0002/after").status_code == 404
    assert client.get(f"/image/{key}/b-r0001/alpha_png").status_code == 404
    mask = cv2.imdecode(np.frombuffer(client.get(f"/mask/{key}/b-r0001").content, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert mask.shape == (90, 120)
    assert (mask[30:50, 60:80] == 255).all()
    assert mask.sum() == 255 * 20 * 20


def test_a_verdict_is_stored_once_and_reported(client, store):
    given = verdict_of(store)
    for _ in range(2):
        answer = client.post("/api/verdict", json=given, headers=PAGE)
        assert answer.json()["standings"]["b-r0001"]["accepted_by"] == ["ann"]
    assert len(store.stored) == 1
    other = client.post("/api/verdict", json=verdict_of(store, reviewer="bob", verdict="reject"), headers=PAGE).json()
    assert other["standings"]["b-r0001"]["decision"] == "conflict"
    item = client.get(f"/api/item/{key_of(store)}").json()
    history = [(entry["reviewer"], entry["verdict"]) for entry in item["history"]]
    assert history == [("ann", "accept"), ("bob", "reject")]


@pytest.mark.parametrize(
    ("values", "status", "says"),
    [
        ({"verdict": "ab_a"}, 400, "accept, reject"),
        ({"reviewer": "  "}, 400, "reviewer's name"),
        ({"reviewer": "x" * 81}, 400, "at most 80"),
        ({"at_ms": 99999999999999}, 400, "not in the future"),
        ({"at_ms": 10**20}, 400, "no time"),
        ({"key": "nobody"}, 404, "no such thing"),
        ({"run_id": "b-r0009"}, 404, "no such thing"),
        ({"more": 1}, 422, "more"),
    ],
)
def test_unusable_verdicts_are_refused(client, store, values, status, says):
    answer = client.post("/api/verdict", json=verdict_of(store, **values), headers=PAGE)
    assert answer.status_code == status
    assert says in answer.text
    assert store.stored == []


def test_two_reviewers_at_once_lose_nothing(client, store):
    def judge(reviewer):
        for number in range(4):
            for step in range(3):
                given = verdict_of(store, key=key_of(store, number), reviewer=reviewer, at_ms=1000 + step)
                assert client.post("/api/verdict", json=given, headers=PAGE).status_code == 200

    threads = [threading.Thread(target=judge, args=(name,)) for name in ("ann", "bob", "cleo")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({review.key for review in store.stored}) == len(store.stored) == 3 * 4 * 3


def test_verdicts_that_come_during_a_commit_are_in_the_next_one_together():
    commits, first_begun, go_on = [], threading.Event(), threading.Event()

    def add(reviews):
        commits.append(sorted(reviews))
        first_begun.set()
        assert go_on.wait(20)

    writer = VerdictWriter(add)
    threads = [threading.Thread(target=writer.write, args=(name,), daemon=True) for name in "abcde"]
    threads[0].start()
    assert first_begun.wait(20)
    for thread in threads[1:]:
        thread.start()
    while len(writer._waiting) < 4:
        time.sleep(0.001)
    go_on.set()
    for thread in threads:
        thread.join(20)
    assert commits == [["a"], ["b", "c", "d", "e"]]


def test_what_the_table_did_not_take_is_not_reported_as_stored(client, store):
    store.fails = 1
    answer = client.post("/api/verdict", json=verdict_of(store), headers=PAGE)
    assert (answer.status_code, answer.json()["detail"]) == (503, "the table is out of reach")
    assert client.get("/api/queue").json()["items"][0]["standings"]["b-r0001"]["accepted_by"] == []


def again(client, store, data, **values):
    query = {"reviewer": "ann", "at_ms": 1000} | values
    return client.post(f"/api/again/{key_of(store)}/b-r0001", params=query, content=data, headers=PAGE)


def test_a_corrected_mask_is_stored_and_its_result_is_shown(client, store):
    task = again(client, store, mask_png()).json()
    while task["state"] == "running":
        task = client.get(f"/api/task/{task['task']}").json()
    assert task["state"] == "done"
    (review,) = store.stored
    assert (review.verdict, review.run_id) == ("corrected", "b-r0001")
    item = client.get(f"/api/item/{key_of(store)}").json()
    assert item["runs"] == ["b-r0001", task["run_id"]]
    answer = client.get(f"/image/{key_of(store)}/{task['run_id']}/after")
    after = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)
    assert after[30:50, 40:80].min() > 60, "the mark is gone"
    given = verdict_of(store, run_id=task["run_id"], at_ms=2000)
    assert client.post("/api/verdict", json=given, headers=PAGE).status_code == 200
    answer = client.post("/api/publish", json={"reviewer": "ann"}, headers=PAGE)
    assert answer.json()["message"].startswith("1 rejected")


@pytest.mark.parametrize(
    ("data", "says"),
    [(b"", "no picture"), (b"nothing", "no picture"), (mask_png(painted=False), "empty"), (mask_png(60, 70), "70x60")],
    ids=["nothing", "text", "empty", "size"],
)
def test_unusable_masks_are_refused(client, store, data, says):
    answer = again(client, store, data)
    assert answer.status_code == 400
    assert says in answer.json()["detail"]
    assert store.stored == []


def test_a_failed_run_is_told_and_its_mask_is_kept(client, store, monkeypatch):
    def fail(item, mask, reviewer):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(store, "run_again", fail)
    task = again(client, store, mask_png()).json()
    while task["state"] == "running":
        task = client.get(f"/api/task/{task['task']}").json()
    assert (task["state"], task["message"]) == ("failed", "out of memory")
    assert store.stored[0].mask_png
