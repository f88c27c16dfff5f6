"""Pen strokes: splines with pressure that write, sign, circle, strike through and scribble."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from cleanplate.evaluation.overlays.glyphs import corners, crop_to_ink
from cleanplate.evaluation.overlays.records import Drawing, FloatMap, OverlayStyle

_SUPERSAMPLING = 3
Path = np.ndarray


def draw_pen(style: OverlayStyle, width_px: int, rng: np.random.Generator) -> Drawing:
    """Draws with a pen, upright.

    Args:
        style: design ("pen", "signature" or "scribble") and size: the height of a small letter is half of it.
        width_px: width of the picture, which lines are fitted to.
        rng: source of chance.
    """
    paths = _scribble(style.size_px, rng) if style.design == "scribble" else _writing(style, width_px, rng)
    thickness_px = _thickness(style, rng)
    coverage = crop_to_ink(_ink(paths, thickness_px, rng))
    if rng.random() < 0.25:
        coverage = _dry(coverage, rng)
    return Drawing(coverage, corners(*coverage.shape))


def spline(points: Path, samples: int = 12) -> Path:
    """Catmull-Rom curve through points.

    Args:
        points: (N, 2), N >= 2.
        samples: points per segment.

    Returns:
        ((N - 1) * samples, 2) points along the curve.
    """
    padded = np.concatenate([points[:1], points, points[-1:]])
    t = np.linspace(0, 1, samples, endpoint=False)[None, :, None]
    a, b, c, d = (padded[i : len(padded) - 3 + i, None, :] for i in range(4))
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    return curve.reshape(-1, 2)


def _thickness(style: OverlayStyle, rng: np.random.Generator) -> float:
    share = rng.uniform(0.03, 0.13) if style.design != "scribble" else rng.uniform(0.02, 0.15)
    return float(np.clip(style.size_px * share, 1.0, 16.0))


def _writing(style: OverlayStyle, width_px: int, rng: np.random.Generator) -> list[Path]:
    height = style.size_px * 0.5
    slant, loose = rng.uniform(-0.1, 0.6), rng.uniform(0.1, 0.5)
    lines = 1 if style.design == "signature" else int(rng.integers(1, 4))
    letters = max(3, int(min(width_px, 420) / (height * 1.2)))
    paths: list[Path] = []
    for line in range(lines):
        x, y = rng.uniform(0, height), line * style.size_px * rng.uniform(1.2, 1.6)
        for _ in range(int(rng.integers(1, 4))):
            count = int(rng.integers(3, max(4, letters // 2 + 1)))
            word = _word(count, height, loose, rng)
            paths.append(_sheared(word, slant) + np.array([x, y]))
            x += np.ptp(word[:, 0]) + height * rng.uniform(0.5, 1.2)
    if style.design == "signature":
        paths.append(_flourish(paths, height, rng))
    return paths


def _word(letters: int, height: float, loose: float, rng: np.random.Generator) -> Path:
    """Cursive letters as loops and humps of one unbroken line; some ascend, some descend."""
    points: list[tuple[float, float]] = []
    x = 0.0
    for _ in range(letters):
        wide = height * rng.uniform(0.5, 1.0)
        rise = height * (rng.uniform(1.6, 2.3) if rng.random() < 0.25 else rng.uniform(0.7, 1.1))
        fall = height * (rng.uniform(0.5, 1.0) if rng.random() < 0.15 else rng.uniform(-0.05, 0.1))
        back = wide * rng.uniform(-0.2, 0.5)
        shape = rng.random()
        points += [(x, 0), (x + wide * 0.6, -rise * 0.8), (x + wide * 0.4 - back * 0.5, -rise)]
        if shape < 0.5:
            points += [(x + wide * 0.1, -rise * 0.4), (x + wide * 0.3, fall)]
        else:
            points += [(x + wide * 0.3, -rise * 0.1), (x + wide * 0.55, fall), (x + wide * 0.8, -height * 0.5)]
        x += wide
    path = np.array(points)
    return spline(path + rng.normal(0, loose * height * 0.15, path.shape))


def _flourish(paths: Sequence[Path], height: float, rng: np.random.Generator) -> Path:
    everything = np.concatenate(paths)
    left, right = everything[:, 0].min(), everything[:, 0].max()
    x = np.linspace(right, left, 4)
    y = height * rng.uniform(0.1, 0.9, 4)
    return spline(np.stack([x, y], axis=1))


def _scribble(size_px: float, rng: np.random.Generator) -> list[Path]:
    makers: tuple[Callable[[float, np.random.Generator], list[Path]], ...] = (
        _circled, _arrow, _cross, _underline, _zigzag, _check, _hatch, _boxed,
    )
    extent = size_px * rng.uniform(0.8, 2.5)
    paths = makers[int(rng.integers(len(makers)))](extent, rng)
    return [p + rng.normal(0, extent * 0.006, p.shape).cumsum(axis=0) * 0.2 for p in paths]


def _circled(extent: float, rng: np.random.Generator) -> list[Path]:
    turns = np.linspace(0, 2 * np.pi * rng.uniform(0.95, 2.2), 22) + rng.uniform(0, 6)
    wobble = 1 + rng.normal(0, 0.04, 22)
    aspect = rng.uniform(0.4, 1.0)
    return [spline(np.stack([np.cos(turns) * wobble, np.sin(turns) * wobble * aspect], axis=1) * extent / 2)]


def _arrow(extent: float, rng: np.random.Generator) -> list[Path]:
    bend = rng.uniform(-0.3, 0.3) * extent
    shaft = spline(np.array([[0, 0], [extent * 0.5, bend], [extent, 0]]))
    head, way = extent * rng.uniform(0.15, 0.3), shaft[-1] - shaft[-4]
    heading = np.arctan2(way[1], way[0])
    barbs = [
        shaft[-1] - head * np.array([np.cos(heading + s), np.sin(heading + s)]) for s in (0.5, -0.5)
    ]
    return [shaft, spline(np.array([barbs[0], shaft[-1]])), spline(np.array([shaft[-1], barbs[1]]))]


def _cross(extent: float, rng: np.random.Generator) -> list[Path]:
    jitter = rng.normal(0, 0.06, (4, 2))
    ends = (np.array([[0, 0], [1, 1], [1, 0], [0, 1]]) + jitter) * extent
    return [spline(ends[:2]), spline(ends[2:])]


def _underline(extent: float, rng: np.random.Generator) -> list[Path]:
    count = int(rng.integers(1, 3))
    waves = rng.normal(0, 0.03, (count, 5)) * extent
    x = np.linspace(0, extent * 1.5, 5)
    return [spline(np.stack([x, waves[i] + i * extent * 0.12], axis=1)) for i in range(count)]


def _zigzag(extent: float, rng: np.random.Generator) -> list[Path]:
    count = int(rng.integers(6, 18))
    x = np.linspace(0, extent * 1.4, count)
    y = np.where(np.arange(count) % 2, 0.4, 0) * extent + rng.normal(0, 0.05, count) * extent
    return [spline(np.stack([x, y], axis=1))]


def _check(extent: float, rng: np.random.Generator) -> list[Path]:
    knee = np.array([extent * rng.uniform(0.25, 0.4), extent * rng.uniform(0.4, 0.6)])
    return [spline(np.array([[0, extent * 0.25], knee, [extent, -extent * 0.2]]))]


def _hatch(extent: float, rng: np.random.Generator) -> list[Path]:
    count = int(rng.integers(4, 10))
    step = extent / count
    return [
        spline(np.array([[i * step, rng.normal(0, 3)], [i * step + extent * 0.3, extent * 0.8 + rng.normal(0, 3)]]))
        for i in range(count)
    ]


def _boxed(extent: float, rng: np.random.Generator) -> list[Path]:
    high = rng.uniform(0.4, 1.0)
    ring = np.array([[0, 0], [1, 0.02], [1.01, high], [0, high], [0.01, -0.03]]) * extent
    return [spline(ring[i : i + 2] + rng.normal(0, extent * 0.015, (2, 2))) for i in range(4)]


def _sheared(path: Path, slant: float) -> Path:
    return path @ np.array([[1, 0], [-slant, 1]])


def _ink(paths: Sequence[Path], thickness_px: float, rng: np.random.Generator) -> FloatMap:
    """Draws the paths with a pressure that comes and goes, large, then averages down."""
    everything = np.concatenate(paths)
    margin = thickness_px * 1.5 + 2
    low, high = everything.min(axis=0) - margin, everything.max(axis=0) + margin
    extent = np.minimum(np.ceil(high - low), 1600).astype(int)
    canvas = np.zeros((extent[1] * _SUPERSAMPLING, extent[0] * _SUPERSAMPLING), np.uint8)
    swing, phase = rng.uniform(0, 0.45), rng.uniform(0, 6)
    for path in paths:
        points = np.round((path - low) * _SUPERSAMPLING * 8).astype(np.int32)
        time = np.linspace(0, 1, len(points))
        pressure = 1 + swing * np.sin(time * len(points) * 0.09 + phase) - 0.5 * swing * (time > 0.93)
        widths = np.maximum(1, np.round(thickness_px * _SUPERSAMPLING * pressure)).astype(int)
        for i in range(len(points) - 1):
            start, end = points[i].tolist(), points[i + 1].tolist()
            cv2.line(canvas, start, end, 255, int(widths[i]), cv2.LINE_8, shift=3)
    small = cv2.resize(canvas, (int(extent[0]), int(extent[1])), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32) / 255.0


def _dry(coverage: FloatMap, rng: np.random.Generator) -> FloatMap:
    """Chalk, pencil or a dry marker: the ink has gaps of the paper's grain."""
    grain = cv2.GaussianBlur(rng.random(coverage.shape, dtype=np.float32), (0, 0), rng.uniform(0.5, 1.2))
    low = np.quantile(grain, rng.uniform(0.05, 0.35))
    return (coverage * np.clip((grain - low) * 18 + 0.5, 0.0, 1)).astype(np.float32)
