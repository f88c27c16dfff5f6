"""Crops of photographs with overlays and their truth, made in the background and kept as files."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.config import load_config
from cleanplate.detect import db
from cleanplate.detect.ppocr import PpocrDetector, Sight
from cleanplate.detect.strokes import features_in
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
from cleanplate.models.stroke_net import FEATURES, KIND_CHANNELS
from cleanplate.records import Box, Kind

CROP_PX = 256
CANVAS_PX = 512
_SIGN_SHARE = 0.2  # of the canvases that are cut around a real sign, where photographs have any
_LINE_FROM = 0.3  # of PP-OCR's probability
_BARE_SIGN_SHARE = 0.4  # and of those of a photograph in whose scene the line detector reads
_SURE_LINE, _SIGN_HEIGHT_PX = 0.75, 6  # such a line's score and height
_INK_SHARE = 0.3  # of a sign's line that its strokes cover, more or less: their pixels are not known
_SEEN = 60  # of 255, in the truth: a real sign reaches 76
# Long sides at which the line detector sees a canvas: most often it is scaled up as much as Kodak's pictures are, else
# less, down to what becomes of a picture of 1600 pixels.
_LINES_PX, _OTHER_LINES_PX, _OTHER_SHARE = 640, (320, 384, 448, 512, 576), 0.4
_RECOLOURED_SHARE, _GAMMA_SHARE, _SWAPPED_SHARE = 0.44, 0.7, 0.45
_KINDS: tuple[Kind, ...] = ("overlay_text", "handwriting", "stamp", "watermark")
_SHARES = (0.36, 0.20, 0.20, 0.24)
HELDOUT_LIST = Path(__file__).with_name("heldout_photos.txt")
SIGNS_LIST = Path(__file__).with_name("real_signs.csv")
EXCLUDED_LIST = Path(__file__).with_name("excluded_photos.txt")


@dataclass(frozen=True)
class Crop:
    """What the stroke network learns from.

    Attributes:
        picture: uint8 (H, W, 4), RGB and PP-OCR's probability of text.
        truth: uint8 (7, H, W), 0..255, in the order of stroke_net.CHANNELS.
        features: of PP-OCR's trunk, float16 (c, H / s, W / s) for each c and s of stroke_net.
    """

    picture: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    features: tuple[NDArray[np.float16], ...]


def crop_at(box: Box, picture_rgb: NDArray[np.uint8], truth: NDArray[np.uint8], sight: Sight) -> Crop:
    """The part of a picture, of its truth, and of what PP-OCR makes of it."""
    lines = np.round(sight.confidence[box.slices] * 255).astype(np.uint8)
    features = features_in(sight.features, box, picture_rgb.shape)
    return Crop(
        np.dstack([picture_rgb[box.slices], lines]),
        truth[(slice(None), *box.slices)].copy(),
        tuple(level[0].numpy().astype(np.float16) for level in features),
    )


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


def written_signs(photograph: NDArray[np.uint8], line_detector: PpocrDetector) -> list[Box]:
    """Boxes of the lines that PP-OCR is sure of in a photograph on which nothing lies: they are the scene's."""
    lines = db.lines(line_detector.confidence_maps([photograph])[0], _LINE_FROM, _SURE_LINE, _SIGN_HEIGHT_PX // 2)
    return [line.box for line in lines if line.height_px > _SIGN_HEIGHT_PX]


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


def load_line_detector(long_side_px: int = _LINES_PX) -> PpocrDetector:
    """PP-OCR's detector, whose map and features the network is given beside the picture."""
    config = load_config(overrides=["models.threads=1", f"detect.long_side_px={long_side_px}"])
    return PpocrDetector.build(config, Registry.load(config.models), "cpu")


def cut_crops(sample: OverlaySample, seed: int, line_detectors: Mapping[int, PpocrDetector]) -> list[Crop]:
    """Up to four crops of CROP_PX; of empty ones one in four stays.

    Args:
        sample: a canvas, whose colours may change.
        seed: of all that is drawn.
        line_detectors: by the long side at which they see a canvas.
    """
    rng = np.random.default_rng([78, seed])
    truth = truth_of(sample)
    picture = _recoloured(sample.picture, rng) if rng.random() < _RECOLOURED_SHARE else sample.picture
    long_side_px = int(rng.choice(_OTHER_LINES_PX)) if rng.random() < _OTHER_SHARE else _LINES_PX
    sight = line_detectors[long_side_px].look([picture])[0]
    height, width = truth.shape[1:]
    crops = []
    for _ in range(4):
        top, left = int(rng.integers(height - CROP_PX + 1)), int(rng.integers(width - CROP_PX + 1))
        box = Box(left, top, left + CROP_PX, top + CROP_PX)
        if (truth[(slice(None), *box.slices)] > _SEEN).sum() > 60 or rng.random() < 0.25:
            crops.append(crop_at(box, picture, truth, sight))
    return crops


def _recoloured(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Another gamma, or colours swapped, or both."""
    if rng.random() < _GAMMA_SHARE:
        table = np.round(255 * (np.arange(256) / 255) ** np.exp(rng.normal(0, 0.3))).astype(np.uint8)
        picture = table[picture]
    if rng.random() < _SWAPPED_SHARE:
        picture = np.ascontiguousarray(picture[..., rng.permutation(3)])
    return picture


def fill_cache(
    photographs: Sequence[Path],
    fonts: FontLibrary,
    folder: Path,
    first_seed: int,
    count: int,
    bare: Sequence[Path] = (),
) -> None:
    """Writes crops, 1.8 MB each, until the folder holds `count`; seeds that are there are skipped.

    Args:
        photographs: to draw on.
        fonts: to draw with.
        folder: of the crops.
        first_seed: of the first crop; the next have the next.
        count: of all crops.
        bare: more photographs, on which nothing lies: what PP-OCR reads there is the scene's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    line_detectors = {side_px: load_line_detector(side_px) for side_px in (_LINES_PX, *_OTHER_LINES_PX)}
    signs = read_signs()
    with_signs = [path for path in photographs if path.name in signs]
    every, known_bare = [*photographs, *bare], frozenset(bare)
    detector = line_detectors[_LINES_PX]
    have, seed = len(list(folder.glob("*.npz"))), first_seed
    while have < count:
        if not (folder / f"{seed:07d}-0.npz").exists():
            rng = np.random.default_rng(seed)
            of_signs = bool(with_signs) and rng.random() < _SIGN_SHARE
            among = with_signs if of_signs else every
            path = among[int(rng.integers(len(among)))]
            photograph = read_rgb(path)
            boxes = signs[path.name] if of_signs else []
            if path in known_bare and rng.random() < _BARE_SIGN_SHARE:
                boxes = written_signs(photograph, detector)
            sample = (
                make_sign_canvas(photograph, boxes, seed, fonts, detector)
                if boxes
                else make_canvas(photograph, seed, fonts)
            )
            for number, crop in enumerate(cut_crops(sample, seed, line_detectors)):
                write_crop(folder / f"{seed:07d}-{number}.npz", crop)
                have += 1
        seed += 1


def write_crop(path: Path, crop: Crop) -> None:
    """A crop as .npz."""
    levels = {f"features_{level}": values for level, values in enumerate(crop.features)}
    write_arrays(path, picture=crop.picture, truth=crop.truth, **levels)


def write_arrays(path: Path, **arrays: NDArray[Any]) -> None:
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


def read_crop(path: Path) -> Crop:
    """A crop that `write_crop` wrote.

    Raises:
        RuntimeError: an earlier version wrote it.
    """
    with np.load(path) as stored:
        if "features_0" not in stored:
            raise RuntimeError(f"{path} has no features of the line detector: delete {path.parent}, it is made anew")
        levels = range(len(FEATURES))
        return Crop(stored["picture"], stored["truth"], tuple(stored[f"features_{level}"] for level in levels))
