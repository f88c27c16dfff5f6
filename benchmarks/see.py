"""Measures detection and masks on photographs and fonts that nothing was trained on, and prints tables in Markdown.

    python benchmarks/see.py --photos ../shared/data/kodak --sheet docs/see.webp

Every photograph gets two overlays of each kind in turn (held-out fonts, degraded by JPEG and noise). What counts is the
final mask, as the engines get it.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from common import print_table
from numpy.typing import NDArray

from cleanplate.config import Config, load_config
from cleanplate.detect import build_detectors, detect
from cleanplate.detect.base import Detector
from cleanplate.evaluation.overlays import (
    FontLibrary,
    Overlay,
    OverlaySample,
    degrade,
    generate,
    sample_degradation,
    sample_style,
)
from cleanplate.evaluation.photographs import list_photographs, read_boxes, read_rgb
from cleanplate.image import Carried, Image
from cleanplate.mask import build_masks
from cleanplate.models.registry import Registry
from cleanplate.records import Box, Job, Kind, Region

OVERLAYS: tuple[Kind, ...] = ("overlay_text", "handwriting", "stamp", "watermark")
SIGNS = Path(__file__).resolve().parents[1] / "training" / "real_signs.csv"
SMALL_PX = 16.0
FOUND_SHARE = 0.5  # of an overlay's pixels that the masks must cover for it to count as found
HIT_SHARE = 0.5  # of a region's core that must lie on an overlay for it to count as right
WIPED_SHARE = 0.05  # of a real sign's box that the masks must cover for it to count as wiped
NEAR_PX = 5  # a mask may reach this far beyond a stroke and still lie on it
SIZES_PX = (12, 16, 24, 40, 80, 1000)


@dataclass(frozen=True)
class Found:
    """One overlay: how many of its pixels are to be seen, how many the masks cover, and the kind that was said."""

    overlay: Overlay
    pixels: int
    covered: int
    said: str

    @property
    def recall(self) -> float:
        """Share of its pixels that the masks cover."""
        return self.covered / max(1, self.pixels)


@dataclass
class Counts:
    """Pixels and regions of the pictures of one row of the table."""

    strokes: int = 0
    covered: int = 0
    truth: int = 0
    masked: int = 0
    regions: int = 0
    right: int = 0
    overlays: int = 0
    found: int = 0


@dataclass
class Case:
    """One picture for the contact sheet."""

    score: float
    label: str
    picture: NDArray[np.uint8]
    confidence: NDArray[np.float32]
    mask: NDArray[np.float32]


@dataclass
class Totals:
    """What was counted over all pictures."""

    rows: dict[str, Counts] = field(default_factory=lambda: defaultdict(Counts))
    found: list[Found] = field(default_factory=list)
    cases: list[Case] = field(default_factory=list)
    plates: list[float] = field(default_factory=list)
    wiped: list[float] = field(default_factory=list)
    signs: dict[str, list[bool]] = field(default_factory=lambda: defaultdict(list))
    clean: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    megapixels: float = 0.0


class Eyes:
    """The stages that are measured: detection and masks."""

    def __init__(self, config: Config) -> None:
        """Loads the models."""
        self.config = config
        self.detectors: Sequence[Detector] = build_detectors(config, Registry.load(config.models), "cpu")
        self.totals = Totals()

    def regions(self, picture: NDArray[np.uint8]) -> list[Region]:
        """The regions of a picture, timed."""
        job = Job("eval", Image(picture, picture, Carried("PNG", "image/png", "RGB"), b""), rights="owned")
        started = time.perf_counter()
        detections = detect([job], self.detectors)
        middle = time.perf_counter()
        regions = build_masks([job], detections, self.config.mask)[0]
        self.totals.seconds["detect"] += middle - started
        self.totals.seconds["mask"] += time.perf_counter() - middle
        self.totals.megapixels += picture.shape[0] * picture.shape[1] / 1e6
        return regions

    def add_overlays(self, sample: OverlaySample, kind: Kind) -> None:
        """One picture with overlays of a kind."""
        regions = [region for region in self.regions(sample.picture) if region.kind in self.config.remove]
        mask = union(regions, sample.picture.shape[:2])
        strokes = sample.influence > 0.5
        truth = strokes | (sample.plate > 0.5)
        near = cv2.dilate(truth.astype(np.uint8), np.ones((2 * NEAR_PX + 1, 2 * NEAR_PX + 1), np.uint8)) > 0
        own = [found_of(overlay, truth, mask, regions) for overlay in sample.overlays]
        own = [one for one in own if one.pixels >= 20]
        counts = self.totals.rows[label_of(sample, kind)]
        counts.strokes += int(strokes.sum())
        counts.covered += int((strokes & (mask >= 0.5)).sum())
        counts.truth += int((cv2.dilate(truth.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0).sum())
        counts.masked += int((mask >= 0.5).sum())
        counts.regions += len(regions)
        counts.right += sum(near[r.box.slices][r.core > 0].mean() >= HIT_SHARE for r in regions if r.core.any())
        counts.overlays += len(own)
        counts.found += sum(one.recall >= FOUND_SHARE for one in own)
        self.totals.found += own
        for overlay in sample.overlays:
            plate = (sample.plate[overlay.box.slices] > 0.5) & (overlay.influence > 0.1)
            if overlay.style.plate > 0 and plate.sum() >= 20:
                self.totals.plates.append(float((mask[overlay.box.slices][plate] >= 0.5).mean()))
        hit = float((truth & (mask >= 0.5)).sum())
        score = 2 * hit / max(1.0, float(truth.sum() + (mask >= 0.5).sum()))
        confidence = np.zeros(mask.shape, np.float32)
        for region in regions:
            np.maximum(confidence[region.box.slices], region.confidence, out=confidence[region.box.slices])
        self.totals.cases.append(Case(score, kind, sample.picture, confidence, mask))

    def add_scene_text(self, sample: OverlaySample) -> None:
        """One picture with writing that is to stay."""
        regions = [region for region in self.regions(sample.picture) if region.kind in self.config.remove]
        mask = union(regions, sample.picture.shape[:2])
        for overlay in sample.overlays:
            own = overlay.influence > 0.5
            if own.sum() >= 20:
                self.totals.wiped.append(float((mask[overlay.box.slices][own] >= 0.5).mean()))

    def add_signs(self, name: str, picture: NDArray[np.uint8], boxes: Sequence[Box]) -> None:
        """One photograph with real signs and labels, which are to stay."""
        regions = [region for region in self.regions(picture) if region.kind in self.config.remove]
        mask = union(regions, picture.shape[:2])
        self.totals.signs[name] += [float(mask[box.slices].mean()) >= WIPED_SHARE for box in boxes]

    def add_clean(self, name: str, picture: NDArray[np.uint8]) -> None:
        """One photograph with nothing on it."""
        regions = [region for region in self.regions(picture) if region.kind in self.config.remove]
        self.totals.clean[name].append(float((union(regions, picture.shape[:2]) >= 0.5).mean()))


def union(regions: Iterable[Region], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The cores of several regions as one, float32 (H, W), 0 or 1."""
    mask = np.zeros(shape, np.float32)
    for region in regions:
        np.maximum(mask[region.box.slices], region.core, out=mask[region.box.slices])
    return mask


