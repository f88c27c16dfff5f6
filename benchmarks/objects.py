"""Measures silhouettes of objects: pasted cut-outs with shadows, found from a box, a point and a rough brush.

    python benchmarks/objects.py --photos ../shared/data/kodak --from ../shared/data/train --sheet /tmp/objects.png

Cut-outs are parts of other photographs in random shapes, each brighter, darker or of another colour than the ground
as things are, with a shadow that falls to one side or lies under them.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from common import print_table
from numpy.typing import NDArray

from cleanplate.config import MaskConfig
from cleanplate.image import Carried, Image
from cleanplate.mask import build_masks
from cleanplate.records import Box, Detection, Job

HINTS = ("box", "brush", "point")


@dataclass(frozen=True)
class Pasted:
    """A picture with one object: uint8 (H, W, 3) RGB; the object and its shadow, bool (H, W); the object's box."""

    picture: NDArray[np.uint8]
    truth: NDArray[np.bool_]
    shadow: NDArray[np.bool_]
    box: Box


def paste(ground: NDArray[np.uint8], other: NDArray[np.uint8], rng: np.random.Generator) -> Pasted:
    """Pastes a cut-out of another photograph; about half of the cut-outs cast a shadow."""
    height, width = ground.shape[:2]
    side = int(rng.uniform(0.12, 0.4) * min(height, width))
    shape = blob(side, rng)
    top, left = int(rng.integers(8, height - side - 8)), int(rng.integers(8, width - side - 8))
    coverage = np.zeros((height, width), np.float32)
    coverage[top : top + side, left : left + side] = shape
    y, x = int(rng.integers(other.shape[0] - side)), int(rng.integers(other.shape[1] - side))
    thing = np.zeros_like(ground)
    thing[top : top + side, left : left + side] = other[y : y + side, x : x + side]
    shade = np.zeros((height, width), np.float32)
    if rng.random() < 0.6:
        shift = np.array([[1, 0, rng.uniform(-0.2, 0.2) * side], [0, 1, rng.uniform(0.05, 0.25) * side]])
        moved = cv2.warpAffine(coverage, shift, (width, height))
        shade = cv2.GaussianBlur(moved, (0, 0), rng.uniform(1.0, 4.0)) * float(rng.uniform(0.25, 0.6))
    lit = ground * (1 - shade[..., None])
    mixed = lit * (1 - coverage[..., None]) + thing * coverage[..., None]
    picture = np.clip(np.round(mixed), 0, 255).astype(np.uint8)
    rows, columns = np.flatnonzero((coverage > 0.5).any(axis=1)), np.flatnonzero((coverage > 0.5).any(axis=0))
    box = Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    return Pasted(picture, coverage > 0.5, (shade > 0.12) & (coverage <= 0.5), box)


