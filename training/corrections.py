"""Makes training crops of masks that reviewers corrected: `cleanplate review --export-masks` -> .npz beside the others.

    python training/corrections.py --masks masks --work .work/strokes

`train_strokes.py` draws from all crops in that folder. A corrected mask is what a person wants to go, a little wider
than the strokes, so it is thinned by what masks are at least dilated by. It says nothing of scene text and plates,
which stay empty in its truth: keep these crops a small share of all.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from crops import CROP_PX, Crop, crop_at, load_line_detector, write_crop
from numpy.typing import NDArray

from cleanplate.config import MaskConfig
from cleanplate.detect.ppocr import PpocrDetector
from cleanplate.evaluation.photographs import read_rgb
from cleanplate.models.stroke_net import CHANNELS, KIND_CHANNELS
from cleanplate.records import Box

MOST_CROPS = 8  # of one mask


def truth_of_mask(mask: NDArray[np.uint8], kind: str) -> NDArray[np.uint8]:
    """What the network learns of a corrected mask.

    Args:
        mask: uint8 (H, W), 255 = replace.
        kind: what it is; objects are no strokes, so they count as nothing.

    Returns:
        uint8 (7, H, W), 0..255, in the order of stroke_net.CHANNELS.
    """
    truth = np.zeros((len(CHANNELS), *mask.shape), np.uint8)
    if kind not in KIND_CHANNELS:
        return truth
    radius = MaskConfig().min_dilation_px
    thin = cv2.erode(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)))
    truth[0] = truth[1 + KIND_CHANNELS.index(kind)] = thin
    return truth


def cut_corrections(
    picture: NDArray[np.uint8], mask: NDArray[np.uint8], kind: str, line_detector: PpocrDetector
) -> list[Crop]:
    """Crops of CROP_PX around the parts of a mask, largest first.

    Args:
        picture: uint8 (H, W, 3), RGB; what is smaller than a crop is left out.
        mask: uint8 (H, W), 255 = replace.
        kind: what it is.
        line_detector: whose map and features the network is given.
    """
    height, width = mask.shape
    truth = truth_of_mask(mask, kind)
    if min(height, width) < CROP_PX or not truth.any():
        return []
    sight = line_detector.look([picture])[0]
    crops = []
    open_px = truth[0] > 127
    while open_px.any() and len(crops) < MOST_CROPS:
        _, _, stats, centres = cv2.connectedComponentsWithStats(open_px.astype(np.uint8))
        x, y = centres[1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))]
        top = int(np.clip(y - CROP_PX / 2, 0, height - CROP_PX))
        left = int(np.clip(x - CROP_PX / 2, 0, width - CROP_PX))
        box = Box(left, top, left + CROP_PX, top + CROP_PX)
        crops.append(crop_at(box, picture, truth, sight))
        left_over = open_px.copy()
        left_over[box.slices] = False
        if left_over.sum() == open_px.sum():  # a part so wide that its centre lies outside of it
            break
        open_px = left_over
    return crops


def read_corrections(folder: Path) -> Iterator[tuple[Path, Path, str]]:
    """Photograph, mask and kind of each row of masks.csv."""
    with (folder / "masks.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield Path(row["uri"].removeprefix("file://")), folder / row["mask"], row["kind"]


def main(argv: Sequence[str] | None = None) -> int:
    """Reads the command line; returns how many crops were written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--masks", type=Path, required=True, help="folder that `review --export-masks` wrote")
    parser.add_argument("--work", type=Path, default=Path(".work/strokes"), help="where train_strokes.py keeps crops")
    options = parser.parse_args(argv)
    out = options.work / "train"
    out.mkdir(parents=True, exist_ok=True)
    detector = load_line_detector()
    written = 0
    for number, (photograph, mask_path, kind) in enumerate(read_corrections(options.masks)):
        mask = cv2.imread(str(mask_path), cv2.IMREAD_GRAYSCALE)
        for part, crop in enumerate(cut_corrections(read_rgb(photograph), mask, kind, detector)):
            write_crop(out / f"corrected-{number:05d}-{part}.npz", crop)
            written += 1
    print(f"{written} crops in {out}")
    return written


if __name__ == "__main__":
    main()
