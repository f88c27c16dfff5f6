"""Measures what a batch knows of a recurring watermark that one picture does not; prints a table in Markdown.

    python benchmarks/marks.py --photos ../shared/data/kodak

The same watermark (held-out fonts, 15 to 60 %) is laid over a window of every photograph, in one place. From some of
the pictures a template is estimated; the mark is then taken off the others, which it never saw, by the template alone,
and by the un-blending engine that is given it.
Every method gets the true mask dilated by one pixel.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from common import print_table
from numpy.typing import NDArray
from unblend import cut, make_sample

from cleanplate.config import load_config
from cleanplate.evaluation.cases import Case, lpips_round
from cleanplate.evaluation.overlays import FontLibrary
from cleanplate.evaluation.photographs import list_photographs, read_rgb
from cleanplate.fill import build_engines
from cleanplate.fill.base import Engine
from cleanplate.marks import template as marks
from cleanplate.metrics.lpips import Lpips
from cleanplate.metrics.psnr import psnr
from cleanplate.models.registry import Registry
from cleanplate.records import Box

_SIDE_PX = 256
_JUDGED = 4  # pictures that the template is taken off


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


def main() -> None:
    """Runs all methods."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="folder of photographs never trained on")
    parser.add_argument("--marks", type=int, default=8, help="watermarks")
    parser.add_argument("--sizes", type=int, nargs="*", default=[8, 12, 20], help="pictures that a template is made of")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    config = load_config(overrides=["models.threads=1", "models.device=cpu", "route.engines=[network, unblend]"])
    registry = Registry.load(config.models)
    engines, lpips = build_engines(config, registry, "cpu"), Lpips.load(registry)
    photographs = [read_rgb(path) for path in list_photographs([options.photos])]
    scores: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for batch in batches(photographs, FontLibrary.load("heldout"), options.marks):
        for name, case, filled in results(batch, engines, options.sizes):
            shown = np.where(case.mask[..., None] > 0, filled, case.truth)
            scores[name].append((min(60.0, psnr(shown, case.truth, case.mask)), lpips_round(case, filled, lpips)))
    rows: list[list[object]] = []
    for name, found in scores.items():
        (level, distance), worst = np.mean(found, axis=0), min(found)[0]
        rows.append([name, len(found), f"{level:.2f}", f"{worst:.1f}", f"{distance:.4f}"])
    print_table(["method", "pictures", "PSNR, dB", "worst", "LPIPS"], rows)


if __name__ == "__main__":
    main()