def found_of(
    overlay: Overlay, truth: NDArray[np.bool_], mask: NDArray[np.float32], regions: Sequence[Region]
) -> Found:
    """Counts the pixels of one overlay that are still to be seen in `truth`."""
    own = (overlay.influence > 0.5) & truth[overlay.box.slices]
    covered = own & (mask[overlay.box.slices] >= 0.5)
    votes: dict[str, float] = defaultdict(float)
    for region in regions:
        if region.box.intersects(overlay.box):
            votes[region.kind] += float((union([region], mask.shape)[overlay.box.slices] * own).sum())
    return Found(overlay, int(own.sum()), int(covered.sum()), max(votes, key=lambda kind: votes[kind], default="none"))


def make_sample(photograph: NDArray[np.uint8], kind: Kind, seed: int, fonts: FontLibrary) -> OverlaySample:
    """Two overlays of one kind on a photograph, degraded (the size is kept)."""
    rng = np.random.default_rng([51, seed])
    sample = generate(photograph, seed, [sample_style(rng, kind) for _ in range(2)], fonts)
    how = sample_degradation(rng)
    return degrade(sample, type(how)(1.0, how.noise, how.sharpen, how.quality, how.halve_chroma), rng)


def label_of(sample: OverlaySample, kind: Kind) -> str:
    """The row that a picture counts for; printed text by its smaller size."""
    if kind != "overlay_text":
        return kind
    sizes = [overlay.style.size_px for overlay in sample.overlays]
    return "overlay_text < 16 px" if min(sizes, default=99) < SMALL_PX else "overlay_text >= 16 px"


