"""What parts of the fill are worth: second tries, soft masks, own masks, residual diffusion, batches; as tables.

    python benchmarks/ablations.py --photos ../shared/data/kodak

- Second tries: the loop against the same route whose first try is taken as it is. Of a region that goes to review the
  best try counts here, so both columns judge fills; how many go to review stands beside them.
- Soft against hard: one engine's fills of overlays, mixed in with the feather and without. The step's error: how many
  grey levels the difference of two neighbours, between which the mask begins, is off the photograph's: it is seen as
  an edge. The seam error is the verifier's, which does not know the photograph.
- Own masks: the detector's regions against the true mask, all through the loop; the true mask's pixels are judged, and
  an overlay that was not found keeps its pixels.
- Residual diffusion: its steps, and what it makes of a flat pre-fill in place of the network's; the fills as they are,
  neither blended nor regrained. Texture is the energy of fine detail in the hole over the ring's.
- Batches: the network over 64 crops at once and one by one.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from common import print_table
from numpy.typing import NDArray

from cleanplate import attempts, rights
from cleanplate.config import load_config
from cleanplate.detect import detect
from cleanplate.evaluation.cases import TEXT_KINDS, Case, lpips_round, make_cases
from cleanplate.evaluation.overlays import FontLibrary
from cleanplate.evaluation.photographs import list_photographs
from cleanplate.fill.base import Engine
from cleanplate.fill.residual import ResidualEngine
from cleanplate.image import Carried, Image
from cleanplate.mask import build_masks
from cleanplate.mask.soft import feather
from cleanplate.metrics.lpips import Lpips
from cleanplate.metrics.psnr import psnr
from cleanplate.metrics.seam import seam_error
from cleanplate.pipeline import Plan
from cleanplate.records import Job, Region, Verdict
from cleanplate.tries import ask, finished
from cleanplate.verify import Candidate, Verifier
from fill import Fill, pooled, run

WORST = 0.1
BATCH_CROPS, BATCH_ROUNDS = 64, 3
STEPS = (6, 10, 25, 50)
PARTS = ("tries", "soft", "own", "residual", "batches")


class Recorder:
    """A verifier that keeps what it judged."""

    def __init__(self, verifier: Verifier) -> None:
        """Wraps a verifier."""
        self._verifier = verifier
        self.judged: list[tuple[Candidate, Verdict]] = []

    def judge(self, candidates: Sequence[Candidate]) -> list[Verdict]:
        """See `Verifier.judge`."""
        verdicts = self._verifier.judge(candidates)
        self.judged += zip(candidates, verdicts, strict=True)
        return verdicts


def job_of(case: Case) -> Job:
    """The case's picture as an image of a batch."""
    image = Image(case.before, case.before, Carried("PNG", "image/png", "RGB"), b"")
    return Job(case.name, image, seed=1, rights="owned")


def second_tries(cases: Sequence[Case], plan: Plan, lpips: Lpips) -> list[list[object]]:
    """The loop against its first try."""
    rows: list[list[object]] = []
    for name, most in (("one pass", 1), ("with second tries", plan.config.attempts.max_attempts)):
        bounds = plan.config.attempts.model_copy(update={"max_attempts": most})
        config = plan.config.model_copy(update={"attempts": bounds})
        errors, review, cost = [], 0, 0.0
        for case in cases:
            recorder = Recorder(plan.verifier)
            told = replace(plan, config=config, verifier=recorder)  # type: ignore[arg-type]
            outcome = attempts.run([attempts.Work(job_of(case), (case.region,))], told)[0].regions[0]
            best = max(recorder.judged, key=lambda each: each[1].confidence)[0]
            errors.append(lpips_round(case, best.after, lpips))  # a case's region spans its window, as the crop does
            review += outcome.decision == "review"
            cost += sum(attempt.cost_units for attempt in outcome.attempts)
        worst = np.sort(errors)[-max(1, round(WORST * len(errors))) :]
        rows.append([name, len(cases), f"{np.mean(errors):.4f}", f"{worst.mean():.4f}", review, f"{cost:.0f}"])
    return rows


