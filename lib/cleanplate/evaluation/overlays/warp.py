"""Geometry of a drawing: rotation, perspective, curved baselines."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from cleanplate.evaluation.overlays.records import Drawing, FloatMap

_TO_CENTRE = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])


def supersampling(angle_deg: float, perspective: float, size_px: float) -> int:
    """How many times larger a drawing is made before it is warped, so that its edges stay clean."""
    if angle_deg == 0 and perspective == 0:
        return 1
    return 2 if size_px < 100 else 1


def place(drawing: Drawing, angle_deg: float, perspective: float, scale: float, rng: np.random.Generator) -> Drawing:
    """Rotates a drawing, shifts its corners for perspective, scales it.

    Args:
        drawing: as drawn, upright.
        angle_deg: counter-clockwise.
        perspective: 0..0.4, share of the sides by which corners are shifted at random.
        scale: factor on the size, applied last (0.5 for a drawing made at twice its size).
        rng: source of chance.
    """
    if angle_deg == 0 and perspective == 0 and scale == 1:
        return drawing
    height, width = drawing.coverage.shape
    source = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)
    target = _rotated(_skewed(source, perspective, rng), angle_deg) * scale
    target -= target.min(axis=0) - 1
    matrix = cv2.getPerspectiveTransform(source.astype(np.float32), target.astype(np.float32))
    size = tuple(int(v) for v in np.ceil(target.max(axis=0)) + 1)
    return transform(drawing, matrix, (size[0], size[1]))


def transform(drawing: Drawing, matrix: np.ndarray, size: tuple[int, int]) -> Drawing:
    """Warps all maps of a drawing by a 3x3 homography onto a canvas of (width, height)."""
    # Outlines count from the pixels' edges, OpenCV from their centres; halving then averages instead of skipping.
    by_centres = np.linalg.inv(_TO_CENTRE) @ matrix @ _TO_CENTRE

    def warp(layer: FloatMap) -> FloatMap:
        return np.clip(cv2.warpPerspective(layer, by_centres, size, flags=cv2.INTER_LINEAR), 0, 1).astype(np.float32)

    polygon = cv2.perspectiveTransform(drawing.polygon[None].astype(np.float64), matrix)[0]
    return replace(
        drawing,
        coverage=warp(drawing.coverage),
        plate=None if drawing.plate is None else warp(drawing.plate),
        polygon=polygon.astype(np.float32),
    )


def curve(coverage: FloatMap, sweep_deg: float) -> tuple[FloatMap, FloatMap]:
    """Bends a line of text along an arc.

    Args:
        coverage: float32 (h, w), one line.
        sweep_deg: angle that the line spans; positive arches upwards, negative downwards.

    Returns:
        The bent coverage, and its outline as float32 (N, 2).
    """
    flip = sweep_deg < 0
    source = coverage[::-1, ::-1] if flip else coverage
    height, width = source.shape
    sweep = np.radians(min(350.0, max(5.0, abs(sweep_deg))))
    radius = max(width / sweep, height * 0.8)
    outer = radius + height
    half = min(np.pi, sweep / 2)
    reach_x = outer * (np.sin(half) if half < np.pi / 2 else 1.0)
    top, bottom = -outer, -radius * np.cos(half) if half < np.pi / 2 else -outer * np.cos(half)
    columns, rows = np.arange(-reach_x - 2, reach_x + 2), np.arange(top - 2, bottom + 2)
    x, y = np.meshgrid(columns, rows)
    angle, distance = np.arctan2(x, -y), np.hypot(x, y)
    map_x = (angle * radius + width / 2 - 0.5).astype(np.float32)
    map_y = (outer - distance - 0.5).astype(np.float32)
    bent = cv2.remap(np.ascontiguousarray(source), map_x, map_y, cv2.INTER_LINEAR)
    outline = _arc_outline(half, radius, outer) - np.array([columns[0], rows[0]])
    if flip:
        bent, outline = bent[::-1, ::-1], np.array(bent.shape[::-1]) - outline
    return np.ascontiguousarray(bent, np.float32), outline.astype(np.float32)


def _arc_outline(half: float, inner: float, outer: float) -> np.ndarray:
    angles = np.linspace(-half, half, 9)
    arc = np.stack([np.sin(angles), -np.cos(angles)], axis=1)
    return np.concatenate([arc * outer, arc[::-1] * inner])


def _skewed(points: np.ndarray, perspective: float, rng: np.random.Generator) -> np.ndarray:
    extent = np.array([points[1, 0], points[2, 1]])
    limit = np.minimum(extent, 4 * extent[::-1])
    return points + rng.uniform(-0.5, 0.5, size=(4, 2)) * perspective * limit if perspective else points


def _rotated(points: np.ndarray, angle_deg: float) -> np.ndarray:
    angle = np.radians(angle_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return points @ turn
