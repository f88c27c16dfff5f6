"""One round's tries at the open regions: cropped, routed, filled, blended and regrained, ready to be judged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate import remedies
from cleanplate import route as routing
from cleanplate.blend import composite, match_histogram
from cleanplate.codec import is_lossy
from cleanplate.config import Config
from cleanplate.enhance.footprint import footprint_of
from cleanplate.enhance.regrain import regrain
from cleanplate.fill.base import Engine, FillRequest, Remark
from cleanplate.records import Attempt, Box, Job, Region, Route
from cleanplate.verify import Candidate
from cleanplate.windows import place

if TYPE_CHECKING:
    from cleanplate.pipeline import Plan

NO_REMARK = Remark()


@dataclass
class Task:
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
    done: set[remedies.Remedy] = field(default_factory=set)
    remedy: remedies.Remedy | None = None

    @property
    def rounds(self) -> int:
        """How often it has been tried; engines that were tried side by side count once."""
        return self.attempts[-1].number if self.attempts else 0

    def left(self, order: Sequence[str]) -> Sequence[str]:
        """The engines still to try.

        The same again where the remedy is another than an engine; else those after the last one tried: a cheaper one
        fits no better than before.
        """
        if self.remedy not in (None, remedies.NEXT):
            return (self.attempts[-1].engine,)
        return order[max((order.index(name) + 1 for name in self.tried), default=0) :]


@dataclass
class Canvas:
    """An image under work.

    Attributes:
        rgb: uint8 (H, W, 3), RGB: its pixels so far.
        invalid: uint8 (H, W), 1 where nothing may be taken from.
        grainless: uint8 (H, W, 3), RGB: its pixels with fills that got no grain; None where no denoiser may follow.
        cost_units: what its regions have cost.
    """

    rgb: NDArray[np.uint8]
    invalid: NDArray[np.uint8]
    grainless: NDArray[np.uint8] | None = None
    cost_units: float = 0.0

    def put(self, candidate: Candidate, box: Box) -> None:
        """Puts a fill that holds up into the picture."""
        if self.grainless is not None and candidate.grainless is not None:
            write(replace(candidate, after=candidate.grainless), self.grainless[box.slices])
        write(candidate, self.rgb[box.slices])


@dataclass(frozen=True)
class Try:
    """An engine for a task in this round, with its crop, request and route.

    Attributes:
        other_units: what other engines cost that had a part in it, or had nothing to offer for it.
    """

    task: Task
    box: Box
    request: FillRequest
    route: Route
    other_units: float = 0.0


def tries_of(task: Task, canvas: Canvas, plan: Plan) -> list[Try]:
    """Crops and routes a region; none where the image's budget has no room for any engine that is left."""
    region, config = task.region, plan.config
    context_px = max(config.route.context_px, config.route.ring_px)
    box = region.box.expand(context_px, task.job.image.width, task.job.image.height)
    request = _request(task, canvas, box)
    engines = _affordable(task.left(config.route.engines), task, canvas, box, plan)
    if not engines:
        return []
    values = routing.features(request, region, config.route.ring_px)
    chosen = routing.route(values, region.kind, config.route, engines)
    if region.known is not None:
        chosen = replace(chosen, reason=f"recurring mark {region.known.mark_id}, {chosen.reason}")
    routes = [chosen]
    both = sum(cost_units(engines[name], box) for name in (chosen.engine, chosen.rival) if name)
    if chosen.rival and not task.attempts and both <= _room(canvas, plan):
        routes.append(replace(chosen, engine=chosen.rival, reason=f"{chosen.reason}, against {chosen.rival}"))
    if task.attempts:
        routes = [replace(chosen, reason=f"{_why_again(task, config.verify.min_confidence)} {chosen.reason}")]
    canvas.cost_units += sum(cost_units(plan.engines[each.engine], box) for each in routes)
    return [Try(task, box, request, each) for each in routes]


def _room(canvas: Canvas, plan: Plan) -> float:
    return plan.config.attempts.max_cost_units - canvas.cost_units


def _affordable(names: Iterable[str], task: Task, canvas: Canvas, box: Box, plan: Plan) -> dict[str, Engine]:
    """Those of some engines that an image's budget has room for, and that the region may go to."""
    found = {name: plan.engines[name] for name in names}
    return {
        name: engine
        for name, engine in found.items()
        if cost_units(engine, box) <= _room(canvas, plan) and _may_diffuse(engine, task, plan.config)
    }


