"""Compares the two arms of a batch: shares and means with the interval of their difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from cleanplate.rollout.collect import collect_facts
from cleanplate.rollout.expressions import Expression
from cleanplate.rollout.facts import known_facts
from cleanplate.rollout.intervals import SURE, Moments, difference_of_means, difference_of_shares
from cleanplate.rollout.judge import number_text
from cleanplate.rollout.sample import Design
from cleanplate.warehouse.schemas import where

if TYPE_CHECKING:
    from cleanplate.warehouse.tables import Warehouse

ARMS = ("A", "B")
SHARES: Mapping[str, str] = {
    "cleaned": 'status == "cleaned"',
    "review": 'status == "review"',
    "failed": 'status == "failed"',
    "inconsistent background": "seam > 2 or texture_ratio_max > 4 or texture_ratio_min < 0.25",
    "residual text": "residual_text > 0.3",
}
MEANS: Mapping[str, str] = {
    "confidence": "confidence",
    "perceptual error": "perceptual_error",
    "expected error": "expected_error_mean",
    "seam": "seam",
    "seconds": "seconds",
    "cost units": "cost_units",
    "file size ratio": "bytes_ratio",
}
COLUMNS = ("what", "A", "B", "B minus A", "interval, 90 %", "images A, B", "differs")


@dataclass(frozen=True)
class ArmDifference:
    """One figure of both arms.

    Attributes:
        what: in words.
        is_share: of images; else a mean over them.
        a: of arm A.
        b: of arm B.
        difference: B minus A.
        low: bound of the difference, 95 % one-sided.
        high: the other bound; both together hold with 90 %.
        images: that were measured, in A and in B.
    """

    what: str
    is_share: bool
    a: float
    b: float
    difference: float
    low: float
    high: float
    images: tuple[int, int]

    @property
    def differs(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


def compare_arms(facts: pd.DataFrame, sure: float = SURE) -> list[ArmDifference]:
    """Arm B against arm A: shares by Newcombe's interval, means by Welch's.

    Each interval stands for itself: of many figures that do not differ, one in ten will seem to.

    Args:
        facts: one row per image with its arm, as `collect_facts` has them; other arms do not count.
        sure: of each bound.

    Returns:
        One entry per figure that both arms have.
    """
    parts = [facts[facts["arm"].eq(arm).fillna(False).astype(bool)] for arm in ARMS]
    found = [_share(what, text, parts, sure) for what, text in SHARES.items()]
    found += [_mean(what, text, parts, sure) for what, text in MEANS.items()]
    return [item for item in found if item is not None]


def arms_of_run(warehouse: Warehouse, batch_id: str, run_id: str) -> list[ArmDifference]:
    """The comparison of a run's arms; [] where it has one arm.

    Args:
        warehouse: the warehouse.
        batch_id: the batch.
        run_id: the run.
    """
    rows = warehouse.frame("results").where(where(batch_id=batch_id, run_id=run_id)).select("arm").distinct().collect()
    if not set(ARMS) <= {row.arm for row in rows}:
        return []
    wanted = {name for text in (*SHARES.values(), *MEANS.values()) for name in _parsed(text).names}
    return compare_arms(collect_facts(warehouse, batch_id, run_id, Design(), wanted))


def arm_rows(differences: Sequence[ArmDifference]) -> list[tuple[str, ...]]:
    """The comparison as a table of texts under COLUMNS."""
    return [
        (
            item.what,
            *(number_text(value, item.is_share) for value in (item.a, item.b, item.difference)),
            f"{number_text(item.low, item.is_share)} to {number_text(item.high, item.is_share)}",
            f"{item.images[0]}, {item.images[1]}",
            "yes" if item.differs else "not surely",
        )
        for item in differences
    ]


def _share(what: str, text: str, parts: Sequence[pd.DataFrame], sure: float) -> ArmDifference | None:
    seen = [_parsed(text).evaluate(part).dropna().astype(bool) for part in parts]
    counts = [(int(hits.sum()), len(hits)) for hits in seen]
    if not all(images for _, images in counts):
        return None
    shares = [hits / images for hits, images in counts]
    bounds = difference_of_shares(counts[0], counts[1], sure)
    return ArmDifference(what, True, shares[0], shares[1], *bounds, images=(counts[0][1], counts[1][1]))


def _mean(what: str, text: str, parts: Sequence[pd.DataFrame], sure: float) -> ArmDifference | None:
    one, other = (Moments.of(_parsed(text).evaluate(part).dropna()) for part in parts)
    if not one.count or not other.count:
        return None
    bounds = difference_of_means(one, other, sure)
    return ArmDifference(what, False, one.mean, other.mean, *bounds, images=(one.count, other.count))


def _parsed(text: str) -> Expression:
    return Expression.parse(text, known_facts())
