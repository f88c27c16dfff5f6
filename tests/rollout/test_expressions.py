"""The language of the gates: what it can say, what is missing, what is forbidden."""

import pandas as pd
import pytest

from cleanplate.rollout.expressions import Expression
from cleanplate.rollout.facts import typed

FACTS = typed(
    pd.DataFrame(
        {
            "seam": [1.0, 3.0, None],
            "filled": [1, 2, 0],
            "status": ["cleaned", "review", "failed"],
            "engines": [["pde"], ["flat", "network"], None],
        }
    )
)
KNOWN = ["seam", "filled", "status", "engines", "perceptual_error"]


def values(text):
    found = Expression.parse(text, KNOWN).evaluate(FACTS)
    return [None if pd.isna(value) else value for value in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seam > 2", [False, True, None]),
        ("1 < seam <= 3", [False, True, None]),
        ("seam > 2 or filled == 0", [False, True, True]),
        ("seam > 2 and filled == 1", [False, False, False]),
        ("not (seam > 2)", [True, False, None]),
        ("seam / filled + 1", [2.0, 2.5, None]),
        ("abs(-seam)", [1.0, 3.0, None]),
        ('status in ("failed", "review")', [False, True, True]),
        ('status == "cleaned"', [True, False, False]),
        ('"network" in engines', [False, True, False]),
        ('"network" not in engines', [True, False, True]),
        ("perceptual_error > 1", [None, None, None]),
        ("1", [1, 1, 1]),
    ],
)
def test_what_it_says(text, expected):
    assert values(text) == expected


@pytest.mark.parametrize(
    "text",
    ["__import__('os').system('x')", "seam.values", "[seam for seam in (1,)]", "seam if filled else 1", "lambda: 1",
     "seam ** 2", "f'{seam}'", "seam[0]", "abs(seam, filled)", "abs(*seam)", "filled is None", "eval('1')", "seam >"],
)  # fmt: skip
def test_nothing_else_is_allowed(text):
    with pytest.raises(ValueError, match=r"not allowed|no expression|no fact"):
        Expression.parse(text, KNOWN)


def test_an_unknown_name_is_told_the_nearest():
    with pytest.raises(ValueError, match="no fact 'seem'; the nearest is 'seam'"):
        Expression.parse("seem > 2", KNOWN)
