"""Measures what a batch knows of a recurring watermark that one picture does not; prints a table in Markdown.

    python benchmarks/marks.py --photos ../shared/data/kodak

The same watermark (held-out fonts, 15 to 60 %) is laid over a window of every photograph, in one place. From some of
the pictures a template is estimated; the mark is then taken off the others, which it never saw, by the template alone,
and by the un-blending engine that is given it.
Every method gets the true mask dilated by one pixel.

    python benchmarks/marks.py --photos ../shared/data/kodak --whole 4

does the whole way in place of that: each watermark lies in the lower right corner of all photographs (every second
batch are JPEGs), which are cleaned with recurring marks looked for before, as a batch is, and without.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from common import print_table
from numpy.typing import NDArray
from unblend import Marked, cut, make_sample

from cleanplate.config import load_config
from cleanplate.detect import look
from cleanplate.detect.recurring import RecurringDetector
from cleanplate.evaluation.cases import Case, lpips_round
from cleanplate.evaluation.overlays import FontLibrary
from cleanplate.evaluation.photographs import list_photographs, read_rgb
from cleanplate.fill import build_engines
from cleanplate.fill.base import Engine
from cleanplate.marks import template as marks
from cleanplate.marks.discover import discover
from cleanplate.marks.recurring import RecurringMark
from cleanplate.marks.votes import distinct, frames_for, no_votes, patterns, votes_of
from cleanplate.metrics.lpips import Lpips
from cleanplate.metrics.psnr import psnr
from cleanplate.models.registry import Registry
from cleanplate.pipeline import Plan
from cleanplate.records import Box, Job, Outcome
from cleanplate.rows import clean_rows

_SIDE_PX = 256
_JUDGED = 4  # pictures that the template is taken off
_SETTINGS = ["models.threads=1", "models.device=cpu", "source.guard=none", "metrics.lpips=false"]
_QUALITIES = (0, 85)  # of the JPEGs of the batches in turn, 0 for PNG
_INSET_PX = 12
_JUDGED_OPACITY = 0.03


def batches(photographs: Sequence[NDArray[np.uint8]], fonts: FontLibrary, count: int) -> Iterator[list[Case]]:
    """`count` watermarks, each on the middle of every photograph."""
    windows = [np.ascontiguousarray(_middle(photograph)) for photograph in photographs]
    for number in range(count):
        made = make_sample(photographs[number % len(photographs)], 3 * number, fonts)  # multiples of three: no JPEG
        if made is None:
            continue
        mark = cut(made[0], made[1], str(number), 0)
        mixed = [w * (1 - mark.opacity[..., None]) + mark.ink for w in windows]
        crops = [np.clip(np.rint(each), 0, 255).astype(np.uint8) for each in mixed]
        mask = np.ascontiguousarray(mark.case.mask)
        yield [Case(str(number), "watermark", c, w, mask) for c, w in zip(crops, windows, strict=True)]


def _middle(photograph: NDArray[np.uint8]) -> NDArray[np.uint8]:
    top, left = ((side - _SIDE_PX) // 2 for side in photograph.shape[:2])
    return photograph[top : top + _SIDE_PX, left : left + _SIDE_PX]


def results(batch: Sequence[Case], engines: dict[str, Engine], sizes: Sequence[int]) -> Iterator[tuple]:
    """(method, case, filled) for the last pictures of a batch."""
    judged, seen = batch[-_JUDGED:], batch[:-_JUDGED]
    for name, engine in engines.items():
        for case, filled in zip(judged, engine.fill([case.request for case in judged]), strict=True):
            yield name, case, filled
    for size in sizes:
        part = seen[:size]
        template = marks.estimate([case.before for case in part], [case.mask for case in part])
        for case in judged:
            yield f"template of {len(part)}", case, marks.apply(template, case.before, Box(0, 0, _SIDE_PX, _SIDE_PX))[0]
        requests = [replace(case.request, known=template) for case in judged]
        for case, filled in zip(judged, engines["unblend"].fill(requests), strict=True):
            yield f"un-blended with a template of {len(part)}", case, filled


def whole_way(
    photographs: Sequence[NDArray[np.uint8]], fonts: FontLibrary, count: int, lpips: Lpips
) -> Iterator[list[object]]:
    """Rows of a table: each watermark on all photographs, cleaned without and with recurring marks."""
    config = load_config(overrides=_SETTINGS)
    plan = Plan.load(config)
    for number in range(count):
        made = make_sample(photographs[number % len(photographs)], 3 * number, fonts)
        if made is None:
            continue
        mark, quality = cut(made[0], made[1], str(number), 0), _QUALITIES[number % len(_QUALITIES)]
        jobs = [_job(photograph, mark, quality, plan) for photograph in photographs]
        known = _looked_for(jobs, plan)
        for name, marked in (("one by one", ()), ("marks looked for", known)):
            if name != "one by one" and not known:
                yield [number, made[0].overlays[0].design, "none found"]
                continue
            begun = time.perf_counter()
            outcomes = clean_rows(jobs, replace(plan, detectors=[*plan.detectors, RecurringDetector(marked)]))
            seconds = (time.perf_counter() - begun) / len(jobs)
            scores = [_scored(*each, mark, plan, lpips) for each in zip(photographs, jobs, outcomes, strict=True)]
            level, distance, gone = np.mean(scores, axis=0)
            yield [
                number, f"{mark.design}, {mark.strength:.0%}, {f'JPEG {quality}' if quality else 'PNG'}", name,
                f"{gone:.2f}", f"{level:.2f}", f"{min(scores)[0]:.1f}", f"{distance:.4f}", f"{seconds:.1f}",
            ]  # fmt: skip


def _job(photograph: NDArray[np.uint8], mark: Marked, quality: int, plan: Plan) -> Job:
    picture = photograph.astype(np.float32)
    picture[_corner(photograph, mark)] *= 1 - mark.opacity[..., None]
    picture[_corner(photograph, mark)] += mark.ink
    bgr = np.clip(np.rint(picture), 0, 255).astype(np.uint8)[..., ::-1]
    suffix, options = (".jpg", [cv2.IMWRITE_JPEG_QUALITY, quality]) if quality else (".png", [])
    return Job("x", plan.codec.decode(cv2.imencode(suffix, bgr, options)[1].tobytes()), rights="owned")


def _corner(photograph: NDArray[np.uint8], mark: Marked) -> tuple[slice, slice]:
    bottom, right = photograph.shape[0] - _INSET_PX, photograph.shape[1] - _INSET_PX
    return slice(bottom - mark.opacity.shape[0], bottom), slice(right - mark.opacity.shape[1], right)


def _looked_for(jobs: Sequence[Job], plan: Plan) -> list[RecurringMark]:
    """What `batch/recurring.py` finds, without Spark."""
    sizes, config = [(job.image.width, job.image.height) for job in jobs], plan.config.marks
    found = []
    for frame in frames_for(sizes):
        each = [votes for job in jobs if (votes := votes_of(job.image.rgb, frame)) is not None]
        found += patterns(sum(each, no_votes(frame)), frame, config.fewest_images)
    images = [(str(number), job.image) for number, job in enumerate(jobs)]
    made = [
        discover(place, lambda: images, partial(look, plan.detectors), config)
        for place in distinct(found, sizes)
    ]
    return [mark for mark in made if mark is not None]


def _scored(
    truth: NDArray[np.uint8], job: Job, outcome: Outcome, mark: Marked, plan: Plan, lpips: Lpips
) -> tuple[float, float, bool]:
    """PSNR under the mark, LPIPS round it, and whether most of it is gone."""
    after = job.image.rgb if outcome.data is None else plan.codec.decode(outcome.data).rgb
    part = _corner(truth, mark)
    before, after, truth = (np.ascontiguousarray(picture[part]) for picture in (job.image.rgb, after, truth))
    mask = (mark.opacity > _JUDGED_OPACITY).astype(np.uint8)
    changed = np.abs(before.astype(int) - after).max(axis=2)[mask > 0] > 0
    box = Box.around(mask).slices
    return min(60.0, psnr(after, truth, mask)), lpips.distance(after[box], truth[box]), bool(changed.mean() > 0.5)


def main() -> None:
    """Runs all methods."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="folder of photographs never trained on")
    parser.add_argument("--marks", type=int, default=8, help="watermarks")
    parser.add_argument("--sizes", type=int, nargs="*", default=[8, 12, 20], help="pictures that a template is made of")
    parser.add_argument("--whole", type=int, default=0, help="watermarks that go the whole way; none of the above then")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    config = load_config(overrides=["models.threads=1", "models.device=cpu", "route.engines=[network, unblend]"])
    registry = Registry.load(config.models)
    engines, lpips = build_engines(config, registry, "cpu"), Lpips.load(registry)
    photographs = [read_rgb(path) for path in list_photographs([options.photos])]
    if options.whole:
        rows = list(whole_way(photographs, FontLibrary.load("heldout"), options.whole, lpips))
        print_table(["batch", "mark", "cleaned", "gone", "PSNR, dB", "worst", "LPIPS", "s per picture"], rows)
        return
    scores: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for batch in batches(photographs, FontLibrary.load("heldout"), options.marks):
        for name, case, filled in results(batch, engines, options.sizes):
            shown = np.where(case.mask[..., None] > 0, filled, case.truth)
            scores[name].append((min(60.0, psnr(shown, case.truth, case.mask)), lpips_round(case, filled, lpips)))
    rows = []
    for name, found in scores.items():
        (level, distance), worst = np.mean(found, axis=0), min(found)[0]
        rows.append([name, len(found), f"{level:.2f}", f"{worst:.1f}", f"{distance:.4f}"])
    print_table(["method", "pictures", "PSNR, dB", "worst", "LPIPS"], rows)


if __name__ == "__main__":
    main()
