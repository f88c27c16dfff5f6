"""The loop around route, fill, blend, regrain and verify: a work queue over the regions of all images."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cleanplate import remedies
from cleanplate.config import Config
from cleanplate.enhance.choose import steps_asked
from cleanplate.mask.widen import widen
from cleanplate.records import Attempt, Enhancement, Job, Region, RegionOutcome, Route, Verdict
from cleanplate.tries import (
    Canvas,
    Filled,
    Task,
    Try,
    completed,
    cost_units,
    fill,
    finished,
    handed_on,
    in_company,
    tries_of,
)
from cleanplate.verify import Candidate

if TYPE_CHECKING:
    from cleanplate.pipeline import Plan


@dataclass(frozen=True)
class Work:
    """The regions of one image: those to fill, and those that are settled (kept or gated)."""

    job: Job
    regions: tuple[Region, ...]
    settled: tuple[RegionOutcome, ...] = ()


@dataclass(frozen=True)
class Edit:
    """One image after the loop.

    Attributes:
        job: the image.
        rgb: uint8 (H, W, 3), RGB: with the fills that held up; where alpha is 0 it is the source, bit for bit.
        alpha: float32 (H, W), 0..1: union of the filled regions' soft masks.
        regions: what became of each region, in the order of region_id.
        enhancement: what was decided about the whole image afterwards; None where nothing was asked for.
        grainless: uint8 (H, W, 3), RGB: `rgb` with fills that got no grain; None where no denoiser may follow.
    """

    job: Job
    rgb: NDArray[np.uint8]
    alpha: NDArray[np.float32]
    regions: tuple[RegionOutcome, ...]
    enhancement: Enhancement | None = None
    grainless: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class _Judged:
    """A try with its pixels, what the verifier says of them, and what the engine said."""

    attempt: Try
    candidate: Candidate
    verdict: Verdict
    note: str


def region_seed(seed: int, image_id: str, region_id: int) -> int:
    """63-bit seed of a region: the same for the same image and region, whatever ran before."""
    text = f"{seed}/{image_id}/{region_id}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1


def run(work: Sequence[Work], plan: Plan) -> list[Edit]:
    """Fills the regions of all images, round by round, until each holds up or its budget is spent.

    Each round routes all open regions, fills them engine by engine, blends, regrains and judges them together, in each
    other's company. Where two engines are close, both fill, and the better by the verifier counts. A region that does
    not hold up is tried again with the remedy for what was found (see `remedies`).

    Args:
        work: one per image.
        plan: configuration, engines and verifier.

    Returns:
        One edit per piece of work, in order. Regions that never held up keep their pixels, decision "review".
    """
    canvases = [_canvas(item, may_denoise(item.job, plan.config)) for item in work]
    tasks = [_task(index, item.job, region) for index, item in enumerate(work) for region in item.regions]
    pending = tasks
    while pending:
        tries = [one for task in pending for one in tries_of(task, canvases[task.work], plan)]
        tries, filled = handed_on(tries, fill(tries, plan), canvases, plan)
        tries, filled = completed(tries, filled, canvases, plan)
        candidates = [_finished(one, each, plan) for one, each in zip(tries, filled, strict=True)]
        verdicts = plan.verifier.judge(in_company(tries, candidates, canvases))
        judged: dict[int, list[_Judged]] = defaultdict(list)
        for one, each, candidate, verdict in zip(tries, filled, candidates, verdicts, strict=True):
            judged[id(one.task)].append(_Judged(one, candidate, verdict, each.remark.note))
        for rivals in judged.values():
            _settle(rivals, canvases[rivals[0].attempt.task.work], plan)
        open_tasks = [rivals[0].attempt.task for rivals in judged.values()]
        pending = [task for task in open_tasks if not task.passed and _may_go_on(task, plan)]
    return [
        _edit(item, canvas, [task for task in tasks if task.work == index])
        for index, (item, canvas) in enumerate(zip(work, canvases, strict=True))
    ]


def may_denoise(job: Job, config: Config) -> bool:
    """Whether a denoiser may run over an image: it would keep some of the grain that was given back."""
    return "denoise" in steps_asked(config.enhance, config.upscale, job.upscale)


def _canvas(item: Work, keeps_grainless: bool) -> Canvas:
    image = item.job.image
    invalid = np.zeros((image.height, image.width), np.uint8)
    for region in item.regions:
        invalid[region.box.slices] |= region.core
    return Canvas(image.rgb.copy(), invalid, image.rgb.copy() if keeps_grainless else None)


def _task(index: int, job: Job, region: Region) -> Task:
    return Task(index, job, region, region, region_seed(job.seed, job.image_id, region.region_id))


def _finished(one: Try, filled: Filled, plan: Plan) -> Candidate:
    region, matched = one.task.region, one.task.remedy == remedies.MATCHED
    smooth = plan.engines[one.route.engine].spec.smooth
    return finished(region, one.request, filled, plan.config, smooth=smooth, matched=matched)


def _settle(rivals: Sequence[_Judged], canvas: Canvas, plan: Plan) -> None:
    """Notes a round's attempts at a region; where the best holds up, writes its pixels; else chooses the remedy."""
    task, config = rivals[0].attempt.task, plan.config
    number = task.rounds + 1
    best = max(rivals, key=lambda one: one.verdict.confidence)  # of equals the first, which is the cheaper
    for one in [*(each for each in rivals if each is not best), best]:
        task.attempts.append(_attempt(number, one, best, plan))
    task.route = best.attempt.route
    if best.verdict.confidence >= config.verify.min_confidence:
        task.passed = True
        canvas.put(best.candidate, best.attempt.box)
        return
    spec = plan.engines[best.attempt.route.engine].spec
    may_widen = config.attempts.widen_px > 0
    task.remedy = remedies.choose(best.verdict.failures, spec, task.done, may_widen=may_widen)
    if task.remedy == remedies.WIDER:
        _widen(task, canvas, config.attempts.widen_px)
    if task.remedy == remedies.NEXT:
        task.tried.update(one.attempt.route.engine for one in rivals)
        task.done &= {remedies.WIDER}
    else:
        task.done.add(task.remedy)


