"""Measures the calibrated confidence on photographs and fonts that it was not fitted on; tables in Markdown.

    python benchmarks/confidence.py --photos ../shared/data/kodak

The error of a fill is its LPIPS round the mask. Within each kind, the rank correlation of (one minus) the confidence
with the error stands beside those of area, of texture, and of both together (the product of their ranks). A fill holds
up where its error is at most verify.max_error; the expected calibration error (Naeini et al., AAAI 2015) has ten bins.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import torch
from common import print_table
from numpy.typing import NDArray
from scipy.stats import rankdata, spearmanr

from cleanplate.config import load_config
from cleanplate.detect import build_detectors
from cleanplate.evaluation.cases import CASE_KINDS, lpips_round, make_cases
from cleanplate.evaluation.overlays import FontLibrary
from cleanplate.evaluation.photographs import list_photographs
from cleanplate.fill import build_engines
from cleanplate.metrics.lpips import Lpips
from cleanplate.models.registry import Registry
from cleanplate.tries import ask, finished
from cleanplate.verify import Verifier

BINS = 10
WORST, LOWEST = 0.1, 0.2


def calibration_error(confidence: NDArray[np.float64], good: NDArray[np.bool_]) -> float:
    """Mean distance of confidence and share of good ones over bins of confidence, weighed by their size."""
    which = np.minimum((confidence * BINS).astype(int), BINS - 1)
    distances = [
        abs(confidence[which == number].mean() - good[which == number].mean()) * (which == number).mean()
        for number in range(BINS)
        if (which == number).any()
    ]
    return float(sum(distances))


def worst_found(confidence: NDArray[np.float64], error: NDArray[np.float64]) -> float:
    """Share of the worst tenth by error that lies in the lowest fifth by confidence."""
    worst = np.argsort(-error)[: max(1, round(WORST * len(error)))]
    lowest = set(np.argsort(confidence)[: round(LOWEST * len(error))].tolist())
    return float(np.mean([index in lowest for index in worst]))


def main() -> None:
    """Fills all cases with all engines and compares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="folder of photographs never fitted on")
    parser.add_argument("--limit", type=int, help="photographs at most")
    parser.add_argument("--engines", nargs="+", default=["flat", "pde", "network", "texture"])
    parser.add_argument("--set", action="append", default=[], metavar="a.b=c", help="settings, as of `cleanplate`")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    config = load_config(overrides=["models.device=cpu", f"route.engines=[{','.join(options.engines)}]", *options.set])
    registry = Registry.load(config.models)
    verifier = Verifier(build_detectors(config, registry, "cpu"), config.verify)
    engines, lpips = build_engines(config, registry, "cpu"), Lpips.load(registry)
    found: dict[str, list[tuple[float, float, float, float]]] = defaultdict(list)
    for case in make_cases(list_photographs([options.photos])[: options.limit], FontLibrary.load("heldout")):
        request = case.request
        for engine in engines.values():
            candidate = finished(case.region, request, ask(engine, [request])[0], config, smooth=engine.spec.smooth)
            verdict, error = verifier.judge([candidate])[0], lpips_round(case, candidate.after, lpips)
            found[case.kind].append((verdict.confidence, error, float(case.mask.sum()), verdict.scores["texture"]))
    rows: list[list[object]] = []
    for kind in (*CASE_KINDS, "all"):
        values = np.array(found[kind] if kind != "all" else [row for own in found.values() for row in own])
        confidence, error, area, texture = values.T
        good = error <= config.verify.max_error
        both = rankdata(area) * rankdata(texture)
        ranks = [f"{spearmanr(signal, error)[0]:.2f}" for signal in (1 - confidence, area, texture, both)]
        rows.append(
            [kind, len(values), f"{good.mean():.2f}", *ranks, f"{calibration_error(confidence, good):.3f}",
             f"{worst_found(confidence, error):.2f}"]
        )  # fmt: skip
    columns = ["kind", "fills", "hold up", "rank corr., confidence", "area", "texture", "both", "calibration error",
               "worst tenth in the lowest fifth"]  # fmt: skip
    print_table(columns, rows)


if __name__ == "__main__":
    main()
