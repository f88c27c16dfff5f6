"""Rubber stamps: round and square, with the uneven ink of a hand that pressed them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from cleanplate.evaluation.overlays import texts
from cleanplate.evaluation.overlays.fonts import FontLibrary
from cleanplate.evaluation.overlays.glyphs import corners, render_lines
from cleanplate.evaluation.overlays.records import Drawing, FloatMap, OverlayStyle


def draw_stamp(style: OverlayStyle, scale: int, fonts: FontLibrary, rng: np.random.Generator) -> Drawing:
    """Draws a stamp, upright.

    Args:
        style: design ("round" or "square"), size of the letters, script.
        scale: factor on the size (see `warp.supersampling`).
        fonts: to write with.
        rng: source of chance.

    Raises:
        ConfigError: no font writes the script.
    """
    size_px = style.size_px * scale
    family, path = fonts.pick(rng, "printed", _script(style))
    words = _words(style, rng)
    draw = _round if style.design == "round" else _square
    coverage = draw(words, path, size_px, style.script, rng)
    return Drawing(worn(coverage, rng), corners(*coverage.shape), None, words, family)


def worn(coverage: FloatMap, rng: np.random.Generator) -> FloatMap:
    """Takes ink away: patches that were not pressed, speckles, a side that printed weakly."""
    height, width = coverage.shape
    patches = cv2.resize(rng.random((max(2, height // 14), max(2, width // 14)), dtype=np.float32), (width, height))
    speckles = cv2.GaussianBlur(rng.random((height, width), dtype=np.float32), (0, 0), rng.uniform(0.5, 1.3))
    speckles = (speckles - 0.5) / max(float(speckles.std()), 1e-3)
    keep = np.clip((patches - rng.uniform(-0.6, 0.25)) * 5, 0, 1)
    dots = np.clip((speckles + rng.uniform(0.6, 2.6)) * 2.5, 0, 1)
    side = np.linspace(rng.uniform(0.6, 1), 1, width, dtype=np.float32)
    return (coverage * keep * dots * side).astype(np.float32)


def _script(style: OverlayStyle) -> str:
    return style.script if style.script in ("han", "japanese", "korean", "arabic") else "cyrillic"


def _words(style: OverlayStyle, rng: np.random.Generator) -> str:
    if style.script in ("han", "japanese", "korean", "arabic"):
        return texts.phrase(rng, style.script, 1)[:6]
    return texts.phrase(rng, "stamp", 1).upper()


def _line(text: str, path: Path, size_px: float, script: str) -> FloatMap:
    return render_lines([text], path, size_px, script, "center")


def _square(words: str, path: Path, size_px: float, script: str, rng: np.random.Generator) -> FloatMap:
    lines = [words]
    if rng.random() < 0.4:
        lines.append(texts.digits(rng) if script != "arabic" else words)
    text = render_lines(lines, path, size_px, script, "center")
    border_px = max(1, round(size_px * rng.uniform(0.05, 0.14)))
    gap_px = max(2, round(size_px * rng.uniform(0.2, 0.5)))
    inner = np.pad(text, gap_px + border_px)
    canvas = np.round(inner * 255).astype(np.uint8)
    _frame(canvas, 0, border_px)
    if rng.random() < 0.4:
        inset = border_px * 2
        canvas = np.pad(canvas, inset)
        _frame(canvas, 0, max(1, border_px // 2))
    return canvas.astype(np.float32) / 255.0


def _frame(canvas: np.ndarray, inset_px: int, width_px: int) -> None:
    height, width = canvas.shape
    canvas[inset_px : inset_px + width_px, inset_px : width - inset_px] = 255
    canvas[height - inset_px - width_px : height - inset_px, inset_px : width - inset_px] = 255
    canvas[inset_px : height - inset_px, inset_px : inset_px + width_px] = 255
    canvas[inset_px : height - inset_px, width - inset_px - width_px : width - inset_px] = 255


def _round(words: str, path: Path, size_px: float, script: str, rng: np.random.Generator) -> FloatMap:
    ring = _line(words, path, size_px, script)
    separator = np.zeros((ring.shape[0], round(size_px)), np.float32)
    cv2.circle(separator, (separator.shape[1] // 2, separator.shape[0] // 2), max(1, round(size_px * 0.12)), 1, -1)
    strip = np.concatenate([ring, separator], axis=1)
    while strip.shape[1] < 9 * size_px:
        strip = np.concatenate([strip, strip], axis=1)
    text_radius = strip.shape[1] / (2 * np.pi)
    outer = text_radius + ring.shape[0] + size_px * 0.35
    coverage = _wrap(strip, text_radius, outer)
    _rings(coverage, outer, text_radius, size_px, rng)
    _centre(coverage, path, text_radius, size_px, rng)
    return np.clip(coverage, 0, 1)


def _wrap(strip: FloatMap, inner: float, outer: float) -> FloatMap:
    """Lays a strip around a circle of radius `inner`, letters pointing outwards."""
    side = 2 * int(np.ceil(outer)) + 4
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) - (side - 1) / 2
    angle = np.arctan2(x, -y) % (2 * np.pi)
    map_x = (angle / (2 * np.pi) * strip.shape[1]).astype(np.float32)
    map_y = (inner + strip.shape[0] - np.hypot(x, y)).astype(np.float32)
    return cv2.remap(strip, map_x, map_y, cv2.INTER_LINEAR).astype(np.float32)


def _rings(coverage: FloatMap, outer: float, inner: float, size_px: float, rng: np.random.Generator) -> None:
    y, x = np.mgrid[0 : coverage.shape[0], 0 : coverage.shape[1]].astype(np.float32)
    distance = np.hypot(x - (coverage.shape[1] - 1) / 2, y - (coverage.shape[0] - 1) / 2)
    width = max(1.0, size_px * rng.uniform(0.05, 0.14))
    radii = [outer - width / 2, inner - size_px * 0.2]
    for radius in radii[: 2 if rng.random() < 0.8 else 1]:
        coverage[...] = np.maximum(coverage, np.clip(width / 2 + 0.5 - np.abs(distance - radius), 0, 1))


def _centre(coverage: FloatMap, path: Path, radius: float, size_px: float, rng: np.random.Generator) -> None:
    if rng.random() < 0.35:
        canvas = np.zeros(coverage.shape, np.uint8)
        star = _star(coverage.shape[0] / 2, radius * rng.uniform(0.3, 0.6), int(rng.integers(5, 9)))
        cv2.fillPoly(canvas, [np.round(star * 8).astype(np.int32)], 255, cv2.LINE_AA, shift=3)
        coverage[...] = np.maximum(coverage, canvas.astype(np.float32) / 255.0)
        return
    text = render_lines([texts.digits(rng)[:10]], path, size_px * 0.8, "latin")
    room = int(radius * 1.5)
    if text.shape[1] > room:
        size = (room, max(2, text.shape[0] * room // text.shape[1]))
        text = cv2.resize(text, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    top, left = (coverage.shape[0] - text.shape[0]) // 2, (coverage.shape[1] - text.shape[1]) // 2
    view = coverage[top : top + text.shape[0], left : left + text.shape[1]]
    view[...] = np.maximum(view, text)


def _star(centre: float, radius: float, points: int) -> np.ndarray:
    angles = np.arange(2 * points) * np.pi / points - np.pi / 2
    radii = np.where(np.arange(2 * points) % 2, radius * 0.45, radius)
    return centre + np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii[:, None]
