"""Crops of photographs with one mark, what the estimator makes of it, and the truth, made in the background."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from crops import random_part, write_arrays
from numpy.typing import NDArray

from cleanplate.config import MaskConfig, load_config
from cleanplate.detect.text import TextDetector
from cleanplate.evaluation.overlays import FontLibrary, generate, sample_style
from cleanplate.evaluation.overlays.degrade import jpeg
from cleanplate.evaluation.photographs import read_rgb
from cleanplate.fill.base import Engine, FillRequest
from cleanplate.fill.network import NetworkEngine
from cleanplate.fill.unblend import Diffusions, look
from cleanplate.mask import dilation
from cleanplate.mask.strokes import grow
from cleanplate.models.registry import Registry
from cleanplate.records import Box, Kind
from cleanplate.ring import dilate

SIDE_PX = 96
CROPS_PER_FILE = 48
_WINDOW_PX = 256
_CROPS_PER_WINDOW = 6
_PARTS_PER_PHOTOGRAPH = 4
_LARGEST_TYPE_PX = 90.0
_LEAST, _MOST = 0.02, 0.8  # share of a crop that may be mark
_MOST_OF_WINDOW = 0.5
_KINDS: tuple[Kind, ...] = ("overlay_text", "handwriting", "stamp", "watermark")
_JPEG_SHARE, _DIFFUSED_SHARE = 0.4, 0.2
_JPEG_QUALITIES = (30, 97)
_SMOOTH_SHARE, _SMOOTHEST_OF = 0.3, 4  # un-blending competes with fills, which are at their best on smooth ground
_GROWTH_PX, _GROWTH_SHARES = (1, 2, 3, 5), (0.55, 0.2, 0.15, 0.1)
_SEEN_SHARE = 0.5  # of the masks that are a detector's
_SEEN_NEAR_PX, _SEEN_GROWTH_PX = 6, 3  # of the mark: strokes of the scene that a detector takes for its own
_LINES_PX = 320  # long side at which the line detector sees a window
Arrays = dict[str, NDArray[np.uint8]]


@dataclass(frozen=True)
class Helpers:
    """What else a crop takes.

    Attributes:
        priors: the fills that un-blending compares with: the network, and the mean of diffusions.
        strokes: the stroke network's map of a picture, float32 (H, W), 0..1, of uint8 (H, W, 3), RGB.
        mask: how masks are made of it.
    """

    priors: tuple[Engine, Engine]
    strokes: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
    mask: MaskConfig

    @classmethod
    def load(cls) -> Helpers:
        """Loads the package's networks."""
        config = load_config(overrides=["models.device=cpu", "models.threads=1", f"detect.long_side_px={_LINES_PX}"])
        registry = Registry.load(config.models)
        text = TextDetector.build(config, registry, "cpu")

        def seen(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
            return text.confidence_maps([picture])[0]

        return cls((NetworkEngine.build(config, registry, "cpu"), Diffusions()), seen, config.mask)


def cut_marks(
    photograph: NDArray[np.uint8], seed: int, fonts: FontLibrary, helpers: Helpers
) -> Iterator[Arrays]:
    """Crops of one mark on a random part of a photograph; perhaps none.

    Yields:
        picture, guess, colour, truth: uint8 (SIDE_PX, SIDE_PX, 3), RGB; opacity and most (as estimated), alpha (the
        truth), own: uint8 (SIDE_PX, SIDE_PX), 0..255, the last 0 or 1.
    """
    rng = np.random.default_rng([83, seed])
    part = _smoothest(photograph, rng) if rng.random() < _SMOOTH_SHARE else random_part(photograph, rng)
    kind = _KINDS[int(rng.integers(len(_KINDS)))]
    sample = generate(part, seed, [sample_style(rng, kind, _LARGEST_TYPE_PX)], fonts)
    if not sample.overlays:
        return
    window = _window_round(sample.overlays[0].box, part.shape).slices
    alpha = sample.alpha[window]
    grown = dilate((alpha > 0).astype(np.uint8), int(rng.choice(_GROWTH_PX, p=_GROWTH_SHARES)))
    if rng.random() < _SEEN_SHARE:
        grown = _as_seen(sample.picture[window], (alpha > 0).astype(np.uint8), helpers)
    if not 0.003 < grown.mean() <= _MOST_OF_WINDOW:
        return
    picture, truth = (np.ascontiguousarray(each[window]) for each in (sample.picture, sample.clean))
    if rng.random() < _JPEG_SHARE:
        quality, halve = int(rng.integers(*_JPEG_QUALITIES)), bool(rng.random() < 0.7)
        picture, truth = jpeg(picture, quality, halve), jpeg(truth, quality, halve)
    request = FillRequest(picture, grown.astype(np.float32), grown, grown, 1, kind)
    guess = helpers.priors[int(rng.random() < _DIFFUSED_SHARE)].fill([request])[0]
    seen = look(picture, request.hole, grown, guess)
    if seen is None:
        return
    planes = {
        "picture": picture, "guess": guess, "colour": _bytes(seen.mark.colour), "truth": truth,
        "opacity": _bytes(255 * seen.mark.alpha), "most": _bytes(255 * seen.most), "alpha": _bytes(255 * alpha),
        "own": grown,
    }  # fmt: skip
    found = 0
    for _ in range(4 * _CROPS_PER_WINDOW):
        top, left = (int(rng.integers(length - SIDE_PX + 1)) for length in grown.shape)
        cut = (slice(top, top + SIDE_PX), slice(left, left + SIDE_PX))
        if found < _CROPS_PER_WINDOW and _LEAST <= grown[cut].mean() <= _MOST:
            found += 1
            yield {name: np.ascontiguousarray(plane[cut]) for name, plane in planes.items()}


def _smoothest(photograph: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """The one of a few random parts with the smallest differences between neighbours."""
    parts = [random_part(photograph, rng) for _ in range(_SMOOTHEST_OF)]
    return min(parts, key=lambda part: float(np.abs(np.diff(part.astype(np.int16), axis=1)).mean()))


def _as_seen(picture: NDArray[np.uint8], truth: NDArray[np.uint8], helpers: Helpers) -> NDArray[np.uint8]:
    """The mask that a detector would make of a mark, with what it takes along of the scene; all of the mark is in."""
    found = helpers.strokes(np.ascontiguousarray(picture))
    sure, weak = (
        (found >= level).astype(np.uint8) for level in (helpers.mask.strokes_sure, helpers.mask.strokes_weak)
    )
    hard = grow(sure, weak, _SEEN_GROWTH_PX) | truth
    _, labels = cv2.connectedComponents(hard, connectivity=8)
    own = np.unique(labels[dilate(truth, _SEEN_NEAR_PX) > 0])
    hard = (np.isin(labels, own) & (hard > 0)).astype(np.uint8)
    texture = dilation.texture_level(picture, hard, np.zeros_like(hard))
    return dilate(hard, dilation.dilation_px(dilation.stroke_width_px(hard), texture, helpers.mask))


def _bytes(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _window_round(box: Box, shape: tuple[int, ...]) -> Box:
    left, top = (
        int(np.clip((low + high) // 2 - _WINDOW_PX // 2, 0, length - _WINDOW_PX))
        for low, high, length in ((box.left, box.right, shape[1]), (box.top, box.bottom, shape[0]))
    )
    return Box(left, top, left + _WINDOW_PX, top + _WINDOW_PX)


def fill_cache(photographs: Sequence[Path], fonts: FontLibrary, folder: Path, first_seed: int, files: int) -> None:
    """Writes files of CROPS_PER_FILE crops until there are `files`; those that are there stay."""
    cv2.setNumThreads(1)
    folder.mkdir(parents=True, exist_ok=True)
    helpers = Helpers.load()
    for number in range(files):
        path = folder / f"{first_seed + number:06d}.npz"
        if path.exists():
            continue
        rng = np.random.default_rng([84, first_seed + number])
        crops: list[Arrays] = []
        tried = 0
        while len(crops) < CROPS_PER_FILE:
            photograph = read_rgb(photographs[int(rng.integers(len(photographs)))])
            for _ in range(_PARTS_PER_PHOTOGRAPH):
                crops += cut_marks(photograph, 1000 * (first_seed + number) + tried, fonts, helpers)
                tried += 1
        stacked = {name: np.stack([crop[name] for crop in crops[:CROPS_PER_FILE]]) for name in crops[0]}
        write_arrays(path, **stacked)