def _attempt(number: int, one: _Judged, best: _Judged, plan: Plan) -> Attempt:
    """The record of a try, with what became of it where it was not the only one."""
    route, verdict = one.attempt.route, one.verdict
    blend = f"blended by {one.candidate.blend}" if one.candidate.blend == "membrane" else ""
    reason = "; ".join(filter(None, (route.reason, one.note, blend)))
    if one is not best:
        better = f"{best.verdict.confidence:.2f} of {best.attempt.route.engine}"
        reason += f"; not taken, {verdict.confidence:.2f} against {better}"
    cost = cost_units(plan.engines[route.engine], one.attempt.box) + one.attempt.other_units
    return Attempt(number, route.engine, reason, verdict.confidence, cost, verdict.scores, verdict.failures)


def _widen(task: Task, canvas: Canvas, widen_px: int) -> None:
    image = task.job.image
    task.region = widen(task.region, widen_px, image.width, image.height)
    canvas.invalid[task.region.box.slices] |= task.region.core


def _may_go_on(task: Task, plan: Plan) -> bool:
    return task.rounds < plan.config.attempts.max_attempts


def _edit(item: Work, canvas: Canvas, tasks: Iterable[Task]) -> Edit:
    alpha = np.zeros(canvas.invalid.shape, np.float32)
    outcomes = list(item.settled)
    for task in tasks:
        outcomes.append(_outcome(task))
        if task.passed:
            np.maximum(alpha[task.region.box.slices], task.region.alpha, out=alpha[task.region.box.slices])
    ordered = sorted(outcomes, key=lambda outcome: outcome.region.region_id)
    return Edit(item.job, canvas.rgb, alpha, tuple(ordered), grainless=canvas.grainless)


def _outcome(task: Task) -> RegionOutcome:
    best = max((attempt.confidence for attempt in task.attempts), default=0.0)
    if task.passed:
        confidence = task.attempts[-1].confidence
        return RegionOutcome(task.region, "filled", confidence, task.route, tuple(task.attempts))
    route = task.route or Route("none", "no engine fits the budget of the image (attempts.max_cost_units)")
    return RegionOutcome(replace(task.original), "review", best, route, tuple(task.attempts))
