"""The desk of a review: answers what the page asks, keeps the verdicts, and cleans again in the background."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from cleanplate.batch.painted import read_mask
from cleanplate.batch.verdicts import (
    CORRECTED,
    DECISIONS,
    Review,
    Standing,
    now,
    standings,
    without_mask,
)
from cleanplate.errors import CleanplateError, ContractError
from cleanplate.rollout.review_store import Candidate, ReviewItem, ReviewStore
from cleanplate.rollout.views import VIEWS, Cache, draw_view, shown_plane, to_grey_png, to_webp

logger = logging.getLogger(__name__)
MOST_LETTERS = 80  # of a reviewer's name
MOST_NOTE = 2000
_CLOCK_SLACK = timedelta(minutes=5)


class VerdictWriter:
    """Stores verdicts of many reviewers: whoever comes while a commit is under way is in the next one."""

    def __init__(self, add: Callable[[Sequence[Review]], int]) -> None:
        self._add = add
        self._waiting: list[tuple[Review, Future[None]]] = []
        self._lock, self._commit = threading.Lock(), threading.Lock()

    def write(self, review: Review) -> None:
        """Returns when the verdict is stored.

        Raises:
            CleanplateError: it is not.
        """
        done: Future[None] = Future()
        with self._lock:
            self._waiting.append((review, done))
        with self._commit:
            with self._lock:
                batch, self._waiting = self._waiting, []
            if batch:
                self._store(batch)
        done.result()

    def _store(self, batch: Sequence[tuple[Review, Future[None]]]) -> None:
        try:
            self._add([review for review, _ in batch])
        except CleanplateError as error:
            for _, done in batch:
                done.set_exception(error)
        else:
            for _, done in batch:
                done.set_result(None)


@dataclass(frozen=True)
class Task:
    """Cleaning again, in the background: its state is "running", "done" or "failed"."""

    number: int
    key: str
    state: str = "running"
    message: str = ""
    run_id: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For the page."""
        return {"task": self.number, "state": self.state, "message": self.message, "run_id": self.run_id}


