"""Compares the fill engines and the route on photographs and fonts that nothing was trained on; tables in Markdown.

    python benchmarks/fill.py --photos ../shared/data/kodak --sheet docs/fill.webp

Text kinds: overlays (held-out fonts) on a window of each photograph, the true mask (alpha > 0) dilated by one pixel.
Others: free-form strokes, and solid holes of 5 to 15 % as objects leave them. Engines get the same requests; the route
is the whole loop (route, fill, blend, regrain, verify, again). PSNR counts the mask's pixels; LPIPS the mask's box with
a margin; texture is the detail in the mask over the ring's.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from common import print_table
from numpy.typing import NDArray

from cleanplate import attempts
from cleanplate.config import Config, load_config
from cleanplate.evaluation.cases import CASE_KINDS, TEXT_KINDS, Case, lpips_round, make_cases, merge
from cleanplate.evaluation.overlays import FontLibrary
from cleanplate.evaluation.photographs import list_photographs
from cleanplate.fill import ENGINES, build_engines
from cleanplate.fill.pde import diffuse
from cleanplate.image import Carried, Image
from cleanplate.metrics.lpips import Lpips
from cleanplate.metrics.psnr import psnr
from cleanplate.metrics.texture import texture_ratio
from cleanplate.pipeline import Plan
from cleanplate.records import Job

Fill = Callable[[Case], NDArray[np.uint8]]


@dataclass
class Scores:
    """What one method reached on the cases of one kind."""

    psnr: list[float] = field(default_factory=list)
    lpips: list[float] = field(default_factory=list)
    texture: list[float] = field(default_factory=list)
    seconds: float = 0.0
    megapixels: float = 0.0


def methods(plan: Plan, names: Sequence[str]) -> dict[str, Fill]:
    """The peers, the engines, and the route."""
    found: dict[str, Fill] = {
        name: (lambda case, name=name: diffuse(case.request.crop, case.request.hole, name))  # type: ignore[misc]
        for name in ("telea", "navier_stokes", "biharmonic")
    }
    engines = build_engines(
        plan.config.model_copy(update={"route": plan.config.route.model_copy(update={"engines": tuple(names)})}),
        plan.registry, "cpu",
    )  # fmt: skip
    for name, engine in engines.items():
        if name != "pde":  # which is one of the diffusion fills
            found[name] = lambda case, engine=engine: engine.fill([case.request])[0]  # type: ignore[misc]
    found["route"] = lambda case: _routed(case, plan)
    return found


def _routed(case: Case, plan: Plan) -> NDArray[np.uint8]:
    """The loop around route, fill, blend, regrain and verify; what it would send to review keeps its pixels."""
    image = Image(case.before, case.before, Carried("PNG", "image/png", "RGB"), b"")
    return attempts.run([attempts.Work(Job("case", image, seed=1), (case.region,))], plan)[0].rgb


def judge(case: Case, filled: NDArray[np.uint8], lpips: Lpips, scores: Scores) -> None:
    """Adds one result."""
    result = merge(case, filled)
    scores.psnr.append(min(60.0, psnr(result, case.truth, case.mask)))
    scores.lpips.append(lpips_round(case, filled, lpips))
    scores.texture.append(texture_ratio(result, case.mask, case.mask))


def run(
    cases: Sequence[Case], fills: dict[str, Fill], lpips: Lpips
) -> tuple[dict[tuple[str, str], Scores], dict[str, dict[str, NDArray[np.uint8]]]]:
    """All methods on all cases: scores by (kind, method), and the results by case and method."""
    table: dict[tuple[str, str], Scores] = defaultdict(Scores)
    results: dict[str, dict[str, NDArray[np.uint8]]] = defaultdict(dict)
    for case in cases:
        for name, fill in fills.items():
            scores = table[case.kind, name]
            started = time.perf_counter()
            filled = fill(case)
            scores.seconds += time.perf_counter() - started
            scores.megapixels += case.mask.size / 1e6
            judge(case, filled, lpips, scores)
            results[case.name][name] = filled
    return table, results


def rows_of(table: dict[tuple[str, str], Scores]) -> list[list[object]]:
    """One row per kind and method, text kinds together too."""
    groups: dict[str, list[str]] = {"all text kinds": list(TEXT_KINDS)} | {k: [k] for k, _ in table}
    names = list(dict.fromkeys(name for _, name in table))
    rows: list[list[object]] = []
    for label, kinds in groups.items():
        together = {name: pooled([table[k, name] for k in kinds if (k, name) in table]) for name in names}
        if not together["telea"].psnr:
            continue
        telea = together["telea"]
        for name, scores in together.items():
            gain = np.mean(scores.psnr) - np.mean(telea.psnr)
            rows.append(
                [
                    label, name, len(scores.psnr), f"{np.mean(scores.psnr):.2f}", f"{gain:+.2f}",
                    f"{np.mean(scores.lpips):.4f}", f"{np.mean(scores.lpips) / np.mean(telea.lpips):.2f}",
                    f"{np.median(scores.texture):.2f}", f"{scores.seconds / scores.megapixels:.2f}",
                ]
            )  # fmt: skip
    return rows


def pooled(parts: Sequence[Scores]) -> Scores:
    """All of them as one."""
    whole = Scores()
    for part in parts:
        whole.psnr += part.psnr
        whole.lpips += part.lpips
        whole.texture += part.texture
        whole.seconds += part.seconds
        whole.megapixels += part.megapixels
    return whole


def write_sheet(
    path: Path, cases: Sequence[Case], results: dict[str, dict[str, NDArray[np.uint8]]], count: int, side_px: int
) -> None:
    """Before, mask, every method and the truth side by side; the cases where the route is worst first."""
    ordered = sorted(cases, key=lambda case: psnr(results[case.name]["route"], case.truth, case.mask))[:count]
    strips = []
    for case in ordered:
        shown = {"before": case.before, "mask": np.repeat(255 * case.mask[..., None], 3, 2)}
        shown |= results[case.name] | {"truth": case.truth}
        tiles = []
        for name, picture in shown.items():
            tile = cv2.resize(picture, (side_px, side_px), interpolation=cv2.INTER_AREA)
            label = case.name if name == "before" else name
            if name in results[case.name]:
                label += f" {psnr(picture, case.truth, case.mask):.1f}"
            tiles.append(_labelled(np.ascontiguousarray(tile[..., ::-1]), label))
        strips.append(np.hstack(tiles))
    quality = [cv2.IMWRITE_WEBP_QUALITY, 85] if path.suffix == ".webp" else []
    cv2.imwrite(str(path), np.vstack(strips), quality)


def _labelled(tile: NDArray[np.uint8], label: str) -> NDArray[np.uint8]:
    for colour, width in (((0, 0, 0), 3), ((0, 255, 255), 1)):
        cv2.putText(tile, label, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, width, cv2.LINE_AA)
    return tile


def main() -> None:
    """Runs all methods on all cases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="folder of photographs never trained on")
    parser.add_argument("--names", type=Path, help="file with the names of those to take")
    parser.add_argument("--limit", type=int, help="photographs at most")
    parser.add_argument("--kinds", nargs="*", default=CASE_KINDS, choices=CASE_KINDS)
    parser.add_argument("--engines", nargs="*", default=[n for n in ENGINES if n not in ("lama", "latent")])
    parser.add_argument("--fonts", choices=["heldout", "train"], default="heldout")
    parser.add_argument("--set", action="append", default=[], metavar="a.b=c", help="settings, as of `cleanplate`")
    parser.add_argument("--sheet", type=Path, help="contact sheet to write, worst case of the route first")
    parser.add_argument("--cases", type=int, default=30, help="of the sheet")
    parser.add_argument("--side", type=int, default=256, help="of the sheet's tiles, pixels")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    config: Config = load_config(overrides=["models.threads=1", "models.device=cpu", *options.set])
    plan = Plan.load(config)
    known = set(options.names.read_text(encoding="utf-8").splitlines()) if options.names else None
    paths = [path for path in list_photographs([options.photos]) if known is None or path.name in known]
    cases = make_cases(paths[: options.limit], FontLibrary.load(options.fonts), options.kinds)
    table, results = run(cases, methods(plan, options.engines), Lpips.load(plan.registry))
    columns = ["kind", "method", "cases", "PSNR, dB", "over Telea", "LPIPS", "of Telea's", "texture", "s/MP"]
    print_table(columns, rows_of(table))
    if options.sheet:
        write_sheet(options.sheet, cases, results, options.cases, options.side)


if __name__ == "__main__":
    main()
