"""Crops of photographs with holes and the cheap fills of them, made in the background and kept as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from crops import write_arrays
from numpy.typing import NDArray

from cleanplate.evaluation.holes import free_form, solid
from cleanplate.evaluation.overlays import FontLibrary, generate, sample_style
from cleanplate.evaluation.photographs import read_rgb
from cleanplate.fill.network import base_fills
from cleanplate.records import Kind
from cleanplate.ring import dilate

SIDE_PX = 96
CROPS_PER_FILE = 64
_CANVAS_PX = 448
_LEAST, _MOST = 0.012, 0.4  # share of a crop that its hole covers
_TEXT_SHARE, _FREE_SHARE = 0.65, 0.2
_MASKS_PER_CANVAS = 8
_KINDS: tuple[Kind, ...] = ("overlay_text", "handwriting", "stamp", "watermark")
_JPEG_SHARE = 0.3


def text_holes(seed: int, fonts: FontLibrary) -> list[NDArray[np.uint8]]:
    """Windows of a canvas of overlays: where any of their opacity lies, dilated by 0 to 3 px.

    Returns:
        uint8 (SIDE_PX, SIDE_PX), 0 or 1; perhaps none.
    """
    rng = np.random.default_rng([81, seed])
    ground = rng.integers(0, 256, (_CANVAS_PX, _CANVAS_PX, 3), dtype=np.uint8)
    kinds = [_KINDS[int(number)] for number in rng.integers(len(_KINDS), size=int(rng.integers(2, 6)))]
    sample = generate(ground, seed, [sample_style(rng, kind) for kind in kinds], fonts)
    mask = dilate((sample.alpha > 0).astype(np.uint8), int(rng.integers(0, 4)))
    found = []
    for _ in range(4 * _MASKS_PER_CANVAS):
        top, left = rng.integers(_CANVAS_PX - SIDE_PX + 1, size=2)
        window = mask[top : top + SIDE_PX, left : left + SIDE_PX]
        if _LEAST <= window.mean() <= _MOST and len(found) < _MASKS_PER_CANVAS:
            found.append(window.copy())
    return found


def make_truths(photograph: NDArray[np.uint8], count: int, rng: np.random.Generator) -> list[NDArray[np.uint8]]:
    """Crops, uint8 (SIDE_PX, SIDE_PX, 3), of a photograph at a random scale, some of them JPEGs."""
    smallest = 2 * SIDE_PX / min(photograph.shape[:2])
    longest = max(photograph.shape[:2])
    low = max(smallest, 0.35 if longest > 1000 else 0.7)
    scale = float(np.exp(rng.uniform(np.log(low), 0.0))) if low < 1 else 1.0
    if scale < 1:
        photograph = np.asarray(cv2.resize(photograph, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
    truths = []
    for _ in range(count):
        top = int(rng.integers(photograph.shape[0] - SIDE_PX + 1))
        left = int(rng.integers(photograph.shape[1] - SIDE_PX + 1))
        crop = np.ascontiguousarray(photograph[top : top + SIDE_PX, left : left + SIDE_PX])
        if rng.random() < _JPEG_SHARE:
            quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(55, 96))]
            crop = cv2.imdecode(cv2.imencode(".jpg", crop, quality)[1], cv2.IMREAD_COLOR)
        truths.append(np.asarray(crop, np.uint8))
    return truths


def fill_cache(photographs: Sequence[Path], fonts: FontLibrary, folder: Path, first_seed: int, files: int) -> None:
    """Writes files of CROPS_PER_FILE crops (truth, hole, fills) until there are `files`; those that are there stay."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        path = folder / f"{first_seed + number:06d}.npz"
        if path.exists():
            continue
        rng = np.random.default_rng([82, first_seed + number])
        masks = _masks(first_seed + number, fonts, rng)
        truths: list[NDArray[np.uint8]] = []
        while len(truths) < CROPS_PER_FILE:
            photograph = read_rgb(photographs[int(rng.integers(len(photographs)))])
            truths += make_truths(photograph, 8, rng)
        truths = truths[:CROPS_PER_FILE]
        fills = [base_fills(truth, hole) for truth, hole in zip(truths, masks, strict=True)]
        write_arrays(path, truth=np.stack(truths), hole=np.stack(masks), fills=np.stack(fills))


def _masks(seed: int, fonts: FontLibrary, rng: np.random.Generator) -> list[NDArray[np.uint8]]:
    masks: list[NDArray[np.uint8]] = []
    canvas = 0
    while len(masks) < round(_TEXT_SHARE * CROPS_PER_FILE):
        masks += text_holes(1000 * seed + canvas, fonts)
        canvas += 1
    masks = masks[: round(_TEXT_SHARE * CROPS_PER_FILE)]
    while len(masks) < CROPS_PER_FILE:
        draw = free_form if len(masks) < round((_TEXT_SHARE + _FREE_SHARE) * CROPS_PER_FILE) else solid
        mask = draw(SIDE_PX, SIDE_PX, rng)
        if _LEAST <= mask.mean() <= _MOST:
            masks.append(mask)
    return masks
