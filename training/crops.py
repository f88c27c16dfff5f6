"""Crops of photographs with overlays and their truth, made in the background and kept as files."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.config import load_config
from cleanplate.detect.ppocr import PpocrDetector
from cleanplate.evaluation.overlays import (
    FontLibrary,
    OverlaySample,
    degrade,
    generate,
    sample_degradation,
    sample_style,
)
from cleanplate.evaluation.photographs import list_photographs, read_boxes, read_rgb
from cleanplate.models.registry import Registry
from cleanplate.models.stroke_net import KIND_CHANNELS
from cleanplate.records import Box, Kind

CROP_PX = 256
CANVAS_PX = 512
_SIGN_SHARE = 0.2  # of the canvases that are cut around a real sign, where photographs have any
_INK_SHARE = 0.3  # of a sign's line that its strokes cover, more or less: their pixels are not known
_SEEN = 60  # of 255, in the truth: a real sign reaches 76
_LINES_PX = 640  # long side at which the line detector sees a canvas: scaled up as much as Kodak's pictures are
_KINDS: tuple[Kind, ...] = ("overlay_text", "handwriting", "stamp", "watermark")
_SHARES = (0.36, 0.20, 0.20, 0.24)
HELDOUT_LIST = Path(__file__).with_name("heldout_photos.txt")
SIGNS_LIST = Path(__file__).with_name("real_signs.csv")
EXCLUDED_LIST = Path(__file__).with_name("excluded_photos.txt")


def split_photographs(folders: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Photographs to train on, and those held out by name in heldout_photos.txt.

    Those of excluded_photos.txt are in neither: charts, logos and pictures that carry a caption of their own, whose
    overlays the truth would call background.
    """
    names, excluded = _names(HELDOUT_LIST), _names(EXCLUDED_LIST)
    photographs = [path for path in list_photographs(folders) if path.name not in excluded]
    return [p for p in photographs if p.name not in names], [p for p in photographs if p.name in names]


def _names(listed: Path) -> set[str]:
    return set(listed.read_text(encoding="utf-8").splitlines())


def read_signs() -> dict[str, list[Box]]:
    """Boxes of real signs and labels by the name of the photograph: found with PP-OCR, sorted by hand."""
    return {Path(name).name: boxes for name, boxes in read_boxes(SIGNS_LIST).items()}


def make_sign_canvas(
    photograph: NDArray[np.uint8], boxes: Sequence[Box], seed: int, fonts: FontLibrary, line_detector: PpocrDetector
) -> OverlaySample:
    """A degraded sample around one of a photograph's real signs, which the truth calls scene text."""
    rng = np.random.default_rng([79, seed])
    lines = line_detector.confidence_maps([photograph])[0]
    signs = np.zeros_like(lines)
    for box in boxes:
        signs[box.slices] = lines[box.slices]
    both = np.dstack([photograph, np.round(signs * 255).astype(np.uint8)])
    chosen = boxes[int(rng.integers(len(boxes)))]
    part = _part_around(both, chosen, rng)
    count = int(rng.integers(0, 3))
    styles = [sample_style(rng, _KINDS[int(i)]) for i in rng.choice(len(_KINDS), size=count, p=_SHARES)]
    sample = generate(np.ascontiguousarray(part[..., :3]), seed, styles, fonts)
    seen = part[..., 3].astype(np.float32) / 255 * _INK_SHARE * (1 - sample.alpha)
    known = sample.kinds.get("scene_text", np.zeros_like(seen))
    sample = replace(sample, kinds={**sample.kinds, "scene_text": np.maximum(known, seen)})
    return degrade(sample, sample_degradation(rng), rng)


