"""The loop around route, fill, blend, regrain and verify: a work queue over the regions of all images."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cleanplate import route as routing
from cleanplate.blend import composite
from cleanplate.config import Config
from cleanplate.enhance.regrain import regrain
from cleanplate.fill.base import Engine, FillRequest
from cleanplate.mask.widen import widen
from cleanplate.records import Attempt, Box, Job, Region, RegionOutcome, Route, Verdict
from cleanplate.verify import Candidate
from cleanplate.windows import place

if TYPE_CHECKING:
    from cleanplate.pipeline import Plan

RESIDUAL = "residual_text"


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
    """

    job: Job
    rgb: NDArray[np.uint8]
    alpha: NDArray[np.float32]
    regions: tuple[RegionOutcome, ...]


@dataclass
class _Task:
    """A region on its way through the queue."""

    work: int
    job: Job
    region: Region
    original: Region
    seed: int
    tried: set[str] = field(default_factory=set)
    attempts: list[Attempt] = field(default_factory=list)
    route: Route | None = None
    passed: bool = False
    wide: bool = False

    def left(self, order: Sequence[str]) -> Sequence[str]:
        """The engines still to try: those after the last one tried; a cheaper one fits no better than before."""
        return order[max((order.index(name) + 1 for name in self.tried), default=0) :]


@dataclass
class _Canvas:
    """An image under work: its pixels so far, what may not be a source, what its regions have cost."""

    rgb: NDArray[np.uint8]
    invalid: NDArray[np.uint8]
    cost_units: float = 0.0


@dataclass(frozen=True)
class _Prepared:
    """A task with its crop, request and route for this round."""

    task: _Task
    box: Box
    request: FillRequest
    route: Route


def region_seed(seed: int, image_id: str, region_id: int) -> int:
    """63-bit seed of a region: the same for the same image and region, whatever ran before."""
    text = f"{seed}/{image_id}/{region_id}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1


def run(work: Sequence[Work], plan: Plan) -> list[Edit]:
    """Fills the regions of all images, round by round, until each holds up or its budget is spent.

    Each round routes all open regions, fills them engine by engine, blends, regrains and judges them together. A region
    that does not hold up is tried again: with a wider mask where text is left, else with the next engine.

    Args:
        work: one per image.
        plan: configuration, engines and verifier.

    Returns:
        One edit per piece of work, in order. Regions that never held up keep their pixels, decision "review".
    """
    canvases = [_canvas(item) for item in work]
    tasks = [_task(index, item.job, region) for index, item in enumerate(work) for region in item.regions]
    pending = tasks
    while pending:
        prepared = [p for p in (_prepare(task, canvases[task.work], plan) for task in pending) if p is not None]
        filled = _fill(prepared, plan)
        candidates = [
            finished(p.task.region, p.request, fill, plan.config) for p, fill in zip(prepared, filled, strict=True)
        ]
        verdicts = plan.verifier.judge(candidates)
        for item, candidate, verdict in zip(prepared, candidates, verdicts, strict=True):
            _settle(item, candidate, verdict, canvases[item.task.work], plan)
        pending = [item.task for item in prepared if not item.task.passed and _may_go_on(item.task, plan)]
    return [
        _edit(item, canvas, [task for task in tasks if task.work == index])
        for index, (item, canvas) in enumerate(zip(work, canvases, strict=True))
    ]


def _canvas(item: Work) -> _Canvas:
    image = item.job.image
    invalid = np.zeros((image.height, image.width), np.uint8)
    for region in item.regions:
        invalid[region.box.slices] |= region.core
    return _Canvas(image.rgb.copy(), invalid)


def _task(index: int, job: Job, region: Region) -> _Task:
    return _Task(index, job, region, region, region_seed(job.seed, job.image_id, region.region_id))


def _prepare(task: _Task, canvas: _Canvas, plan: Plan) -> _Prepared | None:
    """Crops and routes a region; None where the image's budget has no room for any engine that is left."""
    region, config = task.region, plan.config
    context_px = max(config.route.context_px, config.route.ring_px)
    box = region.box.expand(context_px, task.job.image.width, task.job.image.height)
    request = _request(task, canvas, box)
    room = config.attempts.max_cost_units - canvas.cost_units
    left = task.left(config.route.engines)
    engines = {name: plan.engines[name] for name in left if _cost_units(plan.engines[name], box) <= room}
    if not engines:
        return None
    values = routing.features(request, region, config.route.ring_px)
    chosen = routing.route(values, region.kind, config.route, engines)
    if task.attempts:
        chosen = replace(chosen, reason=f"{_why_again(task, config.verify.min_confidence)} {chosen.reason}")
    canvas.cost_units += _cost_units(plan.engines[chosen.engine], box)
    return _Prepared(task, box, request, chosen)


