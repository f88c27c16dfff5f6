"""What a review needs from where the images are: items, pictures, verdicts, and cleaning again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cleanplate.batch.verdicts import Review


@dataclass(frozen=True)
class Candidate:
    """One result of an image that a reviewer may accept or reject.

    Attributes:
        run_id: the run that made it.
        status: of the result.
        confidence: 0..1.
        width: in pixels.
        height: in pixels.
        reason: why it went to review or was refused; "" for the others.
        is_edited: whether it has pixels of its own.
        regions: rows of `masks`, with their attempts and planes.
        metrics: whole-image metrics by name.
    """

    run_id: str
    status: str
    confidence: float
    width: int
    height: int
    reason: str = ""
    is_edited: bool = True
    regions: tuple[Mapping[str, Any], ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ReviewItem:
    """An image of the queue.

    Attributes:
        batch_id: the batch.
        image_id: the image.
        reasons: why it is looked at, the most urgent first.
        candidates: its results: the batch's own first, then those with corrected masks.
    """

    batch_id: str
    image_id: str
    reasons: tuple[str, ...]
    candidates: tuple[Candidate, ...]

    @property
    def key(self) -> str:
        """A name without any character that means something in a path: 20 hex digits."""
        return hashlib.sha256(f"{self.batch_id}/{self.image_id}".encode()).hexdigest()[:20]

    def candidate(self, run_id: str) -> Candidate | None:
        """The result of a run, None where the image has none of it."""
        return next((found for found in self.candidates if found.run_id == run_id), None)


class ReviewStore(Protocol):
    """Where a review reads and writes; its methods are called from several threads."""

    def items(self) -> Sequence[ReviewItem]:
        """The queue, in its order."""

    def picture(self, item: ReviewItem, run_id: str | None) -> NDArray[np.uint8] | None:
        """Pixels (H, W, 3), RGB, upright: of a run's result, or of the original where None; None if unreadable."""

    def reviews(self) -> Sequence[Review]:
        """All verdicts so far, without their masks."""

    def add(self, reviews: Sequence[Review]) -> int:
        """Stores verdicts; those that are there already are not added again; returns how many were new."""

    def run_again(self, item: ReviewItem, mask_png: bytes, reviewer: str) -> Candidate:
        """Cleans the image from its original, with this mask (grey PNG at its size) and nothing but it."""

    def publish(self, who: str) -> str:
        """Makes the verdicts count; says in words what came of it."""
