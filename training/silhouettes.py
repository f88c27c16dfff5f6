"""Windows of photographs with a pasted object, a hint at it, what GrabCut finds, and the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
from crops import write_arrays
from numpy.typing import NDArray

from cleanplate.evaluation.objects import HINTS, Pasted, blob, compose, fitted, hint_at, pictographs
from cleanplate.evaluation.overlays import FontLibrary
from cleanplate.evaluation.overlays.degrade import jpeg
from cleanplate.evaluation.photographs import read_rgb
from cleanplate.mask import pointed_at
from cleanplate.mask.segmenters import View
from cleanplate.models.object_net import SIDE_PX

SAMPLES_PER_FILE = 32
_GROUND_PX = 560  # longest side of the part of a photograph that an object lies on
_SAMPLES_PER_PHOTOGRAPH = 16
_SIDES_PX = (40.0, 260.0)
_HINT_SHARES = (0.55, 0.25, 0.2)
_BLOB_SHARE, _JOINED_SHARE = 0.35, 0.2  # of the shapes; the others are things
_OWN_COLOURS, _SAME_PHOTOGRAPH = 0.35, 0.2  # of the textures; the others are parts of another photograph
_MATCHED_SHARE = 0.3  # brought near to the ground's colours
_SHADOW_SHARE, _BESIDE_SHARE, _JPEG_SHARE = 0.6, 0.3, 0.5
_MOST_SLACK = 0.12
_LEAST_TRUTH = 0.01  # share of a window
_TINT = (0.35, 0.9)  # how much of a thing's own colours shows, the rest is texture


def make_sample(
    ground: NDArray[np.uint8],
    others: Sequence[NDArray[np.uint8]],
    things: Sequence[NDArray[np.uint8]],
    rng: np.random.Generator,
) -> dict[str, NDArray[np.uint8]] | None:
    """A window with one object that is pointed at.

    Args:
        ground: uint8 (H, W, 3), RGB.
        others: photographs that objects are cut from, uint8 (H, W, 3).
        things: pictures of things with their outlines, uint8 (h, w, 4), RGBA.
        rng: source of chance.

    Returns:
        "picture", uint8 (SIDE_PX, SIDE_PX, 3), and "sure", "maybe", "likely", "grabbed", "thing", "shade", uint8
        (SIDE_PX, SIDE_PX), 0 or 1; None where nothing of the object is to be seen.
    """
    ground = _part(ground, rng)
    if rng.random() < _BESIDE_SHARE:  # a thing that nobody points at
        ground = _laid(ground, others, things, rng).picture
    pasted = _laid(ground, others, things, rng)
    if not pasted.box.area_px:
        return None
    if rng.random() < _JPEG_SHARE:
        picture = jpeg(pasted.picture, int(rng.integers(45, 96)))
        pasted = Pasted(picture, pasted.truth, pasted.shadow, pasted.box)
    kind = HINTS[int(rng.choice(len(HINTS), p=_HINT_SHARES))]
    hint, window = pointed_at(pasted.picture, hint_at(pasted, kind, rng, rng.uniform(0.02, _MOST_SLACK)), 0.5)
    view = View.of(pasted.picture[window.slices], hint)
    thing, shade = (_small(part[window.slices]) for part in (pasted.truth, pasted.shadow))
    return {**asdict(view), "thing": thing, "shade": shade & (1 - thing)} if thing.mean() >= _LEAST_TRUTH else None


def fill_cache(photographs: Sequence[Path], fonts: FontLibrary, folder: Path, first_seed: int, files: int) -> None:
    """Writes `files` files of SAMPLES_PER_FILE samples; those that are there are kept.

    Args:
        photographs: that grounds and objects are cut from.
        fonts: not needed: things come from a font of pictographs, of the same split.
        folder: made if missing.
        first_seed: of the first file.
        files: how many.
    """
    folder.mkdir(parents=True, exist_ok=True)
    things = pictographs("train")
    for seed in range(first_seed, first_seed + files):
        path = folder / f"{seed:06d}.npz"
        if path.exists():
            continue
        rng = np.random.default_rng([83, seed])
        samples: list[dict[str, NDArray[np.uint8]]] = []
        while len(samples) < SAMPLES_PER_FILE:
            chosen = [read_rgb(photographs[int(n)]) for n in rng.integers(len(photographs), size=3)]
            made = [make_sample(chosen[0], chosen, things, rng) for _ in range(_SAMPLES_PER_PHOTOGRAPH)]
            samples += [sample for sample in made if sample is not None]
        write_arrays(path, **{name: np.stack([s[name] for s in samples[:SAMPLES_PER_FILE]]) for name in samples[0]})


def _part(photograph: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A part of a photograph at a random scale."""
    longest = max(photograph.shape[:2])
    scale = float(np.exp(rng.uniform(np.log(min(1.0, _GROUND_PX / longest)), np.log(1.1))))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    scaled = np.asarray(cv2.resize(photograph, None, fx=scale, fy=scale, interpolation=method), np.uint8)
    top, left = (int(rng.integers(max(1, side - _GROUND_PX + 1))) for side in scaled.shape[:2])
    return np.ascontiguousarray(scaled[top : top + _GROUND_PX, left : left + _GROUND_PX])


