r"""Measures silhouettes of objects: pasted cut-outs with shadows, found from a box, a point and a rough brush.

    python benchmarks/objects.py --photos ../shared/data/kodak --from ../shared/data/train \
        --names training/heldout_photos.txt --sheet /tmp/objects.png

Cut-outs are parts of other photographs in random shapes or in the outlines of pictographs held out from training, with
a shadow that falls to one side or lies under them. Overlaps are those of the silhouette; the final mask has a margin
(`mask.object_margin_share`), of which the share of the object under it is told.
GrabCut without the network is measured in the same run.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np
from common import print_table
from numpy.typing import NDArray

from cleanplate.config import MaskConfig, load_config
from cleanplate.evaluation.objects import HINTS, Pasted, hint_at, paste, pictographs
from cleanplate.evaluation.photographs import read_rgb
from cleanplate.image import Carried, Image
from cleanplate.mask import build_masks
from cleanplate.mask.segmenters import GrabCut, Segmenter, build_segmenter
from cleanplate.models.registry import Registry
from cleanplate.records import Detection, Job

SHAPES = ("blob", "thing")


def mask_of(pasted: Pasted, detection: Detection, segmenter: Segmenter, margin_share: float) -> NDArray[np.bool_]:
    """The mask, bool (H, W), with a margin round the silhouette."""
    job = Job("o", Image(pasted.picture, pasted.picture, Carried("PNG", "image/png", "RGB"), b""))
    config = MaskConfig(given="refine", object_margin_share=margin_share)
    regions = build_masks([job], [[detection]], config, segmenter)[0]
    mask = np.zeros(pasted.truth.shape, bool)
    for region in regions:
        mask[region.box.slices] |= region.core > 0
    return mask


def cases(options: argparse.Namespace) -> Iterator[tuple[str, Pasted, np.random.Generator]]:
    """A shape, a picture with an object of that shape, and the chance for its hints."""
    named = set(options.names.read_text().splitlines()) if options.names else None
    grounds, others = (sorted(p for p in f.iterdir() if p.suffix in {".png", ".webp", ".jpg"})
                       for f in (options.photos, options.others))  # fmt: skip
    others = [path for path in others if named is None or path.name in named]
    things = pictographs("heldout")
    for number, path in enumerate(grounds):
        for turn in range(options.rounds):
            for shape in SHAPES:
                rng = np.random.default_rng([number, turn])
                other = read_rgb(others[int(rng.integers(len(others)))])
                outline = things[int(rng.integers(len(things)))][..., 3] / np.float32(255) if shape == "thing" else None
                yield shape, paste(read_rgb(path), other, rng, outline), rng


def scores_of(pasted: Pasted, mask: NDArray[np.bool_]) -> tuple[float, float, float]:
    """Intersection over union with the shadow, without it, and the share of the shadow that is covered."""
    both = pasted.truth | pasted.shadow
    overlap = (mask & both).sum() / max(1, (mask | both).sum())
    plain = (mask & pasted.truth).sum() / max(1, (mask & ~pasted.shadow | pasted.truth).sum())
    shade = (mask & pasted.shadow).sum() / pasted.shadow.sum() if pasted.shadow.any() else np.nan
    return float(overlap), float(plain), float(shade)


def rows_of(scores: Mapping[tuple[str, ...], list[tuple[float, ...]]]) -> list[list[object]]:
    """One row per shape, hint and segmenter."""
    rows: list[list[object]] = []
    for name, values in sorted(scores.items()):
        overlap, plain, shade, covered, spent = np.array(values).T
        rows.append([*name, len(values), f"{overlap.mean():.3f}", f"{np.median(overlap):.3f}",
                     f"{(overlap < 0.5).mean():.2f}", f"{plain.mean():.3f}", f"{np.nanmean(shade):.3f}",
                     f"{covered.mean():.3f}", f"{1000 * np.median(spent):.0f}"])  # fmt: skip
    return rows


def main() -> None:
    """Runs all cases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="grounds")
    parser.add_argument("--from", type=Path, required=True, dest="others", help="photographs that objects are cut from")
    parser.add_argument("--names", type=Path, help="file with the names of those of them that are taken")
    parser.add_argument("--rounds", type=int, default=2, help="objects per photograph and shape")
    parser.add_argument("--sheet", type=Path, help="contact sheet to write, worst first")
    options = parser.parse_args()
    config = load_config(overrides=["models.device=cpu"])
    segmenters = {"GrabCut": GrabCut(), "network": build_segmenter(config, Registry.load(config.models), "cpu")}
    scores: dict[tuple[str, ...], list[tuple[float, ...]]] = {}
    tiles: list[tuple[float, NDArray[np.uint8]]] = []
    for shape, pasted, rng in cases(options):
        for hint in HINTS:
            detection = hint_at(pasted, hint, rng)
            for name, segmenter in segmenters.items():
                begun = time.perf_counter()
                mask = mask_of(pasted, detection, segmenter, 0.0)
                spent = time.perf_counter() - begun
                reached = scores_of(pasted, mask)
                final = mask_of(pasted, detection, segmenter, config.mask.object_margin_share)
                covered = float((final & pasted.truth).sum() / pasted.truth.sum())
                scores.setdefault((shape, hint, name), []).append((*reached, covered, spent))
                if hint == "box" and name == "network":
                    tiles.append((reached[0], _tile(pasted, mask)))
    print_table(["shape", "hint", "by", "objects", "mean IoU with shadow", "median", "below 0.5",
                 "mean IoU, object alone", "shadow covered", "object under the final mask", "ms"],
                rows_of(scores))  # fmt: skip
    if options.sheet:
        worst = [tile for _, tile in sorted(tiles, key=lambda case: case[0])[:24]]
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