def kind_rows(rows: dict[str, Counts]) -> list[list[object]]:
    """One row per kind, and one over all."""
    total = Counts()
    for counts in rows.values():
        for name, value in vars(counts).items():
            setattr(total, name, getattr(total, name) + value)
    table: list[list[object]] = []
    for label, counts in [*sorted(rows.items()), ("all", total)]:
        table.append(
            [
                label,
                f"{counts.covered / max(1, counts.strokes):.3f}",
                f"{counts.masked / max(1, counts.truth):.2f}",
                counts.overlays,
                f"{counts.found / max(1, counts.overlays):.3f}",
                f"{counts.right / max(1, counts.regions):.3f}",
            ]
        )
    return table


def spread_rows(found: Sequence[Found]) -> list[list[object]]:
    """Share of overlays found by kind said, size, angle, opacity and script."""
    table: list[list[object]] = []
    for name, value_of in _SPREADS.items():
        groups: dict[str, list[Found]] = defaultdict(list)
        for one in found:
            groups[value_of(one)].append(one)
        for value, own in sorted(groups.items()):
            share = np.mean([one.recall >= FOUND_SHARE for one in own])
            table.append([name, value, len(own), f"{share:.3f}", f"{np.mean([one.recall for one in own]):.3f}"])
    return table


def _size(one: Found) -> str:
    return f"< {next(edge for edge in SIZES_PX if one.overlay.style.size_px < edge):4d} px"


def _angle(one: Found) -> str:
    angle = abs(one.overlay.style.angle_deg)
    return "0" if angle < 1 else "1 to 20" if angle < 20 else "20 and more"


def _opacity(one: Found) -> str:
    return f"{int(min(one.overlay.style.opacity, 0.999) * 4) * 25:2d} % and more"


_SPREADS: dict[str, Callable[[Found], str]] = {
    "size": _size,
    "angle": _angle,
    "opacity": _opacity,
    "script": lambda one: one.overlay.style.script,
    "design": lambda one: f"{one.overlay.kind}/{one.overlay.style.design}",
    "kind, said": lambda one: f"{one.overlay.kind}, {one.said}",
}