def soft_and_hard(cases: Sequence[Case], plan: Plan, lpips: Lpips) -> list[list[object]]:
    """The network's fills, mixed in with a feather and without."""
    rows: list[list[object]] = []
    sigma = plan.config.mask.feather_sigma_px
    network = plan.engines["network"]
    masks = {
        "hard": lambda case: case.mask.astype(np.float32),
        "soft": lambda case: feather(case.mask, sigma),
        "hard, as wide as the soft one": lambda case: (feather(case.mask, sigma) > 0).astype(np.float32),
    }
    for name, mask_of in masks.items():
        steps, seams, errors, decibels = [], [], [], []
        for case in cases:
            alpha = mask_of(case)
            request = replace(case.request, alpha=alpha)
            filled = ask(network, [request])[0]
            after = finished(case.region, request, filled, plan.config, smooth=network.spec.smooth).after
            # What the feather changes counts too: the picture is judged where either mask reaches.
            wider = replace(case, mask=(feather(case.mask, sigma) > 0).astype(np.uint8))
            shown = np.where(alpha[..., None] > 0, after, case.truth)
            edge = (alpha > 0).astype(np.uint8)
            steps.append(step_error(shown, case.truth, edge))
            seams.append(seam_error(shown, edge, edge))
            errors.append(lpips_round(wider, shown, lpips))
            decibels.append(psnr(shown, case.truth, wider.mask))
        quality = [f"{np.mean(seams):.3f}", f"{np.mean(errors):.4f}", f"{np.mean(decibels):.2f}"]
        rows.append([name, len(cases), f"{np.mean(steps):.2f}", *quality])
    return rows


def step_error(shown: NDArray[np.uint8], truth: NDArray[np.uint8], mask: NDArray[np.uint8]) -> float:
    """Mean error, in grey levels, of the steps between neighbours of which one lies in a mask.

    Args:
        shown: uint8 (H, W, 3), RGB: the result.
        truth: uint8 (H, W, 3), RGB.
        mask: uint8 (H, W), 0 or 1.
    """
    error = shown.astype(np.float32) - truth
    found = [
        np.abs(np.diff(error, axis=axis)).max(axis=2)[np.diff(mask.astype(np.int8), axis=axis) != 0] for axis in (0, 1)
    ]
    return float(np.concatenate(found).mean())


def own_masks(cases: Sequence[Case], plan: Plan, lpips: Lpips) -> list[list[object]]:
    """Regions that were found, against the true mask."""
    found: dict[str, list[tuple[float, float]]] = {"true mask": [], "own mask": [], "own mask, where found": []}
    true_where_found: list[tuple[float, float]] = []
    for case in cases:
        given = attempts.run([attempts.Work(job_of(case), (case.region,))], plan)[0].rgb
        job = job_of(case)
        regions = build_masks([job], detect([job], plan.detectors), plan.config.mask, plan.segmenter)
        own = attempts.run(rights.gate([job], regions), plan)[0].rgb
        scores = [(psnr(rgb, case.truth, case.mask), lpips_round(case, rgb, lpips)) for rgb in (given, own)]
        found["true mask"].append(scores[0])
        found["own mask"].append(scores[1])
        if _covered(case, regions[0]) > 0.9:
            found["own mask, where found"].append(scores[1])
            true_where_found.append(scores[0])
    found["true mask, the same cases"] = true_where_found
    return [
        [name, len(values), f"{np.mean([v[0] for v in values]):.2f}", f"{np.mean([v[1] for v in values]):.4f}"]
        for name, values in found.items()
        if values
    ]


def _covered(case: Case, regions: Sequence[Region]) -> float:
    """Share of the true mask that the regions to remove cover."""
    mine = np.zeros_like(case.mask)
    for region in regions:
        if region.kind != "scene_text":
            mine[region.box.slices] |= (region.alpha > 0).astype(np.uint8)
    return float((mine & case.mask).sum() / case.mask.sum())


