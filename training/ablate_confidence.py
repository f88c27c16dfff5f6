"""What each signal of the verifier is worth: the expected error fitted without it, and by it alone, as a table.

    python training/ablate_confidence.py --photos ../shared/data/train --samples FILE

In folds by photograph, each judged by a fit on the others. "rank corr." is the expected error's rank correlation with
the true one, among the fills as engines made them and among those that were spoilt; "spoilt told" the chance that a
spoilt fill is expected to be worse than the good one of the same case and engine (0.5 where both are the same).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import torch
from fit_confidence import SPOILT, Sample, collect, parser_of, regress
from numpy.typing import NDArray
from scipy.stats import spearmanr

from cleanplate.confidence import TERMS, log_error, terms

FOLDS = 5
WORST, HIGHEST = 0.1, 0.2
_COLUMNS = ("", "rank corr., as made", "spoilt", "spoilt told", "worst tenth in the highest fifth")


def signals_of() -> dict[str, list[int]]:
    """The places in TERMS of each signal's terms."""
    found: dict[str, list[int]] = {}
    for place, name in enumerate(TERMS):
        found.setdefault("texture_ratio" if name == "texture_gap" else name, []).append(place)
    return found


def expected(
    inputs: NDArray[np.float64], wanted: NDArray[np.float64], fold: NDArray[np.intp]
) -> NDArray[np.float64]:
    """The log error of each fill, float64 (N,), by a fit on the other folds.

    Args:
        inputs: float64 (N, T).
        wanted: float64 (N,), the true log errors.
        fold: intp (N,).
    """
    found = np.zeros(len(wanted))
    for number in np.unique(fold):
        weights, bias = regress(inputs[fold != number], wanted[fold != number])
        found[fold == number] = bias + inputs[fold == number] @ weights
    return found


def row_of(name: str, found: NDArray[np.float64], samples: Sequence[Sample]) -> str:
    """A row of the table: what the expected errors of some samples are worth."""
    errors = np.array([sample.lpips for sample in samples])
    is_spoilt = np.array([sample.engine.endswith(SPOILT) for sample in samples])
    by_name = {(sample.case, sample.engine): value for sample, value in zip(samples, found, strict=True)}
    worse = [value - by_name[case, engine.removesuffix(SPOILT)] for (case, engine), value in by_name.items()
             if engine.endswith(SPOILT)]  # fmt: skip
    told = (np.sign(worse) + 1) / 2
    worst = np.argsort(-errors)[: round(WORST * len(errors))]
    highest = np.argsort(-found)[: round(HIGHEST * len(errors))]
    ranks = [spearmanr(found[part], errors[part])[0] for part in (~is_spoilt, is_spoilt)]
    figures = (*ranks, np.mean(told), np.isin(worst, highest).mean())
    return f"| {name} | " + " | ".join(f"{figure:.3f}" for figure in figures) + " |"


def table(samples: Sequence[Sample], signals: Mapping[str, Sequence[int]]) -> list[str]:
    """The rows: all signals; all but one; one alone."""
    names = sorted({sample.case.split()[0] for sample in samples})
    fold = np.array([names.index(sample.case.split()[0]) % FOLDS for sample in samples])
    inputs = np.array([terms(sample.signals) for sample in samples])
    wanted = np.array([log_error(sample.lpips) for sample in samples])
    everything = [place for places in signals.values() for place in places]
    chosen = {"all signals": everything}
    chosen |= {f"without {name}": [p for p in everything if p not in places] for name, places in signals.items()}
    chosen |= {f"{name} alone": list(places) for name, places in signals.items()}
    return [row_of(name, expected(inputs[:, places], wanted, fold), samples) for name, places in chosen.items()]


def main() -> None:
    """Prints the table."""
    options = parser_of(__doc__).parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    samples = collect(options)
    print("| " + " | ".join(_COLUMNS) + " |\n|" + "---|" * len(_COLUMNS))
    print("\n".join(table(samples, signals_of())))


if __name__ == "__main__":
    main()
