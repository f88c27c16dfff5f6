"""Crops of photographs with overlays and their truth, made in the background and kept as files."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.evaluation.overlays import (
    FontLibrary,
    OverlaySample,
    degrade,
    generate,
    sample_degradation,
    sample_style,
)
from cleanplate.models.stroke_net import KIND_CHANNELS
from cleanplate.records import Kind

CROP_PX = 256
CANVAS_PX = 512
_SUFFIXES = {".webp", ".png", ".jpg", ".jpeg"}
_KINDS: tuple[Kind, ...] = ("overlay_text", "handwriting", "stamp", "watermark")
_SHARES = (0.42, 0.22, 0.16, 0.20)
HELDOUT_LIST = Path(__file__).with_name("heldout_photos.txt")


def list_photographs(folders: Sequence[Path]) -> list[Path]:
    """The pictures of some folders, sorted.

    Raises:
        SystemExit: there are none.
    """
    found = sorted(path for folder in folders for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)
    if not found:
        raise SystemExit(f"no photographs in {', '.join(map(str, folders))}; give folders of webp, png or jpg files")
    return found


def split_photographs(folders: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Photographs to train on, and those held out by name in heldout_photos.txt."""
    names = set(HELDOUT_LIST.read_text(encoding="utf-8").split())
    photographs = list_photographs(folders)
    return [p for p in photographs if p.name not in names], [p for p in photographs if p.name in names]


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """A picture file as uint8 (H, W, 3), RGB."""
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise SystemExit(f"{path} cannot be read as a picture; take it out of the folder")
    return np.ascontiguousarray(picture[..., ::-1])


def make_canvas(photograph: NDArray[np.uint8], seed: int, fonts: FontLibrary) -> OverlaySample:
    """A degraded sample of about CANVAS_PX on a random part of a photograph."""
    rng = np.random.default_rng([77, seed])
    part = _random_part(photograph, rng)
    count = 0 if rng.random() < 0.06 else int(rng.integers(1, 5))
    kinds = [_KINDS[int(i)] for i in rng.choice(len(_KINDS), size=count, p=_SHARES)]
    if rng.random() < 0.35:
        kinds += ["scene_text"] * int(rng.integers(1, 3))
    sample = generate(part, seed, [sample_style(rng, kind) for kind in kinds], fonts)
    return degrade(sample, sample_degradation(rng), rng)


def _random_part(photograph: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
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
    """The six maps that the network learns, uint8 (6, H, W), 0..255, in the order of stroke_net.CHANNELS."""
    empty = np.zeros_like(sample.influence)
    maps = [sample.influence, *(sample.kinds.get(kind, empty) for kind in KIND_CHANNELS)]
    return np.round(np.clip(np.stack(maps), 0, 1) * 255).astype(np.uint8)


def cut_crops(sample: OverlaySample, seed: int) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Up to four crops of CROP_PX with their truth; of empty ones one in four stays."""
    rng = np.random.default_rng([78, seed])
    truth = truth_of(sample)
    height, width = truth.shape[1:]
    crops = []
    for _ in range(4):
        top, left = int(rng.integers(height - CROP_PX + 1)), int(rng.integers(width - CROP_PX + 1))
        cut = (slice(top, top + CROP_PX), slice(left, left + CROP_PX))
        wanted = truth[(slice(None), *cut)]
        if (wanted > 127).sum() > 60 or rng.random() < 0.25:
            crops.append((sample.picture[cut].copy(), wanted.copy()))
    return crops


def fill_cache(photographs: Sequence[Path], fonts: FontLibrary, folder: Path, first_seed: int, count: int) -> None:
    """Writes crops as .npz (picture, truth) until the folder holds `count`; seeds that are there are skipped."""
    folder.mkdir(parents=True, exist_ok=True)
    have, seed = len(list(folder.glob("*.npz"))), first_seed
    while have < count:
        if not (folder / f"{seed:07d}-0.npz").exists():
            photograph = read_rgb(photographs[int(np.random.default_rng(seed).integers(len(photographs)))])
            for number, (picture, truth) in enumerate(cut_crops(make_canvas(photograph, seed, fonts), seed)):
                path = folder / f"{seed:07d}-{number}.npz"
                _write(path, picture, truth)
                have += 1
        seed += 1


def _write(path: Path, picture: NDArray[np.uint8], truth: NDArray[np.uint8]) -> None:
    """Under another name first, so that a reader never sees half a file."""
    part = path.with_suffix(".part")
    with part.open("wb") as stream:
        np.savez(stream, picture=picture, truth=truth)
    os.replace(part, path)


def wait_for(folder: Path, count: int, poll_s: float = 2.0) -> None:
    """Waits until a folder holds `count` crops."""
    while len(list(folder.glob("*.npz"))) < count:
        time.sleep(poll_s)


def read_crop(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A crop's picture, uint8 (H, W, 3), and truth, uint8 (6, H, W)."""
    with np.load(path) as stored:
        return stored["picture"], stored["truth"]
