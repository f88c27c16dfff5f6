"""Measures the stroke network on photographs and fonts that it was not trained on, and prints tables in Markdown.

python training/evaluate_strokes.py --photos KODAK --sheet docs/strokes.webp --card
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from card import add_measures
from crops import list_photographs, read_rgb, split_photographs
from numpy.typing import NDArray
from sheet import Case, write_sheet

from cleanplate.config import DetectConfig
from cleanplate.detect.strokes import StrokeDetector
from cleanplate.evaluation.overlays import (
    FontLibrary,
    Overlay,
    OverlaySample,
    degrade,
    generate,
    sample_degradation,
    sample_style,
)
from cleanplate.models.stroke_net import KIND_CHANNELS, load_stroke_net
from cleanplate.records import Kind

ROOT = Path(__file__).resolve().parents[1]
THRESHOLDS = (0.3, 0.5)
_OVERLAYS: tuple[Kind, ...] = ("overlay_text", "handwriting", "stamp", "watermark")
_SMALL_PX = 16.0
_FOUND = 0.5  # share of an overlay's pixels that must be marked for it to count as found
_SIZES_PX = (16, 24, 40, 80, 1000)


@dataclass(frozen=True)
class Marked:
    """How one overlay was found: its style, its pixels, how many were marked at each threshold, the kind voted for."""

    overlay: Overlay
    pixels: int
    marked: tuple[int, ...]
    voted: str

    @property
    def recall(self) -> float:
        """Share of its pixels at the higher threshold."""
        return self.marked[-1] / max(1, self.pixels)


@dataclass(frozen=True)
class Picture:
    """Counts over one picture at each threshold: truth, truth grown by a pixel, marked, marked inside the grown."""

    label: str
    truth: int
    grown: int
    marked: tuple[int, ...]
    inside: tuple[int, ...]
    hit: tuple[int, ...]


def make_sample(photograph: NDArray[np.uint8], kind: Kind, seed: int, fonts: FontLibrary) -> OverlaySample:
    """Two overlays of one kind on a photograph, degraded (the size is kept)."""
    rng = np.random.default_rng([51, seed])
    sample = generate(photograph, seed, [sample_style(rng, kind) for _ in range(2)], fonts)
    how = sample_degradation(rng)
    return degrade(sample, type(how)(1.0, how.noise, how.sharpen, how.quality, how.halve_chroma), rng)


def count_picture(label: str, truth: NDArray[np.bool_], overlay_map: NDArray[np.float32]) -> Picture:
    """Counts the pixels of one picture.

    Args:
        label: row of the table.
        truth: bool (H, W), where strokes and their effects are.
        overlay_map: float32 (H, W), 0..1, the network's.
    """
    grown = cv2.dilate(truth.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    found = [overlay_map >= threshold for threshold in THRESHOLDS]
    return Picture(
        label,
        int(truth.sum()),
        int(grown.sum()),
        tuple(int(f.sum()) for f in found),
        tuple(int((f & grown).sum()) for f in found),
        tuple(int((f & truth).sum()) for f in found),
    )


def mark(overlay: Overlay, truth: NDArray[np.bool_], maps: NDArray[np.float32]) -> Marked:
    """Counts the pixels of one overlay that are still to be seen in `truth`."""
    own = (overlay.influence > 0.5) & truth[overlay.box.slices]
    inside = maps[(slice(None), *overlay.box.slices)]
    votes = [float(inside[1 + number][own].sum()) for number in range(len(KIND_CHANNELS))]
    marked = tuple(int((inside[0][own] >= threshold).sum()) for threshold in THRESHOLDS)
    return Marked(overlay, int(own.sum()), marked, KIND_CHANNELS[int(np.argmax(votes))])


def label_of(sample: OverlaySample, kind: Kind) -> str:
    """The row that a picture counts for; printed text by its smaller size."""
    if kind != "overlay_text":
        return kind
    sizes = [overlay.style.size_px for overlay in sample.overlays]
    return "overlay_text < 16 px" if min(sizes, default=99) < _SMALL_PX else "overlay_text >= 16 px"


def pixel_table(pictures: Sequence[Picture]) -> str:
    """Recall, precision and area by kind."""
    head = "| kind | recall at 0.3 | recall at 0.5 | precision at 0.3 | at 0.5 | area at 0.3 | at 0.5 |\n"
    rows = [head + "|---|---|---|---|---|---|---|"]
    for label in sorted({picture.label for picture in pictures}):
        own = [picture for picture in pictures if picture.label == label]
        truth, grown = sum(p.truth for p in own), sum(p.grown for p in own)
        marked, inside, hit = (np.sum([getattr(p, n) for p in own], axis=0) for n in ("marked", "inside", "hit"))
        values = [*(hit / max(1, truth)), *(inside / np.maximum(1, marked)), *(marked / max(1, grown))]
        rows.append(f"| {label} | " + " | ".join(f"{value:.3f}" for value in values) + " |")
    return "\n".join(rows)


def region_table(found: Sequence[Marked]) -> str:
    """Found and rightly named overlays by kind."""
    rows = ["| kind | regions | found | of those, kind right |", "|---|---|---|---|"]
    for kind in _OVERLAYS:
        own = [m for m in found if m.overlay.kind == kind]
        seen = [m for m in own if m.recall >= _FOUND]
        right = sum(m.voted == kind for m in seen) / max(1, len(seen))
        rows.append(f"| {kind} | {len(own)} | {len(seen) / max(1, len(own)):.3f} | {right:.3f} |")
    return "\n".join(rows)


def spread_table(found: Sequence[Marked]) -> str:
    """Share of regions found by size, angle, opacity and script."""
    rows = ["| by | value | regions | found | mean recall at 0.5 |", "|---|---|---|---|---|"]
    for name, value_of in _SPREADS.items():
        groups: dict[str, list[Marked]] = defaultdict(list)
        for one in found:
            groups[value_of(one)].append(one)
        for value, own in sorted(groups.items()):
            share = np.mean([one.recall >= _FOUND for one in own])
            mean = np.mean([one.recall for one in own])
            rows.append(f"| {name} | {value} | {len(own)} | {share:.3f} | {mean:.3f} |")
    return "\n".join(rows)


def _size(one: Marked) -> str:
    below = next(edge for edge in _SIZES_PX if one.overlay.style.size_px < edge)
    return f"< {below:4d} px"


def _angle(one: Marked) -> str:
    angle = abs(one.overlay.style.angle_deg)
    return "0" if angle < 1 else "1 to 20" if angle < 20 else "20 and more"


def _opacity(one: Marked) -> str:
    return f"{int(min(one.overlay.style.opacity, 0.999) * 4) * 25:2d} % and more"


_SPREADS: dict[str, Callable[[Marked], str]] = {
    "size": _size,
    "angle": _angle,
    "opacity": _opacity,
    "script": lambda one: one.overlay.style.script,
}


class Evaluation:
    """Runs the network over all cases and keeps the counts."""

    def __init__(self, detector: StrokeDetector, fonts: FontLibrary) -> None:
        """Starts empty."""
        self.detector = detector
        self.fonts = fonts
        self.pictures: list[Picture] = []
        self.found: list[Marked] = []
        self.cases: list[Case] = []
        self.wiped: list[float] = []
        self.clean: dict[str, list[float]] = defaultdict(list)
        self.seconds = 0.0
        self.megapixels = 0.0

    def maps(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The network's maps of one picture, timed."""
        start = time.perf_counter()
        maps = self.detector.probability_maps([picture])[0]
        self.seconds += time.perf_counter() - start
        self.megapixels += picture.shape[0] * picture.shape[1] / 1e6
        return maps

    def add_overlays(self, photograph: NDArray[np.uint8], kind: Kind, seed: int) -> None:
        """One case of a kind."""
        sample = make_sample(photograph, kind, seed, self.fonts)
        maps = self.maps(sample.picture)
        truth = sample.influence > 0.5
        self.pictures.append(count_picture(label_of(sample, kind), truth, maps[0]))
        own = [mark(overlay, truth, maps) for overlay in sample.overlays]
        self.found += [one for one in own if one.pixels >= 20]
        if truth.any():
            marked = maps[0] >= THRESHOLDS[-1]
            score = 2 * (marked & truth).sum() / max(1, marked.sum() + truth.sum())
            self.cases.append(Case(float(score), kind, sample.picture, sample.influence, maps[0]))

    def add_scene_text(self, photograph: NDArray[np.uint8], seed: int) -> None:
        """One case of writing that is to stay."""
        sample = make_sample(photograph, "scene_text", seed, self.fonts)
        overlay_map = self.maps(sample.picture)[0]
        for overlay in sample.overlays:
            own = overlay.influence > 0.5
            if own.sum() >= 20:
                self.wiped.append(float((overlay_map[overlay.box.slices][own] >= THRESHOLDS[-1]).mean()))

    def add_clean(self, name: str, photograph: NDArray[np.uint8]) -> None:
        """One photograph with nothing on it."""
        self.clean[name].append(float((self.maps(photograph)[0] >= THRESHOLDS[-1]).mean()))

    def report(self) -> str:
        """All tables, in Markdown."""
        wiped = np.array(self.wiped)
        lines = [
            "## Measured on held-out fonts",
            "Truth: pixels where strokes, outline, shadow or glow reach 0.5. Precision and area count against it, "
            "grown by one pixel; area is marked pixels over truth pixels, false ones elsewhere included.",
            pixel_table(self.pictures),
            f"A region is found where half of its pixels are marked at {THRESHOLDS[-1]}.",
            region_table(self.found),
            f"Drawn scene text: {len(wiped)} regions, {np.mean(wiped >= _FOUND):.3f} of them taken for overlays.",
            *(f"Nothing on it, {n}: {np.mean(v):.4f} of the pixels marked by mistake, {np.max(v):.4f} in the worst of "
              f"{len(v)}." for n, v in self.clean.items()),
            f"Speed: {self.seconds / self.megapixels:.2f} s per megapixel on {torch.get_num_threads()} thread(s) of a "
            "busy machine.",
            spread_table(self.found),
        ]  # fmt: skip
        return "\n\n".join(lines)


