"""Fits what un-blending believes: the usual error of a fill under a mark, and when an un-blended pixel is nearer.

python training/fit_unblend.py --photos ../shared/data/train
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from crops import split_photographs
from numpy.typing import NDArray

from cleanplate.config import load_config
from cleanplate.evaluation.cases import TEXT_KINDS, Case, make_cases
from cleanplate.evaluation.overlays import FontLibrary
from cleanplate.fill.network import NetworkEngine, base_fills
from cleanplate.fill.opacity import differing, usual_error
from cleanplate.fill.unblend import Seen, belief_terms, believed, look
from cleanplate.models.registry import Registry

_PIXELS = 3000  # of a mark
_ERROR_SIGMA_PX = 1.5  # over which the error of a fill is meant
_STEPS, _RATE = 400, 0.08
_FLOOR = 1.0  # grey levels squared: what nobody sees


@dataclass(frozen=True)
class Sample:
    """Pixels of one mark.

    Attributes:
        error: float32 (N,), grey levels: how far the guess is off, and
        causes: float32 (N, 3): detail, difference of the fills, depth.
        usual: float32 (N,), grey levels: the error as the package has it.
        terms: float32 (N, 4): see `belief_terms`.
        belief: float32 (N,): as the package has it.
        under, guess, truth: float32 (N, 3), grey levels.
    """

    error: NDArray[np.float32]
    causes: NDArray[np.float32]
    usual: NDArray[np.float32]
    terms: NDArray[np.float32]
    belief: NDArray[np.float32]
    under: NDArray[np.float32]
    guess: NDArray[np.float32]
    truth: NDArray[np.float32]


def samples(cases: Sequence[Case], prior: NetworkEngine, rng: np.random.Generator) -> Iterator[Sample]:
    """Looks at every mark as the engine does; those that are opaque are left out."""
    for case in cases:
        request = case.request
        own = (request.alpha > 0).astype(np.uint8)
        filled = prior.fill([request])[0]
        seen = look(request.crop, request.hole, own, filled)
        if isinstance(seen, Seen):
            at = np.flatnonzero(own)
            yield _sample(case, seen, rng.choice(at, min(len(at), _PIXELS), replace=False))


def _sample(case: Case, seen: Seen, at: NDArray[np.intp]) -> Sample:
    hole = case.request.hole
    truth = case.truth.astype(np.float32)
    inside = hole.astype(np.float32)
    off = np.square(seen.ground.guess - truth).mean(axis=2) * inside
    near, share = (cv2.GaussianBlur(values, (0, 0), _ERROR_SIGMA_PX) for values in (off, inside))
    depth = cv2.distanceTransform(hole, cv2.DIST_L2, cv2.DIST_MASK_3)
    fills = differing(base_fills(case.request.crop, hole), hole)
    causes = np.stack([seen.ground.detail, fills, depth], axis=2)
    planes = (
        np.sqrt(near / (share + 1e-6)), causes, usual_error(*np.moveaxis(causes, 2, 0)), belief_terms(seen),
        believed(seen), np.clip(seen.under, 0, 255), seen.ground.guess, truth,
    )  # fmt: skip
    return Sample(*(plane.reshape(-1, *plane.shape[2:])[at].astype(np.float32) for plane in planes))


def fit_error(found: Sequence[Sample]) -> tuple[NDArray[np.float64], float, float]:
    """Powers and bias of the guess's error by least squares of its logarithm, and the share of variance explained."""
    causes = np.log(np.concatenate([sample.causes for sample in found]) + 0.5)
    wanted = np.log(np.concatenate([sample.error for sample in found]) + 0.5)
    inputs = np.hstack([causes, np.ones((len(causes), 1))])
    weights = np.linalg.lstsq(inputs, wanted, rcond=None)[0]
    left = float(np.square(wanted - inputs @ weights).mean() / wanted.var())
    return weights[:-1], float(weights[-1]), 1 - left


def fit_belief(found: Sequence[Sample]) -> tuple[NDArray[np.float32], float]:
    """Weights and bias of the log odds that leave the least mean logarithm of a mark's squared error."""
    weights = torch.zeros(found[0].terms.shape[1], requires_grad=True)
    bias = torch.zeros((), requires_grad=True)
    optimiser = torch.optim.Adam([weights, bias], lr=_RATE)
    tensors = [[torch.from_numpy(values) for values in (s.terms, s.under, s.guess, s.truth)] for s in found]
    for _ in range(_STEPS):
        losses = []
        for terms, under, guess, truth in tensors:
            belief = torch.sigmoid(terms @ weights + bias)[:, None]
            losses.append(torch.log((guess + belief * (under - guess) - truth).square().mean() + _FLOOR))
        loss = torch.stack(losses).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return weights.detach().numpy(), float(bias.detach())


def decibels(found: Sequence[Sample], beliefs: Sequence[NDArray[np.float32] | float]) -> float:
    """Mean PSNR over the marks of guess and un-blended picture, mixed."""
    errors = [
        np.square(s.guess + np.asarray(belief)[..., None] * (s.under - s.guess) - s.truth).mean() + _FLOOR
        for s, belief in zip(found, beliefs, strict=True)
    ]
    return float(np.mean(10 * np.log10(255**2 / np.array(errors))))


def main() -> None:
    """Fits on photographs of the training set, and says what it is worth on those held out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, nargs="+", required=True)
    parser.add_argument("--limit", type=int, default=40, help="photographs to fit on; half as many to measure")
    parser.add_argument("--seed", type=int, default=17)
    options = parser.parse_args()
    config = load_config(overrides=["models.device=cpu"])
    prior = NetworkEngine.build(config, Registry.load(config.models), "cpu")
    rng, fonts = np.random.default_rng(options.seed), FontLibrary.load("train")
    cases = (
        make_cases(photographs[:limit], fonts, TEXT_KINDS)
        for photographs, limit in zip(
            split_photographs(options.photos), (options.limit, options.limit // 2), strict=True
        )
    )
    train, held = (list(samples(each, prior, rng)) for each in cases)
    powers, error_bias, explained = fit_error(train)
    weights, bias = fit_belief(train)
    print(f"opacity.py: _ERROR_POWERS {np.round(powers, 2)}, _ERROR_BIAS {error_bias:.2f} (R^2 {explained:.2f})")
    print(f"unblend.py: _BELIEF {np.round(weights, 2)}, _BELIEF_BIAS {bias:.2f}")
    for name, found in (("fitted on", train), ("held out", held)):
        beliefs = {
            "guess": [0.0] * len(found),
            "un-blended": [1.0] * len(found),
            "mixed by the package": [s.belief for s in found],
            "by this fit": [1 / (1 + np.exp(-(s.terms @ weights + bias))) for s in found],
        }
        values = ", ".join(f"{what} {decibels(found, belief):.2f} dB" for what, belief in beliefs.items())
        print(f"{name}: {len(found)} marks; {values}")


if __name__ == "__main__":
    main()