def write_sheet(path: Path, cases: Sequence[Case], tile: tuple[int, int] = (420, 280)) -> None:
    """Image, confidence map and mask of each case side by side, two cases per row."""
    strips = []
    for case in cases:
        maps = [np.repeat((255 * m[..., None]).astype(np.uint8), 3, 2) for m in (case.confidence, case.mask)]
        tiles = [cv2.resize(p, tile, interpolation=cv2.INTER_AREA) for p in (case.picture, *maps)]
        strip = np.ascontiguousarray(np.hstack(tiles)[..., ::-1])
        cv2.putText(strip, f"{case.label} {case.score:.2f}", (6, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (0, 255, 255), 2)
        strips.append(strip)
    if len(strips) % 2:
        strips.append(np.zeros_like(strips[0]))
    rows = [np.hstack(strips[start : start + 2]) for start in range(0, len(strips), 2)]
    cv2.imwrite(str(path), np.vstack(rows), [cv2.IMWRITE_WEBP_QUALITY, 80])


def report(totals: Totals) -> None:
    """Prints all tables."""
    columns = ["kind", "stroke recall", "area", "overlays", "region recall", "region precision"]
    print("\nStroke recall: pixels of strokes, outlines, shadows and glows under a mask of at least 0.5. Area: masked "
          "pixels over the truth (plates included) grown by one pixel.\n")  # fmt: skip
    print_table(columns, kind_rows(totals.rows))
    if totals.plates:
        plates = np.array(totals.plates)
        print(f"\nPlates behind lines: {len(plates)}, {np.mean(plates >= 0.9):.3f} of them covered to nine tenths, "
              f"{plates.mean():.3f} of a plate on average.")  # fmt: skip
    if totals.wiped:
        wiped = np.array(totals.wiped)
        print(f"\nDrawn scene text: {len(wiped)} regions, {np.mean(wiped >= FOUND_SHARE):.3f} wiped.")
    for name, signs in totals.signs.items():
        print(f"\nReal signs and labels, {name}: {len(signs)}, {np.mean(signs):.3f} wiped.")
    for name, shares in totals.clean.items():
        print(
            f"\nNothing on it, {name}: {np.mean(shares):.4f} of the pixels masked by mistake, "
            f"{np.mean(np.array(shares) > 0):.2f} of {len(shares)} pictures touched, {np.max(shares):.4f} of the worst."
        )
    parts = ", ".join(f"{name} {value / totals.megapixels:.2f}" for name, value in totals.seconds.items())
    print(f"\nSeconds per megapixel on {torch.get_num_threads()} thread(s): {parts}.\n")
    print_table(["by", "value", "overlays", "found", "mean recall"], spread_rows(totals.found))


def main() -> None:
    """Runs all cases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="folder of photographs never trained on")
    parser.add_argument("--clean", type=Path, nargs="*", default=[], help="more photographs with nothing on them")
    parser.add_argument("--signs", type=Path, help="folder that the paths in real_signs.csv start from")
    parser.add_argument("--names", type=Path, help="file with the names of those to take from --clean")
    parser.add_argument("--fonts", choices=["heldout", "train"], default="heldout")
    parser.add_argument("--set", action="append", default=[], metavar="a.b=c", help="settings, as of `cleanplate`")
    parser.add_argument("--limit", type=int, help="photographs at most")
    parser.add_argument("--sheet", type=Path, help="contact sheet to write, worst case first")
    parser.add_argument("--cases", type=int, default=24, help="of the sheet")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    eyes = Eyes(load_config(overrides=["models.threads=1", *options.set]))
    fonts = FontLibrary.load(options.fonts)
    for number, path in enumerate(listed(options.photos, None, options.limit)):
        photograph = read_rgb(path)
        eyes.add_clean(options.photos.name, photograph)
        for offset, kind in enumerate(OVERLAYS):
            eyes.add_overlays(make_sample(photograph, kind, 10 * number + offset, fonts), kind)
        eyes.add_scene_text(make_sample(photograph, "scene_text", 10 * number + 9, fonts))
    for name, boxes in sorted(read_boxes(SIGNS).items()):
        path = options.signs / name if options.signs else None
        if path is not None and path.exists():
            eyes.add_signs(path.parent.name, read_rgb(path), boxes)
    for folder in options.clean:
        for path in listed(folder, options.names, options.limit):
            eyes.add_clean(folder.name, read_rgb(path))
    report(eyes.totals)
    if options.sheet:
        write_sheet(options.sheet, sorted(eyes.totals.cases, key=lambda case: case.score)[: options.cases])


def listed(folder: Path, names: Path | None, limit: int | None) -> list[Path]:
    """The photographs of a folder, or those of them that a file names."""
    known = set(names.read_text(encoding="utf-8").splitlines()) if names else None
    return [path for path in list_photographs([folder]) if known is None or path.name in known][:limit]


if __name__ == "__main__":
    main()
