"""The arithmetic of A/B comparisons."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from cleanplate.batch.verdicts import Review
from cleanplate.rollout.intervals import wilson
from cleanplate.rollout.preference import a_is_first, ab_verdict, preference

START = datetime(2026, 1, 1, tzinfo=timezone.utc)


def vote(image, verdict, reviewer="ann", run_a="A", run_b="B", minute=0):
    return Review("b", run_a, image, verdict, reviewer, START + timedelta(minutes=minute), note=run_b)


def test_ties_are_counted_apart_and_last_votes_count():
    votes = [vote(str(number), "ab_a") for number in range(30)] + [vote(f"t{n}", "ab_equal") for n in range(7)]
    votes += [vote("0", "ab_b", minute=1), vote("x", "ab_b", "bob"), vote("y", "ab_a", run_a="A", run_b="C")]
    votes += [vote("z", "ab_a", "bob", run_a="B", run_b="A"), vote("1", "accept", minute=9)]
    found = preference(votes, "A", "B")
    assert (found.for_a, found.for_b, found.ties) == (29, 3, 7)
    assert (found.low, found.high) == wilson(29, 32)
    assert (found.winner, found.reviewers, found.images) == ("a", 2, 39)
    turned = preference(votes, "B", "A")
    assert (turned.for_a, turned.winner) == (3, "b")
    assert "A is preferred" in found.in_words("A", "B")
    assert "no preference can be told" in preference(votes[:1], "A", "B").in_words("A", "B")
    assert "no preference yet, 7 ties" in preference(votes[30:37], "A", "B").in_words("A", "B")


def test_the_order_is_fixed_per_image_and_reviewer_and_fair():
    images = [f"image-{number}" for number in range(1000)]
    first = [a_is_first(image, "ann") for image in images]
    assert 440 < sum(first) < 560
    assert first == [a_is_first(image, "ann") for image in images]
    other = [a_is_first(image, "bob") for image in images]
    assert 400 < sum(mine != theirs for mine, theirs in zip(first, other, strict=True)) < 600
    assert ab_verdict("1", True) == ab_verdict("2", False) == "ab_a"
    assert ab_verdict("2", True) == ab_verdict("1", False) == "ab_b"
    assert ab_verdict("=", True) == "ab_equal"
    with pytest.raises(ValueError, match="1, 2 or ="):
        ab_verdict("3", True)