def blob(side: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """A random closed shape, float32 (side, side), 0..1: a circle whose radius varies by a few harmonics."""
    angle = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    radius = np.ones_like(angle)
    for harmonic in range(2, 7):
        radius += rng.normal(0, 0.22 / harmonic) * np.cos(harmonic * angle + rng.uniform(0, 6.28))
    radius = radius / radius.max() * (side / 2 - 2)
    stretch = rng.uniform(0.55, 1, 2)
    points = side / 2 + np.stack([radius * np.cos(angle) * stretch[0], radius * np.sin(angle) * stretch[1]], axis=1)
    canvas = np.zeros((side, side), np.uint8)
    cv2.fillPoly(canvas, [np.round(points * 16).astype(np.int32)], 255, cv2.LINE_AA, shift=4)
    return (cv2.GaussianBlur(canvas, (0, 0), 0.7) / 255.0).astype(np.float32)


def detection_of(pasted: Pasted, hint: str, rng: np.random.Generator) -> Detection:
    """What a user would give: a box that is a little off, a rough brush, or a point."""
    height, width = pasted.truth.shape
    box = pasted.box
    if hint == "box":
        slack = np.round(rng.uniform(-0.01, 0.06, 4) * max(box.width, box.height)).astype(int)
        loose = Box(box.left - slack[0], box.top - slack[1], box.right + slack[2], box.bottom + slack[3])
        loose = loose.clip(width, height)
        return Detection("object", 1.0, loose, np.ones((loose.height, loose.width), np.float32), "given_box")
    ys, xs = np.nonzero(cv2.erode(pasted.truth.astype(np.uint8), np.ones((5, 5))))
    if hint == "point":
        x, y = int(np.median(xs)), int(np.median(ys))
        spot = Box(x, y, x + 1, y + 1)
        return Detection("object", 1.0, spot, np.ones((1, 1), np.float32), "given_box")
    reach = max(3, round(0.1 * max(box.width, box.height)))
    brush = cv2.dilate(pasted.truth.astype(np.uint8), np.ones((reach, reach), np.uint8))
    shift = np.array([[1, 0, rng.uniform(-0.5, 0.5) * reach], [0, 1, rng.uniform(-0.5, 0.5) * reach]])
    moved = cv2.warpAffine(brush, shift, (width, height), flags=cv2.INTER_NEAREST).astype(np.float32)
    rows, columns = np.flatnonzero(moved.any(axis=1)), np.flatnonzero(moved.any(axis=0))
    around = Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    return Detection("object", 1.0, around, moved[around.slices], "given_mask")


def mask_of(pasted: Pasted, detection: Detection) -> NDArray[np.bool_]:
    """The final mask, bool (H, W)."""
    job = Job("o", Image(pasted.picture, pasted.picture, Carried("PNG", "image/png", "RGB"), b""))
    regions = build_masks([job], [[detection]], MaskConfig(given="refine"))[0]
    mask = np.zeros(pasted.truth.shape, bool)
    for region in regions:
        mask[region.box.slices] |= region.core > 0
    return mask


def main() -> None:
    """Runs all cases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="grounds")
    parser.add_argument("--from", type=Path, required=True, dest="others", help="photographs that objects are cut from")
    parser.add_argument("--rounds", type=int, default=3, help="objects per photograph")
    parser.add_argument("--sheet", type=Path, help="contact sheet to write, worst first")
    options = parser.parse_args()
    grounds, others = (sorted(p for p in f.iterdir() if p.suffix in {".png", ".webp", ".jpg"})
                       for f in (options.photos, options.others))  # fmt: skip
    scores: dict[str, list[tuple[float, float, float]]] = {hint: [] for hint in HINTS}
    cases: list[tuple[float, NDArray[np.uint8]]] = []
    for number, path in enumerate(grounds):
        for turn in range(options.rounds):
            rng = np.random.default_rng([number, turn])
            other = cv2.imread(str(others[int(rng.integers(len(others)))]))[..., ::-1]
            pasted = paste(cv2.imread(str(path))[..., ::-1], other, rng)
            for hint in HINTS:
                mask = mask_of(pasted, detection_of(pasted, hint, rng))
                both = pasted.truth | pasted.shadow
                overlap = (mask & both).sum() / max(1, (mask | both).sum())
                plain = (mask & pasted.truth).sum() / max(1, (mask & ~pasted.shadow | pasted.truth).sum())
                shade = (mask & pasted.shadow).sum() / pasted.shadow.sum() if pasted.shadow.any() else np.nan
                scores[hint].append((float(overlap), float(plain), float(shade)))
                if hint == "box":
                    cases.append((float(overlap), _tile(pasted, mask)))
    rows: list[list[object]] = []
    for hint, values in scores.items():
        overlap, plain, shade = np.array(values).T
        rows.append([hint, len(values), f"{overlap.mean():.3f}", f"{np.median(overlap):.3f}", f"{plain.mean():.3f}",
                     f"{np.nanmean(shade):.3f}"])  # fmt: skip
    print_table(["hint", "objects", "mean IoU with shadow", "median", "mean IoU, object alone", "shadow covered"], rows)
    if options.sheet:
        worst = [tile for _, tile in sorted(cases, key=lambda case: case[0])[:24]]
        cv2.imwrite(str(options.sheet), np.vstack([np.hstack(worst[i : i + 4]) for i in range(0, len(worst), 4)]))


def _tile(pasted: Pasted, mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The picture with the mask's outline in green and the truth's in red, BGR."""
    shown = np.ascontiguousarray(pasted.picture[..., ::-1])
    for found, colour in ((pasted.truth | pasted.shadow, (0, 0, 255)), (mask, (0, 255, 0))):
        contours, _ = cv2.findContours(found.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(shown, contours, -1, colour, 2)
    return np.asarray(cv2.resize(shown, (420, 280)), np.uint8)


if __name__ == "__main__":
    main()