def run(args: argparse.Namespace) -> None:
    """Evaluates and writes what was asked for."""
    torch.set_num_threads(args.threads)
    detector = StrokeDetector(load_stroke_net(args.weights), DetectConfig())
    evaluation = Evaluation(detector, FontLibrary.load("heldout"))
    photographs = list_photographs([args.photos])
    for number, path in enumerate(photographs):
        photograph = read_rgb(path)
        evaluation.add_clean(args.photos.name, photograph)
        for offset, kind in enumerate(_OVERLAYS):
            evaluation.add_overlays(photograph, kind, 10 * number + offset)
        evaluation.add_scene_text(photograph, 10 * number + 9)
    for path in _heldout(args.train_photos):
        evaluation.add_clean("held-out training photographs", read_rgb(path))
    report = evaluation.report()
    print(report)
    if args.card:
        add_measures(args.weights.with_suffix(".md"), report)
    if args.sheet:
        write_sheet(args.sheet, sorted(evaluation.cases, key=lambda case: case.score)[: args.cases])


def _heldout(folders: Sequence[Path]) -> Iterable[Path]:
    return split_photographs(folders)[1] if folders else []


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="folder of photographs never trained on")
    parser.add_argument("--train-photos", type=Path, nargs="*", default=[], help="where the held-out ones lie")
    parser.add_argument("--weights", type=Path, default=ROOT / "lib/cleanplate/weights/strokes.safetensors")
    parser.add_argument("--sheet", type=Path, help="contact sheet to write, worst case first")
    parser.add_argument("--cases", type=int, default=24)
    parser.add_argument("--card", action="store_true", help="put the tables into the model card")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(parse())
