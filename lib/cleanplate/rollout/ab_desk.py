"""The desk of an A/B comparison: two unlabelled results and the original, one choice an image."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Any

from cleanplate.batch.verdicts import AB_VERDICTS, Review
from cleanplate.errors import ContractError
from cleanplate.rollout.desk import VerdictWriter, checked
from cleanplate.rollout.preference import Preference, a_is_first, ab_verdict, preference
from cleanplate.rollout.review_store import ReviewItem, ReviewStore
from cleanplate.rollout.views import Cache, to_webp

SIDES = ("left", "right", "original")


class AbDesk:
    """Everything of the A/B page but HTTP. Which side shows which run never leaves this machine."""

    def __init__(self, store: ReviewStore, run_a: str, run_b: str, reviewer: str = "") -> None:
        """Reads the sample and the verdicts once.

        Args:
            store: its items have two candidates each, of run A and of run B.
            run_a: the one run.
            run_b: the other.
            reviewer: name that is proposed to whoever opens the page.
        """
        self._store, self._runs, self._reviewer = store, (run_a, run_b), reviewer
        self._items = {item.key: item for item in store.items()}
        self._reviews = {review.key: review for review in store.reviews()}
        self._writer, self._cache, self._lock = VerdictWriter(store.add), Cache(), threading.Lock()

    def queue(self, reviewer: str) -> dict[str, Any]:
        """The sample, with what this reviewer has judged."""
        done = self._judged(" ".join(reviewer.split()))
        lines = [{"key": key, "image_id": item.image_id, "done": item.image_id in done} for key, item in
                 self._items.items()]  # fmt: skip
        return {"title": "Which one is better?", "reviewer": self._reviewer, "items": lines}

    def view(self, key: str, side: str, reviewer: str) -> bytes:
        """The left or the right result, or the original, as WebP.

        Raises:
            KeyError: the image is not in the sample, or there is no such side.
        """
        item = self._items[key]
        if side not in SIDES:
            raise KeyError(side)
        first = a_is_first(item.image_id, " ".join(reviewer.split()))
        run_id = None if side == "original" else self._runs[0 if (side == "left") == first else 1]
        return self._cache.get((key, run_id or ""), lambda: self._draw(item, run_id))

    def choose(self, key: str, choice: str, reviewer: str, at: datetime) -> dict[str, Any]:
        """Stores a choice: "1" the left one, "2" the right one, "=" no difference.

        Raises:
            KeyError: the image is not in the sample.
            ContractError: another choice, or an unusable name.
            StorageError: it was not stored.
        """
        item = self._items[key]
        name, at, _ = checked(reviewer, at, "")
        try:
            verdict = ab_verdict(choice, a_is_first(item.image_id, name))
        except ValueError as error:
            raise ContractError(str(error)) from None
        review = Review(item.batch_id, self._runs[0], item.image_id, verdict, name, at, note=self._runs[1])
        self._writer.write(review)
        with self._lock:
            self._reviews[review.key] = review
        return {"key": key, "done": True}

    def result(self) -> Preference:
        """What all reviewers prefer so far."""
        with self._lock:
            known = list(self._reviews.values())
        return preference(known, *self._runs)

    def close(self) -> None:
        """Nothing is left to do."""

    def _judged(self, reviewer: str) -> set[str]:
        with self._lock:
            known = list(self._reviews.values())
        return {
            review.image_id for review in known
            if review.verdict in AB_VERDICTS and review.reviewer == reviewer
            and {review.run_id, review.note} == set(self._runs)
        }  # fmt: skip

    def _draw(self, item: ReviewItem, run_id: str | None) -> bytes:
        candidate = item.candidate(run_id) if run_id else None
        is_edited = candidate is not None and candidate.is_edited
        picture = self._store.picture(item, run_id if is_edited else None)
        if picture is None:
            raise KeyError(item.image_id)
        return to_webp(picture)
