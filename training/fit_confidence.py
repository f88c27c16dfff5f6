"""Fits the confidence on synthetic truth: fills of held-out photographs, good and spoilt, against their LPIPS.

python training/fit_confidence.py --photos ../shared/data/train --engines flat pde network
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
import yaml
from crops import split_photographs
from loop import ROOT, command
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from cleanplate.confidence import TERMS, depth_term, log_error, terms
from cleanplate.config import Config, load_config
from cleanplate.detect import build_detectors
from cleanplate.evaluation.cases import TEXT_KINDS, Case, lpips_round, make_cases
from cleanplate.evaluation.overlays import FontLibrary
from cleanplate.fill import build_engines
from cleanplate.fill.base import Engine
from cleanplate.metrics.lpips import Lpips
from cleanplate.models.registry import Registry
from cleanplate.tries import ask, finished
from cleanplate.verify import Candidate, Verifier

_RIDGE = 2.0
_LOOSE = 100.0  # inverse of the penalty on the slope of the odds: next to none
SPOILT = ", spoilt"  # added to the engine's name
_SEEDS = (61,)
_SPOILT_SHARE = 0.3  # of the fills: what no engine does often, but a verifier must notice


@dataclass(frozen=True)
class Sample:
    """One fill: what can be seen of it, and its error."""

    case: str
    kind: str
    engine: str
    signals: dict[str, float]
    lpips: float


def samples(
    cases: Sequence[Case], engines: dict[str, Engine], config: Config, verifier: Verifier, lpips: Lpips
) -> Iterator[Sample]:
    """Fills every case with every engine, blended and regrained as the loop does, and spoils some of the fills."""
    for case in cases:
        rng = np.random.default_rng(hash_of(case.name))
        request = case.request
        found: dict[str, Candidate] = {}
        for name, engine in engines.items():
            answer = ask(engine, [request])[0]
            if answer.remark.refusal:
                continue
            good = finished(case.region, request, answer, config, smooth=engine.spec.smooth)
            found[name] = good
            if rng.random() < _SPOILT_SHARE:
                found[f"{name}{SPOILT}"] = replace(good, after=spoilt(case, good.after, rng))
        for (name, candidate), seen in zip(found.items(), verifier.see(list(found.values())), strict=True):
            yield Sample(case.name, case.kind, name, seen, lpips_round(case, candidate.after, lpips))


def hash_of(name: str) -> int:
    """A number from a name, the same in every process."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


