"""Measures un-blending on see-through watermarks whose opacity and colour are known; prints tables in Markdown.

    python benchmarks/unblend.py --photos ../shared/data/kodak --sheet docs/unblend.webp

Each photograph gets watermarks of 15 to 60 % opacity (held-out fonts), some of the pictures then JPEGs. First every
method gets the true mask (alpha > 0) dilated by one pixel; then the masks that the detector itself found, judged over
the true mask dilated by three pixels and what was masked besides. "left alone" is the picture as it was, "known mark"
inverts the compositing with the true opacity and colour: what rounding and JPEG leave of it.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from common import print_table
from numpy.typing import NDArray

from cleanplate.config import Config, load_config
from cleanplate.detect import build_detectors, detect
from cleanplate.evaluation.cases import Case, lpips_round, merge
from cleanplate.evaluation.overlays import Degradation, FontLibrary, OverlaySample, degrade, generate, sample_style
from cleanplate.evaluation.photographs import list_photographs, read_rgb
from cleanplate.fill import build_engines
from cleanplate.fill.base import FillRequest
from cleanplate.fill.opacity import invert
from cleanplate.fill.pde import diffuse
from cleanplate.fill.unblend import UnblendEngine
from cleanplate.image import Carried, Image
from cleanplate.mask import build_masks
from cleanplate.metrics.lpips import Lpips
from cleanplate.metrics.psnr import psnr
from cleanplate.metrics.texture import texture_ratio
from cleanplate.models.registry import Registry
from cleanplate.records import Box, Job

_SIDE_PX = 256
_LONGEST_PX = 1000
_OPACITY = (0.15, 0.6)
_MOST_SHARE = 0.6
_TRIES = 12
_HIT_SHARE = 0.3  # of a region's core that must lie on the mark
BANDS = (0.3, 0.45, 0.6)

Fill = Callable[["Marked"], NDArray[np.uint8]]


@dataclass(frozen=True)
class Marked:
    """A window of a photograph with a watermark.

    Attributes:
        case: the window; its mask is what is judged.
        alpha: float32 (H, W): the soft mask that the engines get.
        core: uint8 (H, W): the hard one.
        opacity: float32 (H, W): the mark's.
        ink: float32 (H, W, 3): its premultiplied colour.
        design: of the mark.
        strength: its opacity where it covers wholly.
        quality: of the JPEG, 0 for none.
    """

    case: Case
    alpha: NDArray[np.float32]
    core: NDArray[np.uint8]
    opacity: NDArray[np.float32]
    ink: NDArray[np.float32]
    design: str
    strength: float
    quality: int

    @property
    def request(self) -> FillRequest:
        """What an engine gets."""
        return FillRequest(self.case.before, self.alpha, self.core, self.core, 1, "watermark")


@dataclass
class Scores:
    """What one method reached on some cases."""

    psnr: list[float] = field(default_factory=list)
    lpips: list[float] = field(default_factory=list)
    texture: list[float] = field(default_factory=list)
    seconds: float = 0.0
    megapixels: float = 0.0


def make_sample(
    photograph: NDArray[np.uint8], number: int, fonts: FontLibrary
) -> tuple[OverlaySample, Box, int] | None:
    """A picture with one watermark, the window round it, and the quality of its JPEG; every third is one."""
    for attempt in range(_TRIES):
        rng = np.random.default_rng([71, number, attempt])
        style = replace(sample_style(rng, "watermark", 90.0), opacity=float(rng.uniform(*_OPACITY)))
        sample = generate(photograph, int(rng.integers(1 << 30)), [style], fonts)
        if not sample.overlays:
            continue
        box = sample.overlays[0].box
        window = _window((box.left + box.right) // 2, (box.top + box.bottom) // 2, photograph.shape)
        if not 0.005 < (sample.alpha[window.slices] > 0).mean() <= _MOST_SHARE:
            continue
        quality = int(rng.integers(60, 96)) if number % 3 == 2 else 0
        if quality:
            sample = degrade(sample, Degradation(quality=quality, halve_chroma=bool(rng.random() < 0.7)), rng)
        return sample, window, quality
    return None


def _window(x: int, y: int, shape: tuple[int, ...]) -> Box:
    left, top = (int(np.clip(c - _SIDE_PX // 2, 0, max(0, s - _SIDE_PX))) for c, s in ((x, shape[1]), (y, shape[0])))
    return Box(left, top, min(shape[1], left + _SIDE_PX), min(shape[0], top + _SIDE_PX))


def cut(
    sample: OverlaySample, window: Box, name: str, quality: int,
    masks: tuple[NDArray[np.float32], NDArray[np.uint8]] | None = None,
) -> Marked:
    """The window of a sample, with the true mask or with given ones (alpha and core of the whole picture)."""
    part = window.slices
    true = _grown(sample.alpha > 0, 1 if masks is None else 3)[part]
    alpha, core = (true.astype(np.float32), true) if masks is None else (masks[0][part], masks[1][part])
    judged = np.ascontiguousarray(np.maximum(true, (alpha > 0).astype(np.uint8)))
    before, truth = (np.ascontiguousarray(picture[part]) for picture in (sample.picture, sample.clean))
    style = sample.overlays[0].style
    return Marked(
        Case(name, "watermark", before, truth, judged), np.ascontiguousarray(alpha), np.ascontiguousarray(core),
        sample.alpha[part], sample.ink[part], style.design, style.opacity, quality,
    )  # fmt: skip


def _grown(mask: NDArray[np.bool_], radius_px: int) -> NDArray[np.uint8]:
    return cv2.dilate(mask.astype(np.uint8), np.ones((2 * radius_px + 1,) * 2, np.uint8))


class Eyes:
    """Detection and masks, as the pipeline has them."""

    def __init__(self, config: Config, registry: Registry) -> None:
        """Loads the detectors."""
        self._config = config
        self._detectors = build_detectors(config, registry, "cpu")

    def masks(self, sample: OverlaySample) -> tuple[NDArray[np.float32], NDArray[np.uint8]] | None:
        """Alpha and core of what was found on the mark; None where nothing was."""
        job = Job("x", Image(sample.picture, sample.picture, Carried("PNG", "image/png", "RGB"), b""), rights="owned")
        regions = build_masks([job], detect([job], self._detectors), self._config.mask)[0]
        alpha, core = np.zeros(sample.alpha.shape, np.float32), np.zeros(sample.alpha.shape, np.uint8)
        near, found = _grown(sample.alpha > 0, 3) > 0, False
        for region in regions:
            if region.core.any() and near[region.box.slices][region.core > 0].mean() >= _HIT_SHARE:
                np.maximum(alpha[region.box.slices], region.alpha, out=alpha[region.box.slices])
                core[region.box.slices] |= region.core
                found = True
        return (alpha, core) if found else None


def known_mark(marked: Marked) -> NDArray[np.uint8]:
    """The compositing undone with the true opacity and colour."""
    opacity = marked.opacity[..., None]
    colour = marked.ink / np.maximum(opacity, 1e-3)
    return np.rint(invert(marked.case.before.astype(np.float32), marked.opacity, colour)).astype(np.uint8)


def methods(config: Config, registry: Registry, texture: bool) -> dict[str, Fill]:
    """All that is compared."""
    names = ("network", "texture") if texture else ("network",)
    route = config.route.model_copy(update={"engines": names})
    engines = {**build_engines(config.model_copy(update={"route": route}), registry, "cpu")}
    for prior in ("pde", "network"):
        own = config.model_copy(update={"fill": config.fill.model_copy(update={"unblend_prior": prior})})
        engines[f"unblend over {prior}"] = UnblendEngine.build(own, registry, "cpu")
    return {
        "left alone": lambda marked: marked.case.before,
        "telea": lambda marked: diffuse(marked.case.before, marked.request.hole, "telea"),
        **{name: (lambda marked, engine=engine: engine.fill([marked.request])[0]) for name, engine in engines.items()},
        "known mark": known_mark,
    }  # type: ignore[dict-item]


def measure(cases: Sequence[Marked], fills: dict[str, Fill], lpips: Lpips) -> tuple[dict, dict]:
    """Scores by (group, method), results by (name, method)."""
    table: dict[tuple[str, str], Scores] = defaultdict(Scores)
    results: dict[str, dict[str, NDArray[np.uint8]]] = defaultdict(dict)
    for marked in cases:
        band = next((top for top in BANDS if marked.strength <= top), BANDS[-1])
        groups = ("all", f"up to {100 * band:.0f} %", "JPEG" if marked.quality else "lossless")
        for name, fill in fills.items():
            started = time.perf_counter()
            filled = fill(marked)
            seconds = time.perf_counter() - started
            outside = marked.alpha[..., None] <= 0
            filled = np.where(outside, marked.case.before, filled) if name != "known mark" else filled
            result = merge(marked.case, filled)
            near = lpips_round(marked.case, filled, lpips)
            for group in groups:
                scores = table[group, name]
                scores.psnr.append(min(60.0, psnr(result, marked.case.truth, marked.case.mask)))
                scores.lpips.append(near)
                scores.texture.append(texture_ratio(result, marked.case.mask, marked.case.mask))
                scores.seconds += seconds
                scores.megapixels += marked.case.mask.size / 1e6
            results[marked.case.name][name] = result
    return table, results


def report(title: str, table: dict[tuple[str, str], Scores]) -> None:
    """One row per group and method."""
    print(f"\n### {title}\n")
    rows: list[list[object]] = []
    groups = list(dict.fromkeys(group for group, _ in table))
    for group in sorted(groups, key=lambda group: (group != "all", group)):
        for name in (name for each, name in table if each == group):
            scores, telea = table[group, name], table[group, "telea"]
            rows.append(
                [
                    group, name, len(scores.psnr), f"{np.mean(scores.psnr):.2f}", f"{np.min(scores.psnr):.1f}",
                    f"{np.mean(scores.lpips):.4f}", f"{np.mean(scores.lpips) / np.mean(telea.lpips):.2f}",
                    f"{np.median(scores.texture):.2f}", f"{scores.seconds / scores.megapixels:.2f}",
                ]
            )  # fmt: skip
    print_table(["cases", "method", "n", "PSNR, dB", "worst", "LPIPS", "of Telea's", "texture", "s/MP"], rows)


def write_sheet(path: Path, cases: Sequence[Marked], results: dict, shown: str, count: int) -> None:
    """Before, mask, every method and the truth, the cases where `shown` is worst first."""
    ordered = sorted(cases, key=lambda m: psnr(results[m.case.name][shown], m.case.truth, m.case.mask))[:count]
    strips = []
    for marked in ordered:
        case = marked.case
        tiles = {"before": case.before, "mask": np.repeat(np.uint8(255 * marked.alpha)[..., None], 3, 2)}
        tiles |= {k: v for k, v in results[case.name].items() if k != "left alone"} | {"truth": case.truth}
        labelled = []
        for name, picture in tiles.items():
            tile = np.zeros((_SIDE_PX, _SIDE_PX, 3), np.uint8)
            tile[: picture.shape[0], : picture.shape[1]] = picture[..., ::-1]
            text = f"{case.name} {marked.strength:.2f}" if name == "before" else name
            if name in results[case.name]:
                text += f" {psnr(picture, case.truth, case.mask):.1f}"
            for colour, width in (((0, 0, 0), 3), ((0, 255, 255), 1)):
                cv2.putText(tile, text, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.4, colour, width, cv2.LINE_AA)
            labelled.append(tile)
        strips.append(np.hstack(labelled))
    cv2.imwrite(str(path), np.vstack(strips), [cv2.IMWRITE_WEBP_QUALITY, 85] if path.suffix == ".webp" else [])


def main() -> None:
    """Runs all methods on all cases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="folder of photographs never trained on")
    parser.add_argument("--names", type=Path, help="file with the names of those to take")
    parser.add_argument("--limit", type=int, help="photographs at most")
    parser.add_argument("--rounds", type=int, default=1, help="watermarks per photograph")
    parser.add_argument("--fonts", choices=["heldout", "train"], default="heldout")
    parser.add_argument("--no-own", action="store_true", help="only true masks")
    parser.add_argument("--no-texture", action="store_true", help="without the slow texture engine")
    parser.add_argument("--set", action="append", default=[], metavar="a.b=c", help="settings, as of `cleanplate`")
    parser.add_argument("--sheet", type=Path, help="contact sheet of the true masks to write, worst first")
    parser.add_argument("--cases", type=int, default=20, help="of the sheet")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    config = load_config(overrides=["models.threads=1", "models.device=cpu", *options.set])
    registry, fonts = Registry.load(config.models), FontLibrary.load(options.fonts)
    known = set(options.names.read_text(encoding="utf-8").splitlines()) if options.names else None
    paths = [p for p in list_photographs([options.photos]) if known is None or p.name in known][: options.limit]
    eyes = None if options.no_own else Eyes(config, registry)
    true, own, missed = [], [], 0
    for number, path in enumerate(paths):
        photograph = _smaller(read_rgb(path))
        for again in range(options.rounds):
            made = make_sample(photograph, options.rounds * number + again, fonts)
            if made is None:
                continue
            sample, window, quality = made
            true.append(cut(sample, window, f"{path.stem} {again}", quality))
            masks = eyes.masks(sample) if eyes is not None else None
            missed += masks is None
            if masks is not None and (masks[0][window.slices] > 0).any():
                own.append(cut(sample, window, f"{path.stem} {again}", quality, masks))
    fills, lpips = methods(config, registry, not options.no_texture), Lpips.load(registry)
    table, results = measure(true, fills, lpips)
    report("True masks", table)
    if options.sheet:
        write_sheet(options.sheet, true, results, "unblend over network", options.cases)
    if own:
        table, results = measure(own, fills, lpips)
        report(f"The detector's own masks ({missed} of {len(true)} marks were not found)", table)
        if options.sheet:
            path = options.sheet.with_stem(options.sheet.stem + "-own")
            write_sheet(path, own, results, "unblend over network", options.cases)


def _smaller(photograph: NDArray[np.uint8]) -> NDArray[np.uint8]:
    scale = _LONGEST_PX / max(photograph.shape[:2])
    if scale >= 1:
        return photograph
    return np.asarray(cv2.resize(photograph, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


if __name__ == "__main__":
    main()
