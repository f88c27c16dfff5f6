"""Which verdicts count."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from cleanplate.batch.verdicts import Review, from_micros, last_masks, standings

START = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


def review(verdict, reviewer="ann", minute=0, run="b-r0001", image="one", mask=None):
    return Review("b", run, image, verdict, reviewer, START + timedelta(minutes=minute), mask_png=mask)


def test_the_last_decision_of_each_reviewer_counts():
    found = standings([
        review("reject", minute=2), review("accept", minute=1), review("accept", "bob"), review("corrected", minute=3),
        review("accept", run="b-r0002"), review("ab_a", image="two"),
    ])  # fmt: skip
    assert set(found) == {("b-r0001", "one"), ("b-r0002", "one")}
    standing = found["b-r0001", "one"]
    assert (standing.accepted_by, standing.rejected_by, standing.decision) == (("bob",), ("ann",), "conflict")
    assert found["b-r0002", "one"].decision == "accept"
    settled = standings([review("accept", "bob"), review("reject", "ann"), review("reject", "bob", minute=1)])
    assert settled["b-r0001", "one"].decision == "reject"


def test_a_time_survives_the_table_to_the_millisecond():
    at = START + timedelta(milliseconds=123)
    assert from_micros(Review("b", "r", "i", "accept", "ann", at).at_us) == at


def test_the_last_mask_of_each_reviewer_is_kept():
    masks = [
        review("corrected", minute=1, mask=b"old"), review("corrected", minute=2, mask=b"new"),
        review("corrected", "bob", mask=b"bob's"), review("accept", minute=3),
    ]  # fmt: skip
    assert [found.mask_png for found in last_masks(reversed(masks))] == [b"bob's", b"new"]