def _why_again(task: _Task, least: float) -> str:
    """Why the last attempt did not hold up, and what is done about it, as the reason of the next one begins."""
    last = task.attempts[-1]
    found = ", ".join(f"{name.replace('_', ' ')}={last.scores.get(name, 0.0):.2f}" for name in last.failures[:2])
    remedy = "re-run with a wider mask:" if task.wide and last.engine not in task.tried else "re-run:"
    return f"confidence {last.confidence:.2f} < {least:.2f}{f' ({found})' if found else ''}: {remedy}"


def _request(task: _Task, canvas: _Canvas, box: Box) -> FillRequest:
    region = task.region
    core = place(region.core.astype(np.float32), region.box, box).astype(np.uint8)
    return FillRequest(
        crop=canvas.rgb[box.slices].copy(),
        alpha=place(region.alpha, region.box, box),
        core=core,
        invalid=canvas.invalid[box.slices] | core,
        seed=task.seed,
        kind=region.kind,
        prompt=task.job.prompt,
        strength=task.job.strength,
    )


def _cost_units(engine: Engine, box: Box) -> float:
    return engine.spec.cost_units_per_mpx * box.area_px / 1e6


def _fill(prepared: Sequence[_Prepared], plan: Plan) -> list[NDArray[np.uint8]]:
    """Runs each engine once over all crops that are routed to it."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, item in enumerate(prepared):
        groups[item.route.engine].append(index)
    filled: dict[int, NDArray[np.uint8]] = {}
    for name, indices in groups.items():
        results = plan.engines[name].fill([prepared[index].request for index in indices])
        filled.update(zip(indices, results, strict=True))
    return [filled[index] for index in range(len(prepared))]


def finished(region: Region, request: FillRequest, filled: NDArray[np.uint8], config: Config) -> Candidate:
    """A fill, blended and regrained, ready to be judged.

    Args:
        region: what was to go.
        request: what the engine was given.
        filled: uint8 (H, W, 3), RGB: the engine's answer.
        config: the sections "blend" and "regrain" count.
    """
    blended = composite(request.crop, filled, request.alpha, config.blend)
    after = regrain(blended, request.alpha, request.invalid, request.seed, config.regrain)
    return Candidate(region, request.crop, after, request.alpha, request.core, request.invalid)


def _settle(item: _Prepared, candidate: Candidate, verdict: Verdict, canvas: _Canvas, plan: Plan) -> None:
    """Notes the attempt; where it holds up, writes its pixels; else chooses the remedy."""
    task, config = item.task, plan.config
    engine = item.route.engine
    cost = _cost_units(plan.engines[engine], item.box)
    number = len(task.attempts) + 1
    task.attempts.append(
        Attempt(number, engine, item.route.reason, verdict.confidence, cost, verdict.scores, verdict.failures)
    )
    task.route = item.route
    if verdict.confidence >= config.verify.min_confidence:
        task.passed = True
        _write(candidate, canvas.rgb[item.box.slices])
    elif verdict.failures[:1] == (RESIDUAL,) and not task.wide and config.attempts.widen_px:
        _widen(task, canvas, config.attempts.widen_px)
    else:
        task.tried.add(engine)


def _write(candidate: Candidate, target: NDArray[np.uint8]) -> None:
    """Puts a fill into the picture.

    Where another region was filled since this one's crop was taken, the feather would bring the crop's old pixels back
    (letters, perhaps), so only what is replaced entirely is written there.
    """
    fresh = np.all(target == candidate.before, axis=2)
    inside = (candidate.alpha >= 1) | ((candidate.alpha > 0) & fresh)
    target[inside] = candidate.after[inside]


def _widen(task: _Task, canvas: _Canvas, widen_px: int) -> None:
    image = task.job.image
    task.region = widen(task.region, widen_px, image.width, image.height)
    task.wide = True
    canvas.invalid[task.region.box.slices] |= task.region.core


def _may_go_on(task: _Task, plan: Plan) -> bool:
    return len(task.attempts) < plan.config.attempts.max_attempts


def _edit(item: Work, canvas: _Canvas, tasks: Iterable[_Task]) -> Edit:
    alpha = np.zeros(canvas.invalid.shape, np.float32)
    outcomes = list(item.settled)
    for task in tasks:
        outcomes.append(_outcome(task))
        if task.passed:
            np.maximum(alpha[task.region.box.slices], task.region.alpha, out=alpha[task.region.box.slices])
    ordered = sorted(outcomes, key=lambda outcome: outcome.region.region_id)
    return Edit(item.job, canvas.rgb, alpha, tuple(ordered))


def _outcome(task: _Task) -> RegionOutcome:
    best = max((attempt.confidence for attempt in task.attempts), default=0.0)
    if task.passed:
        confidence = task.attempts[-1].confidence
        return RegionOutcome(task.region, "filled", confidence, task.route, tuple(task.attempts))
    route = task.route or Route("none", "no engine fits the budget of the image (attempts.max_cost_units)")
    return RegionOutcome(replace(task.original), "review", best, route, tuple(task.attempts))
