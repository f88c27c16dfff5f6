"""Fits how much the network's word and the colours count for whether a pixel is ink; prints the constants.

    python training/fit_inks.py --photos ../shared/data/train ../shared/data/train_extra

Overlays with training fonts on the held-out photographs; of their groups those whose surest pixels are right, without
plates. What it prints belongs into `cleanplate/detect/inks.py`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from crops import split_photographs
from fit_screen import Eyes, drawn_on, make_sample
from numpy.typing import NDArray
from scipy.special import logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from cleanplate.config import load_config
from cleanplate.detect.inks import colour_odds
from cleanplate.evaluation.overlays import FontLibrary, OverlaySample
from cleanplate.records import Kind
from cleanplate.windows import place

_KINDS: tuple[Kind, ...] = ("overlay_text", "handwriting", "stamp", "watermark")
_SURE, _UNSURE = 0.6, 0.1  # confidence of pixels that show whether a group is right, and from which pixels are asked
_RIGHT_SHARE, _HIT, _PLATE = 0.3, 0.4, 0.3
_MOST_PIXELS = 2500  # of a group
_RECALLS = (0.98, 0.95, 0.9)


def rows_of(eyes: Eyes, sample: OverlaySample, rng: np.random.Generator) -> Iterator[NDArray[np.float64]]:
    """Of pixels of each right group: log odds of the network and of the colour, and the truth (1 or 0)."""
    seen, inks, marks = eyes.see(sample.picture)
    truth = (drawn_on(sample) > _HIT).astype(np.float32)
    for group in [*inks, *marks]:
        own, sure = truth[group.box.slices], group.confidence > _SURE
        if not sure.any() or own[sure].mean() < _RIGHT_SHARE or sample.plate[group.box.slices].max() > _PLATE:
            continue
        judged = colour_odds(sample.picture, group.confidence, group.box, seen.maps[0])
        if judged is None:
            continue
        odds, around = judged
        values = place(group.confidence, group.box, around)
        asked = np.flatnonzero(values.ravel() > _UNSURE)
        asked = rng.permutation(asked)[:_MOST_PIXELS]
        network = logit(np.clip(values.ravel()[asked], 0.01, 0.99))
        yield np.stack([network, odds.ravel()[asked], truth[around.slices].ravel()[asked]], axis=1)


def describe(scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> str:
    """The area under the curve, and the share of false pixels that pass where some shares of the true ones do."""
    found = np.sort(scores[truth])[::-1]
    shares = (f"{(scores[~truth] >= found[int(recall * len(found))]).mean():.3f} at {recall}" for recall in _RECALLS)
    return f"area under the curve {roc_auc_score(truth, scores):.4f}, false pixels " + ", ".join(shares)


def fit(rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Weights of the network's and of the colour's log odds, float64 (2,), and the offset."""
    fitted = LogisticRegression().fit(rows[:, :2], rows[:, 2] > 0)
    return np.asarray(fitted.coef_[0]), float(fitted.intercept_[0])


def main(argv: Sequence[str] | None = None) -> None:
    """Collects pixels, fits, and prints the constants with what they are worth."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, nargs="+", required=True)
    parser.add_argument("--rounds", type=int, default=4, help="pictures of each held-out photograph")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    eyes = Eyes(load_config(overrides=["models.threads=1", "models.device=cpu"]))
    photographs, fonts, rng = split_photographs(options.photos)[1], FontLibrary.load("train"), np.random.default_rng(0)
    found: list[NDArray[np.float64]] = []
    for number in range(options.rounds * len(photographs)):
        path, kind = photographs[number % len(photographs)], _KINDS[(number // len(photographs)) % len(_KINDS)]
        found += rows_of(eyes, make_sample(path, 50_000 + number, fonts, kind), rng)
    rows = np.concatenate(found)
    weights, offset = fit(rows)
    truth = rows[:, 2] > 0
    print(f"{len(rows)} pixels of {len(found)} groups, {truth.mean():.2f} of them ink")
    print(f"network alone: {describe(rows[:, 0], truth)}")
    print(f"with colours: {describe(rows[:, :2] @ weights, truth)}")
    print(f"_OF_NETWORK, _OF_COLOUR, _OFFSET = {weights[0]:.2f}, {weights[1]:.2f}, {offset:.2f}")


if __name__ == "__main__":
    main()
