"""The comparison of two arms."""

import numpy as np
import pandas as pd

from cleanplate.rollout.arms import COLUMNS, arm_rows, compare_arms
from cleanplate.rollout.facts import typed


def facts_of(difference):
    rng = np.random.default_rng(2)
    arms = ["A"] * 300 + ["B"] * 60
    is_b = np.array([arm == "B" for arm in arms])
    return typed(
        pd.DataFrame(
            {
                "arm": arms,
                "status": ["review" if rng.random() < 0.1 + 0.3 * difference * b else "cleaned" for b in is_b],
                "confidence": rng.normal(0.8, 0.05, 360) - 0.1 * difference * is_b,
                "seconds": rng.gamma(4, 0.1, 360),
            }
        )
    )


def test_what_differs_is_told_with_its_interval():
    found = {item.what: item for item in compare_arms(facts_of(1))}
    assert found["confidence"].differs
    assert found["confidence"].low < -0.1 < found["confidence"].high < 0
    assert found["review"].low > 0
    assert found["review"].images == (300, 60)
    assert not found["seconds"].differs
    assert "perceptual error" not in found, "nothing was measured"


def test_what_is_alike_is_not_said_to_differ():
    assert not any(item.differs for item in compare_arms(facts_of(0)))
    rows = arm_rows(compare_arms(facts_of(0)))
    assert all(len(row) == len(COLUMNS) for row in rows)


def test_one_arm_cannot_be_compared():
    facts = facts_of(0)
    assert compare_arms(facts[facts["arm"] == "A"]) == []
