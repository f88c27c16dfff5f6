"""Watermarks: single, tiled over the picture, crossed with lines, or as a logo."""

from __future__ import annotations

import cv2
import numpy as np

from cleanplate.evaluation.overlays import texts
from cleanplate.evaluation.overlays.fonts import FontLibrary
from cleanplate.evaluation.overlays.glyphs import corners, render_lines
from cleanplate.evaluation.overlays.logos import draw_logo
from cleanplate.evaluation.overlays.records import Drawing, FloatMap, OverlayStyle
from cleanplate.evaluation.overlays.warp import place, supersampling


def draw_watermark(style: OverlayStyle, scale: int, fonts: FontLibrary, rng: np.random.Generator) -> Drawing:
    """Draws the text or logo of a watermark, upright.

    Args:
        style: design, size, script.
        scale: factor on the size (see `warp.supersampling`).
        fonts: to write with.
        rng: source of chance.

    Raises:
        ConfigError: no font writes the script.
    """
    size_px = style.size_px * scale
    if style.design == "logo" or (style.design == "tiled" and rng.random() < 0.3):
        return draw_logo(size_px, fonts, rng)
    family, path = fonts.pick(rng, "printed", style.script)
    other = style.script not in ("latin", "digits", "price")
    text = texts.phrase(rng, style.script if other else "watermark", int(rng.integers(1, 3)))
    coverage = render_lines([text], path, size_px, style.script)
    return Drawing(coverage, corners(*coverage.shape), None, text, family)


def draw_over_all(
    style: OverlayStyle, width_px: int, height_px: int, fonts: FontLibrary, rng: np.random.Generator
) -> Drawing:
    """Draws a watermark as large as the picture: tiles of it, or lines from corner to corner with it in the middle.

    Args:
        style: design "tiled" or "cross", size, angle of each tile.
        width_px: of the picture.
        height_px: of the picture.
        fonts: to write with.
        rng: source of chance.
    """
    scale = supersampling(style.angle_deg, style.perspective, style.size_px)
    drawn = draw_watermark(style, scale, fonts, rng)
    tile = place(drawn, style.angle_deg, style.perspective, 1 / scale, rng).coverage
    canvas = np.zeros((height_px, width_px), np.float32)
    if style.design == "tiled":
        _tile(canvas, tile, rng)
    else:
        _cross(canvas, tile, style.size_px, rng)
    return Drawing(canvas, corners(height_px, width_px), None, drawn.text, drawn.font)


def _tile(canvas: FloatMap, tile: FloatMap, rng: np.random.Generator) -> None:
    step_y = int(tile.shape[0] * rng.uniform(1.1, 2.5)) + 4
    step_x = int(tile.shape[1] * rng.uniform(1.05, 1.8)) + 4
    stagger = int(step_x * rng.choice([0, 0.5, 0.33]))
    top = -int(rng.integers(tile.shape[0] + 1))
    for row, y in enumerate(range(top, canvas.shape[0], step_y)):
        start = -int(tile.shape[1] * 0.5) - (row * stagger) % step_x
        for x in range(start, canvas.shape[1], step_x):
            lay_max(canvas, tile, y, x)


def _cross(canvas: FloatMap, tile: FloatMap, size_px: float, rng: np.random.Generator) -> None:
    height, width = canvas.shape
    lines = np.zeros((height, width), np.uint8)
    thick = max(1, int(size_px * rng.uniform(0.03, 0.1)))
    cv2.line(lines, (0, 0), (width, height), 255, thick, cv2.LINE_AA)
    cv2.line(lines, (width, 0), (0, height), 255, thick, cv2.LINE_AA)
    canvas[...] = lines.astype(np.float32) / 255.0
    lay_max(canvas, tile, (height - tile.shape[0]) // 2, (width - tile.shape[1]) // 2)


def lay_max(canvas: FloatMap, tile: FloatMap, top: int, left: int) -> None:
    """Lays a tile into a canvas, which is changed, keeping the larger value; what sticks out is cut off."""
    bottom, right = min(canvas.shape[0], top + tile.shape[0]), min(canvas.shape[1], left + tile.shape[1])
    y, x = max(0, top), max(0, left)
    if bottom <= y or right <= x:
        return
    view = canvas[y:bottom, x:right]
    np.maximum(view, tile[y - top : bottom - top, x - left : right - left], out=view)
