"""Human A/B comparisons: which images, in which order the two are shown, and what the verdicts say."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cleanplate.batch.verdicts import AB_VERDICTS, Review
from cleanplate.rollout.intervals import wilson


@dataclass(frozen=True)
class Preference:
    """What people prefer.

    Attributes:
        for_a: verdicts for A.
        for_b: verdicts for B.
        ties: verdicts that see no difference.
        share_a: of A in the verdicts that are no ties; 0.5 where there are none.
        low: lower end of its 95 % interval.
        high: upper end of its 95 % interval.
        reviewers: how many people.
        images: how many images.
    """

    for_a: int
    for_b: int
    ties: int
    share_a: float
    low: float
    high: float
    reviewers: int = 0
    images: int = 0

    @property
    def winner(self) -> str | None:
        """The one, "a" or "b", on whose side the whole interval lies; None where it does not."""
        if self.low > 0.5:
            return "a"
        return "b" if self.high < 0.5 else None

    def in_words(self, run_a: str, run_b: str) -> str:
        """One line with the counts, the interval and what follows from it."""
        decided = self.for_a + self.for_b
        if not decided:
            return f"{run_a} against {run_b}: no preference yet, {self.ties} ties"
        names = {"a": f"{run_a} is preferred", "b": f"{run_b} is preferred", None: "no preference can be told"}
        return (
            f"{run_a} was preferred in {self.for_a} of {decided} verdicts ({100 * self.share_a:.0f} %, 95 % interval "
            f"{100 * self.low:.0f} to {100 * self.high:.0f} %), {self.ties} ties, {self.images} images, "
            f"{self.reviewers} reviewers: {names[self.winner]}"
        )


def preference(reviews: Iterable[Review], run_a: str, run_b: str) -> Preference:
    """Counts the verdicts of a comparison; of a reviewer and an image the last one counts.

    Args:
        reviews: any; those of other comparisons are left out. A comparison of B with A counts, turned round.
        run_a: the one run.
        run_b: the other.
    """
    last: dict[tuple[str, str], str] = {}
    for review in sorted(reviews, key=lambda item: item.at_us):
        if review.verdict not in AB_VERDICTS:
            continue
        if (review.run_id, review.note) == (run_a, run_b):
            last[(review.reviewer, review.image_id)] = review.verdict
        elif (review.run_id, review.note) == (run_b, run_a):
            turned = {"ab_a": "ab_b", "ab_b": "ab_a"}
            last[(review.reviewer, review.image_id)] = turned.get(review.verdict, review.verdict)
    votes = list(last.values())
    for_a, for_b = votes.count("ab_a"), votes.count("ab_b")
    low, high = wilson(for_a, for_a + for_b)
    share = for_a / (for_a + for_b) if for_a + for_b else 0.5
    people, images = {reviewer for reviewer, _ in last}, {image for _, image in last}
    return Preference(for_a, for_b, votes.count("ab_equal"), share, low, high, len(people), len(images))


def a_is_first(image_id: str, reviewer: str) -> bool:
    """Whether run A is shown on the left: a hash of image and reviewer decides, so nobody can learn the sides."""
    return hashlib.sha256(f"{reviewer}/{image_id}".encode()).digest()[0] % 2 == 0


def ab_verdict(choice: str, is_a_first: bool) -> str:
    """The verdict for a key: "1" is the left one, "2" the right one, "=" none.

    Raises:
        ValueError: another key.
    """
    if choice == "=":
        return "ab_equal"
    if choice not in ("1", "2"):
        raise ValueError(f"{choice!r} is no choice: 1, 2 or =")
    return "ab_a" if (choice == "1") == is_a_first else "ab_b"


def strata_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """image_id -> stratum: the manifest's stratum columns and what was removed, as one text.

    Args:
        rows: with image_id, strata (a mapping or None) and kinds (texts or None).
    """
    found = {}
    for row in rows:
        columns, kinds = row.get("strata"), row.get("kinds")
        parts = [f"{name}={value}" for name, value in sorted((columns or {}).items())]
        parts += sorted(str(kind) for kind in kinds or ())
        found[str(row["image_id"])] = " ".join(parts)
    return found