def spoilt(case: Case, after: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A fill of another colour, blurred, with grain that is too strong, or with a part of what was to go."""
    changed = after.astype(np.float32)
    way = int(rng.integers(4 if case.kind in TEXT_KINDS else 3))
    if way == 0:
        changed += rng.uniform(8, 60) * np.where(rng.random(3) < 0.5, -1, 1)
    elif way == 1:
        changed = cv2.GaussianBlur(changed, (0, 0), float(rng.uniform(1.5, 6)))
    elif way == 2:
        changed += rng.normal(0, rng.uniform(6, 30), changed.shape)
    else:
        columns = np.flatnonzero(case.mask.any(axis=0))
        first, last = sorted(rng.choice(columns, 2))
        changed[:, first : last + 1] = case.before[:, first : last + 1]
    return np.where(case.mask[..., None] > 0, np.clip(np.rint(changed), 0, 255).astype(np.uint8), after)


def fit(found: Sequence[Sample]) -> tuple[NDArray[np.float64], float]:
    """Ridge regression of the log error on the terms; returns weights and bias."""
    inputs = np.array([terms(sample.signals) for sample in found])
    return regress(inputs, np.array([log_error(sample.lpips) for sample in found]))


def regress(inputs: NDArray[np.float64], wanted: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Ridge regression, the penalty in units of each input's spread; returns weights and bias."""
    mean, spread = inputs.mean(axis=0), inputs.std(axis=0) + 1e-9
    scaled = (inputs - mean) / spread
    gram = scaled.T @ scaled + _RIDGE * np.eye(len(mean))
    slope = np.linalg.solve(gram, scaled.T @ (wanted - wanted.mean()))
    weights = slope / spread
    return weights, float(wanted.mean() - weights @ mean)


def calibrate(
    expected: NDArray[np.float64], deep: NDArray[np.float64], held: NDArray[np.bool_], max_error: float
) -> dict[str, float]:
    """Slope, depth and offset of the log odds that fills hold up (Platt, 1999, with the depth as a second input).

    Args:
        expected: float64 (N,), log errors as a model says that was not fitted on these fills.
        deep: float64 (N,), `confidence.depth_term` of each.
        held: bool (N,), whether their error was at most `max_error`.
        max_error: the limit, LPIPS.
    """
    inputs = np.stack([log_error(max_error) - expected, deep], axis=1)
    fitted = LogisticRegression(C=_LOOSE).fit(inputs, held)
    slope, depth = fitted.coef_[0]
    return {"slope": float(slope), "depth": float(depth), "offset": float(fitted.intercept_[0])}


def collect(options: argparse.Namespace) -> list[Sample]:
    """Fills all cases, and keeps the samples where the options ask for it; reads them where they are kept."""
    if options.samples and options.samples.exists():
        lines = options.samples.read_text(encoding="utf-8").splitlines()
        return [Sample(**json.loads(line)) for line in lines]
    config = load_config(overrides=["models.device=cpu", f"route.engines=[{','.join(options.engines)}]", *options.set])
    registry = Registry.load(config.models)
    engines, lpips = build_engines(config, registry, "cpu"), Lpips.load(registry)
    verifier = Verifier(build_detectors(config, registry, "cpu"), config.verify)
    photographs, fonts = split_photographs(options.photos)[1], FontLibrary.load("train")
    found = [
        sample
        for seed in _SEEDS
        for sample in samples(make_cases(photographs, fonts, seed=seed), engines, config, verifier, lpips)
    ]
    if options.samples:
        options.samples.write_text("".join(json.dumps(asdict(sample)) + "\n" for sample in found), encoding="utf-8")
    return found


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """The options that `collect` reads."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, nargs="+", required=True)
    parser.add_argument("--engines", nargs="+", default=["flat", "pde", "network", "unblend", "texture"])
    parser.add_argument("--set", action="append", default=[], metavar="a.b=c", help="settings, as of `cleanplate`")
    parser.add_argument("--samples", type=Path, help="all fills, one JSON object per line: read if there, else written")
    return parser


def main() -> None:
    """Fits on all samples, calibrates on halves of the photographs left out in turn, and writes the model."""
    parser = parser_of(__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "lib/cleanplate/weights/confidence.yaml")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    found = collect(options)
    names = sorted({sample.case.split()[0] for sample in found})
    limit = load_config(overrides=options.set).verify.max_error
    expected, deep, held = [], [], []
    for left_out in (set(names[::2]), set(names[1::2])):
        weights, bias = fit([sample for sample in found if sample.case.split()[0] not in left_out])
        # Spoilt fills teach what a fault looks like; how often fills hold up is said by those that engines make.
        made = [s for s in found if s.case.split()[0] in left_out and not s.engine.endswith(SPOILT)]
        expected += [bias + float(weights @ terms(sample.signals)) for sample in made]
        deep += [depth_term(sample.signals) for sample in made]
        held += [sample.lpips <= limit for sample in made]
    odds = calibrate(np.array(expected), np.array(deep), np.array(held), limit)
    weights, bias = fit(found)
    values = {
        "fitted": f"{command()}: {len(found)} fills of {len(names)} photographs that no network was trained on",
        "weights": {name: round(float(value), 5) for name, value in zip(TERMS, weights, strict=True)},
        "bias": round(bias, 5),
        **{name: round(value, 5) for name, value in odds.items()},
    }
    options.out.write_text(yaml.safe_dump(values, sort_keys=False, width=110), encoding="utf-8")
    print(options.out.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