def residual(cases: Sequence[Case], plan: Plan, lpips: Lpips) -> list[list[object]]:
    """The residual engine at several steps, and over a flat pre-fill."""
    config = plan.config
    over_network = ResidualEngine.build(config, plan.registry, config.models.device)
    prefills: dict[str, Engine] = {"network": plan.engines["network"], "flat": plan.engines["flat"]}
    engines: dict[str, Engine] = {f"{name}, no diffusion": engine for name, engine in prefills.items()}
    engines |= {
        f"{name}, {steps} steps": over_network.changed(prefill=prefills[name], steps=steps)
        for name, steps in [*(("network", steps) for steps in STEPS), ("flat", STEPS[0])]
    }
    fills: dict[str, Fill] = {
        name: (lambda case, engine=engine: ask(engine, [case.request])[0].pixels)  # type: ignore[misc]
        for name, engine in engines.items()
    }
    table, _ = run(cases, fills, lpips)
    rows: list[list[object]] = []
    for name in engines:
        scores = pooled([own for (_, method), own in table.items() if method == name])
        texture = np.exp(np.log(np.maximum(scores.texture, 1e-3)).mean())
        quality = [f"{np.mean(scores.psnr):.2f}", f"{np.mean(scores.lpips):.4f}", f"{texture:.2f}"]
        rows.append([name, len(cases), *quality, f"{scores.seconds / scores.megapixels:.1f}"])
    return rows


def batches(cases: Sequence[Case], plan: Plan) -> list[list[object]]:
    """Seconds of the network for 64 crops, together and one by one; medians."""
    requests = [cases[number % len(cases)].request for number in range(BATCH_CROPS)]
    engine = plan.engines["network"]
    engine.fill(requests[:4])
    seconds: dict[str, list[float]] = {"together": [], "one by one": []}
    for _ in range(BATCH_ROUNDS):
        started = time.perf_counter()
        engine.fill(requests)
        seconds["together"].append(time.perf_counter() - started)
        started = time.perf_counter()
        for request in requests:
            engine.fill([request])
        seconds["one by one"].append(time.perf_counter() - started)
    return [[name, f"{np.median(values):.2f}"] for name, values in seconds.items()]


def main() -> None:
    """Prints all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="folder of photographs never trained on")
    parser.add_argument("--limit", type=int, help="photographs at most")
    parser.add_argument("--only", choices=PARTS, nargs="*", default=[])
    parser.add_argument("--set", action="append", default=[], metavar="a.b=c", help="settings, as of `cleanplate`")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    plan = Plan.load(load_config(overrides=["models.threads=1", "models.device=cpu", *options.set]))
    lpips = Lpips.load(plan.registry)
    cases = make_cases(list_photographs([options.photos])[: options.limit], FontLibrary.load("heldout"))
    texts = [case for case in cases if case.kind in TEXT_KINDS]
    wanted = options.only or PARTS
    if "tries" in wanted:
        print("\nsecond tries, all kinds\n")
        columns = ["", "cases", "LPIPS", "of the worst tenth", "in review", "cost units"]
        print_table(columns, second_tries(cases, plan, lpips))
    if "soft" in wanted:
        print("\nsoft and hard masks, text kinds, the network's fills\n")
        columns = ["mask", "cases", "step's error", "seam error", "LPIPS", "PSNR, dB"]
        print_table(columns, soft_and_hard(texts, plan, lpips))
    if "own" in wanted:
        print("\nown and true masks, text kinds, the loop's results, the true mask's pixels\n")
        print_table(["", "cases", "PSNR, dB", "LPIPS"], own_masks(texts, plan, lpips))
    if "residual" in wanted:
        print("\nresidual diffusion over two pre-fills, text kinds, then free-form holes and objects\n")
        columns = ["pre-fill", "cases", "PSNR, dB", "LPIPS", "texture", "s/MP"]
        for part in (texts, [case for case in cases if case.kind not in TEXT_KINDS]):
            print_table(columns, residual(part, plan, lpips))
    if "batches" in wanted:
        print(f"\nthe network over {BATCH_CROPS} crops of 256 px, one core\n")
        print_table(["", "seconds"], batches(texts, plan))


if __name__ == "__main__":
    main()