def _may_diffuse(engine: Engine, task: Task, config: Config) -> bool:
    """Whether a region may go to an engine: those that diffuse take only a share of the regions, drawn by seed."""
    return not engine.spec.diffuses or task.seed / 2.0**63 < config.route.max_diffusion_share


def _why_again(task: Task, least: float) -> str:
    """Why the last attempt did not hold up, and what is done about it, as the reason of the next one begins."""
    last = task.attempts[-1]
    why = remedies.explain(last.confidence, least, last.failures, last.scores)
    return f"{why}: re-run with {task.remedy}:"


def _request(task: Task, canvas: Canvas, box: Box) -> FillRequest:
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
        variant=int(remedies.RESCALED in task.done),
        footprint=footprint_of(task.job.image, box),
        lossy=is_lossy(task.job.image),
        known=None if region.known is None else region.known.within(box),
    )


def cost_units(engine: Engine, box: Box) -> float:
    """What an engine costs over a crop, in the budget's deterministic units."""
    return engine.spec.cost_units_per_mpx * box.area_px / 1e6


@dataclass(frozen=True)
class Filled:
    """An engine's answer, uint8 (H, W, 3), RGB, and what it says of it."""

    pixels: NDArray[np.uint8]
    remark: Remark = NO_REMARK


def fill(tries: Sequence[Try], plan: Plan) -> list[Filled]:
    """Runs each engine once over all crops that are routed to it."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, one in enumerate(tries):
        groups[one.route.engine].append(index)
    filled: dict[int, Filled] = {}
    for name, indices in groups.items():
        answers = ask(plan.engines[name], [tries[index].request for index in indices])
        filled.update(zip(indices, answers, strict=True))
    return [filled[index] for index in range(len(tries))]


def ask(engine: Engine, requests: Sequence[FillRequest]) -> list[Filled]:
    """An engine's fills with its remarks, where it makes any."""
    results = engine.fill(requests)
    remarks = getattr(engine, "remarks", None) or [NO_REMARK] * len(results)
    return [Filled(pixels, remark) for pixels, remark in zip(results, remarks, strict=True)]


def handed_on(
    tries: Sequence[Try], filled: Sequence[Filled], canvases: Sequence[Canvas], plan: Plan
) -> tuple[list[Try], list[Filled]]:
    """Gives what an engine had nothing to offer for to the one that the rules name next, in the same round.

    A refusal is no failure: only the engine can say whether a mark is see-through, and it costs no attempt. Where no
    other engine is left, the fill stands that came with the refusal.
    """
    after, answers, again = list(tries), list(filled), []
    for index, (one, answer) in enumerate(zip(tries, filled, strict=True)):
        if not answer.remark.refusal:
            continue
        busy = {other.route.engine for other in tries if other.task is one.task}
        stand_in = plan.engines[one.route.engine].spec.stand_in
        rerouted = _rerouted(one, answer.remark.refusal, busy, canvases[one.task.work], plan)
        if rerouted is None:
            continue
        after[index] = rerouted
        if rerouted.route.engine == stand_in:
            answers[index] = Filled(answer.pixels)
        else:
            again.append(index)
    if again:
        once_more = [after[index] for index in again]
        for index, one, answer in zip(again, *handed_on(once_more, fill(once_more, plan), canvases, plan), strict=True):
            after[index], answers[index] = one, answer
    return after, answers


def _rerouted(one: Try, refusal: str, busy: Collection[str], canvas: Canvas, plan: Plan) -> Try | None:
    """A refused try at the engine that the rules name next, paid for where it has to run; None where none is left."""
    name = one.route.engine
    names = [key for key in one.task.left(plan.config.route.engines) if key not in busy]
    left = _affordable(names, one.task, canvas, one.box, plan)
    if not left:
        return None
    chosen = routing.route(one.route.features, one.task.region.kind, plan.config.route, left)
    other_units = one.other_units + cost_units(plan.engines[name], one.box)
    next_units = cost_units(left[chosen.engine], one.box)
    if chosen.engine == plan.engines[name].spec.stand_in:  # its fill came with the refusal, whose cost counts it
        other_units -= next_units
    else:
        canvas.cost_units += next_units
    one.task.tried.add(name)
    reason = f"{one.route.reason}, but {refusal}: {chosen.engine}"
    return replace(one, route=replace(chosen, reason=reason, rival=""), other_units=other_units)