def _laid(
    ground: NDArray[np.uint8],
    others: Sequence[NDArray[np.uint8]],
    things: Sequence[NDArray[np.uint8]],
    rng: np.random.Generator,
) -> Pasted:
    """A random object with or without a shadow anywhere on the ground, also across its border."""
    height, width = ground.shape[:2]
    side = int(np.exp(rng.uniform(np.log(_SIDES_PX[0]), np.log(min(_SIDES_PX[1], 0.6 * min(height, width))))))
    outline, colours = _shape(side, things, rng)
    texture = _texture(side, ground, others, rng)
    if colours is not None and rng.random() < _OWN_COLOURS:
        tint = rng.uniform(*_TINT)
        detail = texture.astype(np.float32) - texture.mean(axis=(0, 1))
        plain = tint * colours + (1 - tint) * texture.mean(axis=(0, 1))
        texture = np.clip(plain + detail * rng.uniform(0.2, 0.8), 0, 255)
    if rng.random() < _MATCHED_SHARE:
        off = ground.mean(axis=(0, 1)) - texture.mean(axis=(0, 1))
        texture = np.clip(texture + rng.uniform(0.5, 1) * off, 0, 255)
    over = round(side * rng.uniform(0, 0.4)) if rng.random() < 0.15 else 0
    top, left = (int(rng.integers(-over, max(1, length - side + over))) for length in (height, width))
    at = np.array([[1, 0, left], [0, 1, top]], np.float32)
    coverage = cv2.warpAffine(outline, at, (width, height))
    laid = cv2.warpAffine(np.asarray(texture, np.float32), at, (width, height))
    coverage = cv2.GaussianBlur(coverage, (0, 0), rng.uniform(0.3, 1.5))
    return compose(ground, laid.astype(np.uint8), np.asarray(coverage, np.float32), _shade(outline, coverage, at, rng))