class Desk:
    """Everything of the page but HTTP; safe to use from several threads."""

    def __init__(self, store: ReviewStore, title: str, reviewer: str = "") -> None:
        """Reads the queue and the verdicts once.

        Args:
            store: where they come from.
            title: what the page is called.
            reviewer: name that is proposed to whoever opens the page.
        """
        self._store, self._title, self._reviewer = store, title, reviewer
        self._items = {item.key: item for item in store.items()}
        self._reviews = {review.key: without_mask(review) for review in store.reviews()}
        self._writer = VerdictWriter(store.add)
        self._cache, self._lock = Cache(), threading.Lock()
        self._numbers = itertools.count(1)
        self._tasks: dict[int, Task] = {}
        # One at a time: a second image would only share the same cores.
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="again")

    def close(self) -> None:
        """Waits for what is being cleaned; what has not begun is dropped (its mask is stored)."""
        self._pool.shutdown(cancel_futures=True)

    def queue(self) -> dict[str, Any]:
        """The whole queue for the page: one line an image."""
        counted = self._standings()
        lines = [self._line(item, counted) for item in self._items.values()]
        return {"title": self._title, "reviewer": self._reviewer, "items": lines}

    def item(self, key: str) -> dict[str, Any]:
        """All about one image, without its pixels.

        Raises:
            KeyError: it is not in the queue.
        """
        item = self._items[key]
        history = sorted(
            (review for review in self._known() if review.image_id == item.image_id and review.verdict in
             (*DECISIONS, CORRECTED)), key=lambda review: review.at_us,
        )  # fmt: skip
        return self._line(item, self._standings()) | {
            "candidates": [_candidate(found) for found in item.candidates],
            "history": [
                {"reviewer": review.reviewer, "verdict": review.verdict, "run_id": review.run_id,
                 "note": review.note, "at": f"{review.at:%Y-%m-%d %H:%M}"}
                for review in history
            ],
        }  # fmt: skip

    def view(self, key: str, run_id: str, name: str) -> bytes:
        """One of VIEWS as WebP.

        Raises:
            KeyError: the image is not in the queue, has no such result, or there is no such view.
        """
        item, candidate = self._find(key, run_id)
        if name not in VIEWS:
            raise KeyError(name)
        return self._cache.get((key, run_id, name), lambda: self._draw(item, candidate, name))

    def mask(self, key: str, run_id: str) -> bytes:
        """The mask of a result at the image's size, as a grey PNG: where the brush starts.

        Raises:
            KeyError: the image is not in the queue, or has no such result.
        """
        item, candidate = self._find(key, run_id)
        before = self._store.picture(item, None)
        height, width = before.shape[:2] if before is not None else (candidate.height, candidate.width)
        return to_grey_png(shown_plane(candidate.regions, height, width, "alpha_png"))

    def decide(
        self, key: str, run_id: str, verdict: str, reviewer: str, at: datetime, note: str = ""
    ) -> dict[str, Any]:
        """Stores a verdict; the same one again changes nothing.

        Returns:
            The image's line of the queue.

        Raises:
            KeyError: the image is not in the queue, or has no such result.
            ContractError: an unknown verdict, an unusable name, a time that has not come yet.
            StorageError: it was not stored.
        """
        item, _ = self._find(key, run_id)
        if verdict not in DECISIONS:
            raise ContractError(f"{verdict!r} is no decision; there are: {', '.join(DECISIONS)}")
        self._store_review(Review(item.batch_id, run_id, item.image_id, verdict, *checked(reviewer, at, note)))
        return self._line(self._items[key], self._standings())

    def run_again(self, key: str, run_id: str, mask_png: bytes, reviewer: str, at: datetime) -> dict[str, Any]:
        """Stores a corrected mask and cleans the image with it in the background.

        Returns:
            The task; `task` tells how it goes.

        Raises:
            KeyError: the image is not in the queue, or has no such result.
            ContractError: the mask is no picture, is empty, or is not of the image's size.
            StorageError: the mask was not stored.
        """
        item, candidate = self._find(key, run_id)
        mask = read_mask(mask_png)
        before = self._store.picture(item, None)
        size = before.shape[:2] if before is not None else (candidate.height, candidate.width)
        if mask.shape != size:
            raise ContractError(f"the mask has {mask.shape[1]}x{mask.shape[0]} px, the image {size[1]}x{size[0]}")
        clean_png = to_grey_png(np.asarray(mask, np.float32) / np.float32(255))
        review = Review(item.batch_id, run_id, item.image_id, CORRECTED, *checked(reviewer, at, ""), clean_png)
        self._store_review(review)
        with self._lock:
            task = Task(next(self._numbers), key)
            self._tasks[task.number] = task
        self._pool.submit(self._clean_again, task, item, clean_png, review.reviewer)
        return task.as_dict()

    def task(self, number: int) -> dict[str, Any]:
        """How cleaning again goes.

        Raises:
            KeyError: there is no such task.
        """
        return self._tasks[number].as_dict()

    def publish(self, who: str) -> str:
        """Makes the verdicts count; says in words what came of it."""
        return self._store.publish(checked(who, now(), "")[0])

    def _clean_again(self, task: Task, item: ReviewItem, mask_png: bytes, reviewer: str) -> None:
        try:
            found = self._store.run_again(item, mask_png, reviewer)
        except Exception as error:
            logger.warning("cleaning %s again: %s", item.image_id, error)
            ended = replace(task, state="failed", message=str(error) or type(error).__name__)
        else:
            with self._lock:
                known = self._items[task.key]
                self._items[task.key] = replace(known, candidates=(*known.candidates, found))
            ended = replace(task, state="done", run_id=found.run_id, message=found.reason)
        with self._lock:
            self._tasks[task.number] = ended

    def _store_review(self, review: Review) -> None:
        self._writer.write(review)
        with self._lock:
            self._reviews[review.key] = without_mask(review)

    def _find(self, key: str, run_id: str) -> tuple[ReviewItem, Candidate]:
        item = self._items[key]
        candidate = item.candidate(run_id)
        if candidate is None:
            raise KeyError(run_id)
        return item, candidate

    def _draw(self, item: ReviewItem, candidate: Candidate, name: str) -> bytes:
        before = self._store.picture(item, None)
        needs_after = name in ("after", "diff") and candidate.is_edited
        after = self._store.picture(item, candidate.run_id) if needs_after else None
        if before is None:
            before = after
        if before is None:
            raise KeyError(item.image_id)
        return to_webp(draw_view(name, before, after, candidate.regions))

    def _known(self) -> list[Review]:
        with self._lock:
            return list(self._reviews.values())

    def _standings(self) -> dict[tuple[str, str], Standing]:
        return standings(self._known())

    def _line(self, item: ReviewItem, counted: Mapping[tuple[str, str], Standing]) -> dict[str, Any]:
        own = {found.run_id: counted.get((found.run_id, item.image_id), Standing()) for found in item.candidates}
        first = item.candidates[0]
        return {
            "key": item.key, "batch_id": item.batch_id, "image_id": item.image_id, "reasons": list(item.reasons),
            "status": first.status, "confidence": first.confidence, "run_id": first.run_id,
            "runs": [found.run_id for found in item.candidates],
            "standings": {
                run_id: {"accepted_by": list(found.accepted_by), "rejected_by": list(found.rejected_by),
                         "decision": found.decision}
                for run_id, found in own.items()
            },
        }  # fmt: skip


def checked(reviewer: str, at: datetime, note: str) -> tuple[str, datetime, str]:
    """What came from outside, made usable.

    Raises:
        ContractError: no name, a name or a note that is too long, or a time that has not come yet.
    """
    name = " ".join(reviewer.split())
    if not name or len(name) > MOST_LETTERS or not name.isprintable():
        raise ContractError(f"a verdict needs the reviewer's name, at most {MOST_LETTERS} letters")
    if len(note) > MOST_NOTE:
        raise ContractError(f"a note has at most {MOST_NOTE} letters")
    if at.tzinfo is None or at > now() + _CLOCK_SLACK:
        raise ContractError("the time of a verdict must be in UTC and not in the future: set this machine's clock")
    return name, at, note.strip()


def _candidate(found: Candidate) -> dict[str, Any]:
    return {
        "run_id": found.run_id, "status": found.status, "confidence": found.confidence, "width": found.width,
        "height": found.height, "reason": found.reason, "is_edited": found.is_edited,
        "metrics": dict(sorted(found.metrics.items())),
        "regions": [_region(region) for region in found.regions],
    }  # fmt: skip


def _region(region: Mapping[str, Any]) -> dict[str, Any]:
    plain = ("region_id", "kind", "decision", "engine", "reason", "score", "confidence", "transcript",
             "left", "top", "right", "bottom")  # fmt: skip
    attempts = [
        {"number": attempt.get("number"), "engine": attempt.get("engine"), "confidence": attempt.get("confidence"),
         "scores": dict(attempt.get("scores") or {}), "failures": list(attempt.get("failures") or ())}
        for attempt in region.get("attempts") or ()
    ]  # fmt: skip
    return {name: region.get(name) for name in plain} | {"attempts": attempts}