def completed(
    tries: Sequence[Try], filled: Sequence[Filled], canvases: Sequence[Canvas], plan: Plan
) -> tuple[list[Try], list[Filled]]:
    """Has what engines left to be filled (`Remark.rest`) filled by those that the rules name for it, in the same round.

    What a mark hides is a smaller hole than the mark, in a picture without the mark. Where no engine is left that the
    budget has room for, the fill stands that came with it.
    """
    after, answers = list(tries), list(filled)
    parts: list[tuple[int, FillRequest, Try]] = []
    for index, (one, answer) in enumerate(zip(tries, filled, strict=True)):
        rest = answer.remark.rest
        part = _part(one, rest, canvases[one.task.work], plan) if rest is not None else None
        if rest is not None and part is not None:
            parts.append((index, rest, part))
    for (index, rest, part), answer in zip(parts, fill([part for _, _, part in parts], plan), strict=True):
        one = tries[index]
        pixels, _ = composite(rest.crop, answer.pixels, rest.alpha, rest.invalid, plan.config.blend)
        answers[index] = replace(answers[index], pixels=pixels)
        after[index] = replace(
            one,
            route=replace(one.route, reason=f"{one.route.reason}; what it hides: {part.route.reason}"),
            other_units=one.other_units + cost_units(plan.engines[part.route.engine], one.box),
        )
    return after, answers


def _part(one: Try, rest: FillRequest, canvas: Canvas, plan: Plan) -> Try | None:
    """A try at the rest of another one, paid for; None where no engine for it fits the budget."""
    names = [name for name in plan.config.route.engines if not plan.engines[name].spec.uncovers]
    engines = _affordable(names, one.task, canvas, one.box, plan)
    if not engines:
        return None
    values = routing.features(rest, one.task.region, plan.config.route.ring_px)
    chosen = routing.route(values, one.task.region.kind, plan.config.route, engines)
    canvas.cost_units += cost_units(engines[chosen.engine], one.box)
    # Exemplars are not taken from where the mark was: what is nearly right there would be copied all over the hole.
    whole = engines[chosen.engine].spec.exemplars
    return replace(one, request=one.request if whole else rest, route=chosen)


def finished(
    region: Region,
    request: FillRequest,
    filled: Filled,
    config: Config,
    *,
    smooth: bool,
    matched: bool = False,
) -> Candidate:
    """A fill, blended and regrained, ready to be judged.

    Args:
        region: what was to go.
        request: what the engine was given.
        filled: the engine's answer; what it left of the photograph has its own grain.
        config: the sections "blend" and "regrain" count.
        smooth: whether the engine leaves no texture, as its spec says.
        matched: bring the fill's colours to those outside first.
    """
    pixels, kept = filled.pixels, filled.remark.kept
    if matched:
        pixels = match_histogram(request.crop, pixels, request.alpha, request.invalid)
    blended, method = composite(request.crop, pixels, request.alpha, request.invalid, config.blend)
    after = regrain(blended, request.alpha, request.invalid, request.seed, config.regrain, request.footprint, smooth)
    if kept is not None:
        after = np.asarray(cv2.blendLinear(blended, after, kept, 1 - kept), np.uint8)
    return Candidate(
        region, request.crop, after, request.alpha, request.core, request.invalid, method, blended, kept is not None
    )


def in_company(
    tries: Sequence[Try], candidates: Sequence[Candidate], canvases: Sequence[Canvas]
) -> list[Candidate]:
    """The candidates as they will stand in the picture: with what the others of this round put into their crops.

    A text detector looks at whole lines; letters of a neighbour that are about to go must not count against a fill.
    """
    drafts = {one.task.work: canvases[one.task.work].rgb.copy() for one in tries}
    for one, candidate in zip(tries, candidates, strict=True):
        write(candidate, drafts[one.task.work][one.box.slices])
    shown = []
    for one, candidate in zip(tries, candidates, strict=True):
        after = drafts[one.task.work][one.box.slices].copy()
        inside = candidate.alpha > 0
        after[inside] = candidate.after[inside]
        shown.append(replace(candidate, after=after))
    return shown


def write(candidate: Candidate, target: NDArray[np.uint8]) -> None:
    """Puts a fill into the picture.

    Where another region was filled since this one's crop was taken, the feather would bring the crop's old pixels back
    (letters, perhaps), so only what is replaced entirely is written there.
    """
    fresh = np.all(target == candidate.before, axis=2)
    inside = (candidate.alpha >= 1) | ((candidate.alpha > 0) & fresh)
    target[inside] = candidate.after[inside]