def _shape(
    side: int, things: Sequence[NDArray[np.uint8]], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """An outline, float32 (side, side), 0..1, and the colours of what has it, float32 (side, side, 3), or None."""
    drawn = rng.random()
    if drawn < _BLOB_SHARE:
        return blob(side, rng), None
    thing = things[int(rng.integers(len(things)))]
    thing = thing[:, ::-1] if rng.random() < 0.5 else thing
    turn = cv2.getRotationMatrix2D((thing.shape[1] / 2, thing.shape[0] / 2), float(rng.normal(0, 25)), 1.0)
    turn[:, 2] += 60
    turn[0, 1] += rng.normal(0, 0.2)
    stretch = np.array([[np.exp(rng.normal(0, 0.25))], [1.0]])
    size = (round((thing.shape[1] + 120) * stretch[0, 0]), thing.shape[0] + 120)
    turned = cv2.warpAffine(thing, turn * stretch, size)
    around = np.argwhere(turned[..., 3] > 127)
    (top, left), (bottom, right) = around.min(axis=0), around.max(axis=0) + 1
    turned = turned[top:bottom, left:right].astype(np.float32)
    outline = fitted(turned[..., 3] / np.float32(255), side)
    colours = np.dstack([fitted(turned[..., channel] / np.float32(255), side) for channel in range(3)]) * 255
    if drawn < _BLOB_SHARE + _JOINED_SHARE:
        outline = np.maximum(outline, blob(side, rng))
    return outline, np.asarray(colours, np.float32)


def _texture(
    side: int, ground: NDArray[np.uint8], others: Sequence[NDArray[np.uint8]], rng: np.random.Generator
) -> NDArray[np.float32]:
    """A part of a photograph, float32 (side, side, 3), RGB, 0..255, at a random scale and brightness."""
    source = ground if rng.random() < _SAME_PHOTOGRAPH else others[int(rng.integers(len(others)))]
    reach = round(side * np.exp(rng.uniform(np.log(0.6), np.log(2.5))))
    reach = min(reach, *source.shape[:2])
    top, left = (int(rng.integers(length - reach + 1)) for length in source.shape[:2])
    part = cv2.resize(source[top : top + reach, left : left + reach], (side, side), interpolation=cv2.INTER_AREA)
    part = part.astype(np.float32)
    return np.clip((part - 128) * rng.uniform(0.6, 1.3) + 128 + rng.normal(0, 18), 0, 255).astype(np.float32)


def _shade(
    outline: NDArray[np.float32], coverage: NDArray[np.float32], at: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.float32]:
    """The light that an object takes from the ground: its outline moved aside, laid down, or a pool under it."""
    height, width = coverage.shape
    side = outline.shape[0]
    if rng.random() > _SHADOW_SHARE:
        return np.zeros_like(coverage)
    way = rng.random()
    foot = _foot(outline)
    if way < 0.4:
        move = np.array([[1, 0, rng.uniform(-0.2, 0.2) * side], [0, 1, rng.uniform(0.03, 0.25) * side]])
    elif way < 0.75:  # cast on the ground: sheared and flattened about the foot
        shear, flat = rng.normal(0, 0.7), rng.uniform(0.2, 0.6) * (1 if rng.random() < 0.8 else -1)
        move = np.array([[1, -shear, shear * foot], [0, flat, (1 - flat) * foot]])
    else:
        pool = np.zeros_like(coverage)
        xs = np.nonzero(outline > 0.5)[1]
        middle = (float(xs.mean() + at[0, 2]), float(foot + at[1, 2]))
        axes = (max(2.0, rng.uniform(0.5, 1.2) * float(np.ptp(xs) + 1)), max(2.0, rng.uniform(0.1, 0.3) * side))
        cv2.ellipse(pool, (middle, axes, float(rng.normal(0, 5))), 1.0, -1)
        soft = cv2.GaussianBlur(pool, (0, 0), rng.uniform(1.5, 5.0))
        return np.asarray(soft * np.float32(rng.uniform(0.25, 0.7)), np.float32)
    move[:, 2] += at[:, 2]
    moved = cv2.warpAffine(outline, move, (width, height))
    soft = cv2.GaussianBlur(moved, (0, 0), rng.uniform(0.8, 5.0))
    return np.asarray(soft * np.float32(rng.uniform(0.2, 0.65)), np.float32)


def _foot(outline: NDArray[np.float32]) -> float:
    """The lowest row of an outline."""
    return float(np.flatnonzero((outline > 0.5).any(axis=1))[-1])


def _small(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    small = cv2.resize(mask.astype(np.float32), (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
    return (small >= 0.5).astype(np.uint8)
