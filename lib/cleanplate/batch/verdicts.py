"""Reviewers' verdicts: what one is, which of them count, and where reviewers disagree."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Literal

ACCEPT, REJECT, CORRECTED = "accept", "reject", "corrected"
AB_VERDICTS = ("ab_a", "ab_b", "ab_equal")
DECISIONS = (ACCEPT, REJECT)
VERDICTS = (*DECISIONS, CORRECTED, *AB_VERDICTS)
Decision = Literal["accept", "reject", "conflict"]
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Review:
    """One verdict of one reviewer: a row of `reviews`.

    Attributes:
        batch_id: the batch.
        run_id: the run whose result was looked at; of an A/B comparison, run A.
        image_id: the image.
        verdict: one of VERDICTS; "corrected" carries a mask.
        reviewer: who.
        at: when it was given, UTC; with the other texts it identifies the verdict, so a repeat adds nothing.
        note: in words; of an A/B comparison, run B.
        mask_png: the corrected mask at the image's size, 8-bit grey PNG, 255 = replace; None without one.
    """

    batch_id: str
    run_id: str
    image_id: str
    verdict: str
    reviewer: str
    at: datetime
    note: str = ""
    mask_png: bytes | None = None

    @property
    def at_us(self) -> int:
        """Microseconds since 1970, UTC."""
        return (self.at - _EPOCH) // timedelta(microseconds=1)

    @property
    def key(self) -> tuple[str, str, str, str, str, int]:
        """What makes it the same verdict."""
        return self.batch_id, self.run_id, self.image_id, self.verdict, self.reviewer, self.at_us


@dataclass(frozen=True)
class Standing:
    """What the reviewers say of one result: the last decision of each counts.

    Attributes:
        accepted_by: reviewers, in alphabetical order.
        rejected_by: reviewers, in alphabetical order.
    """

    accepted_by: tuple[str, ...] = ()
    rejected_by: tuple[str, ...] = ()

    @property
    def decision(self) -> Decision | None:
        """The decision they agree on, "conflict" where they do not, None where nobody decided."""
        if self.accepted_by and self.rejected_by:
            return "conflict"
        if self.accepted_by:
            return "accept"
        return "reject" if self.rejected_by else None


def from_micros(at_us: int) -> datetime:
    """The time of so many microseconds since 1970, UTC."""
    return _EPOCH + timedelta(microseconds=at_us)


def now() -> datetime:
    """This moment, UTC, in whole milliseconds, which every reader of a timestamp keeps."""
    moment = datetime.now(timezone.utc)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def standings(reviews: Iterable[Review]) -> dict[tuple[str, str], Standing]:
    """What counts of each result.

    Args:
        reviews: any, in any order; repeats change nothing.

    Returns:
        (run_id, image_id) -> standing, for results that somebody decided on.
    """
    last: dict[tuple[str, str], dict[str, Review]] = {}
    for review in sorted(reviews, key=lambda item: (item.at_us, item.verdict)):
        if review.verdict in DECISIONS:
            last.setdefault((review.run_id, review.image_id), {})[review.reviewer] = review
    return {key: _standing(by_reviewer) for key, by_reviewer in last.items()}


def _standing(by_reviewer: dict[str, Review]) -> Standing:
    sides: dict[str, list[str]] = {ACCEPT: [], REJECT: []}
    for reviewer in sorted(by_reviewer):
        sides[by_reviewer[reviewer].verdict].append(reviewer)
    return Standing(tuple(sides[ACCEPT]), tuple(sides[REJECT]))


def last_masks(reviews: Iterable[Review]) -> list[Review]:
    """The last corrected mask of every image and reviewer, in the order of their times."""
    found: dict[tuple[str, str, str], Review] = {}
    for review in sorted(reviews, key=lambda item: item.at_us):
        if review.verdict == CORRECTED and review.mask_png is not None:
            found[(review.batch_id, review.image_id, review.reviewer)] = review
    return sorted(found.values(), key=lambda item: item.at_us)


def without_mask(review: Review) -> Review:
    """The verdict without its blob, for whoever keeps many."""
    return replace(review, mask_png=None)
