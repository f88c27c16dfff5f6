"""Logos drawn by rule: emblems of a few plain shapes, with or without a name."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from cleanplate.evaluation.overlays import texts
from cleanplate.evaluation.overlays.fonts import FontLibrary
from cleanplate.evaluation.overlays.glyphs import corners, crop_to_ink, render_lines
from cleanplate.evaluation.overlays.records import Drawing, FloatMap

_SUPERSAMPLING = 3
Emblem = Callable[[np.ndarray, float, np.random.Generator], None]


def draw_logo(size_px: float, fonts: FontLibrary, rng: np.random.Generator) -> Drawing:
    """Draws an emblem, in seven of ten cases with a name beside or below it.

    Args:
        size_px: size of the name's type; the emblem is two to four times as high.
        fonts: for the name.
        rng: source of chance.

    Raises:
        ConfigError: the library lacks a Latin font.
    """
    shape = emblem(int(np.clip(size_px * rng.uniform(1.5, 3.5), 12, 400)), rng)
    if rng.random() < 0.3:
        return Drawing(shape, corners(*shape.shape))
    family, path = fonts.pick(rng, "printed", "latin")
    name = texts.phrase(rng, "watermark", 1)
    text = render_lines([name], path, size_px, "latin")
    coverage = _beside(shape, text) if rng.random() < 0.5 else _beside(shape.T, text.T).T
    coverage = np.ascontiguousarray(coverage)
    return Drawing(coverage, corners(*coverage.shape), None, name, family)


def emblem(side_px: int, rng: np.random.Generator) -> FloatMap:
    """An emblem of one to three shapes as float32 coverage, about side_px square."""
    side = side_px * _SUPERSAMPLING
    canvas = np.zeros((side, side), np.uint8)
    order = rng.permutation(len(_EMBLEMS))[: int(rng.integers(1, 4))]
    for index in order:
        _EMBLEMS[int(index)](canvas, float(side), rng)
    if rng.random() < 0.3 and canvas.any():
        _cut(canvas, float(side), rng)
    small = cv2.resize(canvas, (side_px, side_px), interpolation=cv2.INTER_AREA)
    return crop_to_ink(small.astype(np.float32) / 255.0)


def _beside(left: FloatMap, right: FloatMap) -> FloatMap:
    height = max(left.shape[0], right.shape[0])
    gap = np.zeros((height, max(2, left.shape[1] // 8)), np.float32)
    return np.concatenate([_centred(left, height), gap, _centred(right, height)], axis=1)


def _centred(layer: FloatMap, height: int) -> FloatMap:
    above = (height - layer.shape[0]) // 2
    return np.pad(layer, ((above, height - layer.shape[0] - above), (0, 0)))


def _ring(canvas: np.ndarray, side: float, rng: np.random.Generator) -> None:
    radius, width = side * rng.uniform(0.3, 0.45), max(2, int(side * rng.uniform(0.03, 0.1)))
    start, sweep = float(rng.uniform(0, 360)), float(rng.choice([360, 360, 270, 200]))
    centre = (int(side / 2), int(side / 2))
    cv2.ellipse(canvas, centre, (int(radius), int(radius)), start, 0, sweep, 255, width)


def _disc(canvas: np.ndarray, side: float, rng: np.random.Generator) -> None:
    centre = side * rng.uniform(0.35, 0.65, 2)
    cv2.circle(canvas, (int(centre[0]), int(centre[1])), int(side * rng.uniform(0.08, 0.28)), 255, -1)


def _polygon(canvas: np.ndarray, side: float, rng: np.random.Generator) -> None:
    count, radius = int(rng.integers(3, 8)), side * rng.uniform(0.25, 0.48)
    angles = np.arange(count) * 2 * np.pi / count + rng.uniform(0, 6)
    points = side / 2 + np.stack([np.cos(angles), np.sin(angles)], axis=1) * radius
    outline = [np.round(points).astype(np.int32)]
    if rng.random() < 0.5:
        cv2.fillPoly(canvas, outline, 255)
    else:
        cv2.polylines(canvas, outline, True, 255, max(2, int(side * rng.uniform(0.03, 0.09))))


def _bars(canvas: np.ndarray, side: float, rng: np.random.Generator) -> None:
    count = int(rng.integers(2, 6))
    heights = rng.uniform(0.2, 0.8, count) * side
    for i, high in enumerate(heights):
        left = int(side * (0.15 + 0.7 * i / count))
        right = left + int(side * 0.45 / count)
        cv2.rectangle(canvas, (left, int(side * 0.9 - high)), (right, int(side * 0.9)), 255, -1)


def _swoosh(canvas: np.ndarray, side: float, rng: np.random.Generator) -> None:
    x = np.linspace(0.08, 0.92, 24) * side
    lift = rng.uniform(0.15, 0.4) * side
    upper = side * 0.6 - lift * np.sin(np.linspace(0, np.pi, 24))
    lower = upper + side * rng.uniform(0.05, 0.18) * np.sin(np.linspace(0, np.pi, 24))
    points = np.concatenate([np.stack([x, upper], 1), np.stack([x, lower], 1)[::-1]])
    cv2.fillPoly(canvas, [np.round(points).astype(np.int32)], 255)


def _aperture(canvas: np.ndarray, side: float, rng: np.random.Generator) -> None:
    count, radius = int(rng.integers(5, 9)), side * 0.42
    turn = rng.uniform(0.5, 1.2)
    width = max(2, int(side * rng.uniform(0.02, 0.05)))
    for angle in np.arange(count) * 2 * np.pi / count:
        start = side / 2 + radius * np.array([np.cos(angle), np.sin(angle)])
        end = side / 2 + radius * 0.45 * np.array([np.cos(angle + turn), np.sin(angle + turn)])
        cv2.line(canvas, start.astype(int).tolist(), end.astype(int).tolist(), 255, width)


def _cut(canvas: np.ndarray, side: float, rng: np.random.Generator) -> None:
    """Takes a stripe or a disc out of what is there."""
    if rng.random() < 0.5:
        centre = (side * rng.uniform(0.3, 0.7, 2)).astype(int).tolist()
        cv2.circle(canvas, centre, int(side * rng.uniform(0.08, 0.2)), 0, -1)
    else:
        ends = (side * rng.uniform(0, 1, (2, 2))).astype(int).tolist()
        cv2.line(canvas, ends[0], ends[1], 0, max(2, int(side * 0.06)))


_EMBLEMS: tuple[Emblem, ...] = (_ring, _disc, _polygon, _bars, _swoosh, _aperture, _ring, _polygon)