def _part_around(picture: NDArray[np.uint8], box: Box, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A square of CANVAS_PX that holds the box, or most of it, at a random scale."""
    height, width = picture.shape[:2]
    smallest = CANVAS_PX / min(height, width)
    scale = max(smallest, float(np.exp(rng.uniform(np.log(0.5), np.log(1.6)))))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    scaled = np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=method), np.uint8)
    middle_x, middle_y = scale * (box.left + box.right) / 2, scale * (box.top + box.bottom) / 2
    left = int(np.clip(middle_x - rng.uniform(0.2, 0.8) * CANVAS_PX, 0, max(0, scaled.shape[1] - CANVAS_PX)))
    top = int(np.clip(middle_y - rng.uniform(0.2, 0.8) * CANVAS_PX, 0, max(0, scaled.shape[0] - CANVAS_PX)))
    return np.ascontiguousarray(scaled[top : top + CANVAS_PX, left : left + CANVAS_PX])


def make_canvas(photograph: NDArray[np.uint8], seed: int, fonts: FontLibrary) -> OverlaySample:
    """A degraded sample of about CANVAS_PX on a random part of a photograph."""
    rng = np.random.default_rng([77, seed])
    part = random_part(photograph, rng)
    count = 0 if rng.random() < 0.06 else int(rng.integers(1, 5))
    kinds = [_KINDS[int(i)] for i in rng.choice(len(_KINDS), size=count, p=_SHARES)]
    if rng.random() < 0.35:
        kinds += ["scene_text"] * int(rng.integers(1, 3))
    sample = generate(part, seed, [sample_style(rng, kind) for kind in kinds], fonts)
    return degrade(sample, sample_degradation(rng), rng)


def random_part(photograph: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A square of CANVAS_PX of a photograph at a random scale, perhaps flipped."""
    height, width = photograph.shape[:2]
    smallest = CANVAS_PX / min(height, width)
    scale = max(smallest, float(rng.uniform(smallest, 1.0))) if smallest < 1 else smallest * float(rng.uniform(1, 1.25))
    if scale != 1:
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        photograph = np.asarray(cv2.resize(photograph, None, fx=scale, fy=scale, interpolation=method), np.uint8)
    top = int(rng.integers(max(1, photograph.shape[0] - CANVAS_PX + 1)))
    left = int(rng.integers(max(1, photograph.shape[1] - CANVAS_PX + 1)))
    part = photograph[top : top + CANVAS_PX, left : left + CANVAS_PX]
    return np.ascontiguousarray(part[:, ::-1] if rng.random() < 0.5 else part)


def truth_of(sample: OverlaySample) -> NDArray[np.uint8]:
    """The maps that the network learns, uint8 (7, H, W), 0..255, in the order of stroke_net.CHANNELS."""
    empty = np.zeros_like(sample.influence)
    maps = [sample.influence, *(sample.kinds.get(kind, empty) for kind in KIND_CHANNELS), sample.plate]
    return np.round(np.clip(np.stack(maps), 0, 1) * 255).astype(np.uint8)


def load_line_detector(threads: int = 1) -> PpocrDetector:
    """PP-OCR's detector, whose map the network is given beside the picture."""
    config = load_config(overrides=[f"models.threads={threads}", f"detect.long_side_px={_LINES_PX}"])
    return PpocrDetector.build(config, Registry.load(config.models), "cpu")


def cut_crops(
    sample: OverlaySample, seed: int, line_detector: PpocrDetector
) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Up to four crops of CROP_PX with their truth; of empty ones one in four stays.

    Returns:
        Pairs of the picture with its line map, uint8 (H, W, 4), and the truth, uint8 (7, H, W).
    """
    rng = np.random.default_rng([78, seed])
    truth = truth_of(sample)
    lines = np.round(line_detector.confidence_maps([sample.picture])[0] * 255).astype(np.uint8)
    picture = np.dstack([sample.picture, lines])
    height, width = truth.shape[1:]
    crops = []
    for _ in range(4):
        top, left = int(rng.integers(height - CROP_PX + 1)), int(rng.integers(width - CROP_PX + 1))
        cut = (slice(top, top + CROP_PX), slice(left, left + CROP_PX))
        wanted = truth[(slice(None), *cut)]
        if (wanted > _SEEN).sum() > 60 or rng.random() < 0.25:
            crops.append((picture[cut].copy(), wanted.copy()))
    return crops


def fill_cache(photographs: Sequence[Path], fonts: FontLibrary, folder: Path, first_seed: int, count: int) -> None:
    """Writes crops as .npz (picture, truth) until the folder holds `count`; seeds that are there are skipped."""
    folder.mkdir(parents=True, exist_ok=True)
    line_detector = load_line_detector()
    signs = read_signs()
    with_signs = [path for path in photographs if path.name in signs]
    have, seed = len(list(folder.glob("*.npz"))), first_seed
    while have < count:
        if not (folder / f"{seed:07d}-0.npz").exists():
            rng = np.random.default_rng(seed)
            if with_signs and rng.random() < _SIGN_SHARE:
                path = with_signs[int(rng.integers(len(with_signs)))]
                sample = make_sign_canvas(read_rgb(path), signs[path.name], seed, fonts, line_detector)
            else:
                sample = make_canvas(read_rgb(photographs[int(rng.integers(len(photographs)))]), seed, fonts)
            for number, (picture, truth) in enumerate(cut_crops(sample, seed, line_detector)):
                path = folder / f"{seed:07d}-{number}.npz"
                write_arrays(path, picture=picture, truth=truth)
                have += 1
        seed += 1


def write_arrays(path: Path, **arrays: NDArray[np.uint8]) -> None:
    """An .npz, under another name first, so that a reader never sees half a file."""
    part = path.with_suffix(".part")
    with part.open("wb") as stream:
        np.savez(stream, **arrays)
    os.replace(part, path)


def wait_for(folder: Path, count: int, maker: BaseProcess, poll_s: float = 2.0) -> None:
    """Waits until a folder holds `count` crops that another process makes.

    Raises:
        RuntimeError: that process has ended with too few of them.
    """
    while True:
        ended = not maker.is_alive()  # asked first: its last crop may come between the two looks
        have = len(list(folder.glob("*.npz")))
        if have >= count:
            return
        if ended:
            raise RuntimeError(f"the maker of crops ended with code {maker.exitcode}: {have} of {count} in {folder}")
        time.sleep(poll_s)


def read_crop(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A crop's picture with its line map, uint8 (H, W, 4), and truth, uint8 (7, H, W)."""
    with np.load(path) as stored:
        return stored["picture"], stored["truth"]
