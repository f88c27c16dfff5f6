"""Colours for a drawing: fill, outline, shadow, glow, plate, laid over each other by exact compositing."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from cleanplate import ring
from cleanplate.evaluation.overlays.records import Drawing, FloatMap, Mark, OverlayStyle

# Effects are influence from this opacity on; below it the map fades out with them.
_VISIBLE_OPACITY = 0.2
_LUMA = np.array([0.299, 0.587, 0.114])
_INKS = {
    "overlay_text": (
        "ffffff", "ffffff", "ffffff", "000000", "000000", "ffe600", "ffcc00", "e30613", "c8102e", "0057b8",
        "00a651", "ff6f00", "f5f5dc", "222222", "ff69b4", "00e5ff", "8b4513", "6a0dad",
    ),
    "handwriting": ("101018", "1a237e", "0d47a1", "b71c1c", "ffffff", "ffeb3b", "e91e63", "2e7d32", "303030", "ff5722"),
    "stamp": ("b01020", "c62828", "1a3a8f", "283593", "1b5e20", "4a148c", "151515", "d84315", "8d1b3d"),
    "watermark": ("ffffff", "ffffff", "ffffff", "ffffff", "000000", "808080", "c0c0c0", "2d6cdf", "d02020", "f0c040"),
    "scene_text": ("101010", "f4f4f0", "b01818", "103a80", "105a30", "f0c020"),
}


def luma(colour: np.ndarray) -> float:
    """Luma of an RGB colour in 0..255 (ITU-R BT.601)."""
    return float(colour @ _LUMA)


def choose_ink(rng: np.random.Generator, kind: str, ground: np.ndarray, contrast: float) -> np.ndarray:
    """An RGB colour, 0..255, of the kind's usual inks, at least `contrast` grey levels from the ground if it can be."""
    inks = _INKS[kind]
    colour = _parse(inks[int(rng.integers(len(inks)))])
    if rng.random() < 0.25:
        colour = np.clip(colour + rng.normal(0, 30, 3), 0, 255)
    if abs(luma(colour) - luma(ground)) >= contrast:
        return colour
    return np.full(3, 255.0) if luma(ground) < 128 else np.full(3, float(rng.integers(0, 40)))


def paint(drawing: Drawing, ground: np.ndarray, style: OverlayStyle, rng: np.random.Generator) -> tuple[Mark, int]:
    """Gives a drawing its colours.

    Args:
        drawing: where the ink is.
        ground: float (3,), 0..255, mean RGB of the picture under it.
        style: which effects it has, and how strong.
        rng: source of chance for colours and directions.

    Returns:
        The mark, and by how many pixels it is larger than the drawing on every side.
    """
    margin_px = _margin(style)
    coverage = np.pad(drawing.coverage, margin_px)
    plate = np.zeros_like(coverage) if drawing.plate is None else np.pad(drawing.plate, margin_px)
    stack = _Stack.empty(coverage.shape)
    if style.plate > 0 and drawing.plate is not None:
        ground_ink = choose_ink(rng, style.kind, ground, 0)
        stack.lay(plate * style.plate, ground_ink)
        ground = ground * (1 - style.plate) + ground_ink * style.plate
    needed = max(style.contrast, 16.0 / max(style.opacity, 0.05))
    fill = choose_ink(rng, style.kind, ground, needed)
    effects = _lay_effects(stack, coverage, fill, style, rng)
    strokes = _lay_strokes(stack, coverage, fill, style, rng)
    influence = np.maximum(strokes, np.clip(effects * style.opacity / _VISIBLE_OPACITY, 0, 1))
    mark = Mark(
        alpha=(stack.alpha * style.opacity).astype(np.float32),
        ink=(stack.ink * style.opacity).astype(np.float32),
        stroke_alpha=(strokes * style.opacity).astype(np.float32),
        influence=influence.astype(np.float32),
        plate=(plate if style.plate > 0 else plate * 0).astype(np.float32),
    )
    return mark, margin_px


@dataclass
class _Stack:
    """Layers laid over each other, bottom first (Porter and Duff 1984, operator over)."""

    alpha: FloatMap
    ink: FloatMap

    @classmethod
    def empty(cls, shape: tuple[int, ...]) -> _Stack:
        return cls(np.zeros(shape, np.float32), np.zeros((*shape, 3), np.float32))

    def lay(self, alpha: FloatMap, colour: np.ndarray) -> None:
        self.ink = self.ink * (1 - alpha[..., None]) + alpha[..., None] * colour.astype(np.float32)
        self.alpha = self.alpha * (1 - alpha) + alpha


def _margin(style: OverlayStyle) -> int:
    reach = 2 + style.outline_px
    if style.shadow or style.glow:
        reach += 3 + 0.3 * style.size_px
    return int(np.ceil(min(reach, 60)))


def _lay_effects(
    stack: _Stack, coverage: FloatMap, fill: np.ndarray, style: OverlayStyle, rng: np.random.Generator
) -> FloatMap:
    effects = np.zeros_like(coverage)
    dark = np.zeros(3) if luma(fill) > 70 else np.full(3, 255.0)
    thick = _dilate(coverage, style.outline_px)
    if style.glow:
        colour = dark if rng.random() < 0.6 else np.clip(fill + rng.normal(0, 60, 3), 0, 255)
        glow = np.clip(_blur(_dilate(thick, 1), 1 + 0.06 * style.size_px) * 1.6, 0, 1) * style.glow
        stack.lay(glow, colour)
        effects = np.maximum(effects, glow)
    if style.shadow:
        reach = min(0.09 * style.size_px, 8.0) * rng.uniform(0.4, 1)
        angle = rng.uniform(0, 2 * np.pi) if rng.random() < 0.2 else rng.uniform(0.1, 1.4)
        shift = np.array([[1, 0, np.cos(angle) * max(reach, 1)], [0, 1, np.sin(angle) * max(reach, 1)]])
        moved = cv2.warpAffine(thick, shift, coverage.shape[::-1], flags=cv2.INTER_LINEAR)
        shadow = _blur(moved.astype(np.float32), rng.choice([0.0, 0.5, 1.0]) * reach) * style.shadow
        stack.lay(shadow, dark)
        effects = np.maximum(effects, shadow)
    return effects


def _lay_strokes(
    stack: _Stack, coverage: FloatMap, fill: np.ndarray, style: OverlayStyle, rng: np.random.Generator
) -> FloatMap:
    strokes = coverage
    if style.outline_px or style.hollow:
        strokes = _dilate(coverage, max(style.outline_px, 1.0))
        ring = np.clip(strokes - coverage, 0, 1) if style.hollow else strokes
        contrary = np.zeros(3) if luma(fill) > 110 else np.full(3, 255.0)
        colour = fill if style.hollow else contrary if rng.random() < 0.8 else rng.uniform(0, 255, 3)
        stack.lay(ring, colour)
        if style.hollow:
            return ring
    stack.lay(coverage, _gradient(coverage.shape, fill, rng) if style.gradient else fill)
    return np.maximum(strokes, coverage)


def _gradient(shape: tuple[int, ...], fill: np.ndarray, rng: np.random.Generator) -> FloatMap:
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    ramp = x * np.cos(angle) + y * np.sin(angle)
    ramp = (ramp - ramp.min()) / max(float(np.ptp(ramp)), 1.0)
    other = np.clip(fill + rng.normal(0, 90, 3), 0, 255)
    return (fill + ramp[..., None] * (other - fill)).astype(np.float32)


def _dilate(coverage: FloatMap, radius_px: float) -> FloatMap:
    """Grows soft shapes by a radius in pixels; fractions lie between the whole radii on both sides."""
    if radius_px <= 0:
        return coverage
    lower = int(radius_px)
    small = ring.dilate(coverage, lower)
    share = radius_px - lower
    return small if share < 0.05 else (1 - share) * small + share * ring.dilate(coverage, lower + 1)


def _blur(layer: FloatMap, sigma: float) -> FloatMap:
    return layer if sigma < 0.3 else cv2.GaussianBlur(layer, (0, 0), float(sigma)).astype(np.float32)


def _parse(text: str) -> np.ndarray:
    return np.array([int(text[i : i + 2], 16) for i in (0, 2, 4)], np.float64)


def with_plate(drawing: Drawing, size_px: float, rng: np.random.Generator) -> Drawing:
    """Puts a plate (rectangle, rounded, or a starburst for prices) behind a drawing that is still upright."""
    pad_px = max(2, int(size_px * rng.uniform(0.15, 0.6)))
    coverage = np.pad(drawing.coverage, pad_px)
    height, width = coverage.shape
    plate = np.zeros((height, width), np.float32)
    round_px = int(min(height, width) * rng.choice([0, 0, 0.1, 0.25, 0.5]))
    if round_px < 2:
        plate[1:-1, 1:-1] = 1
    else:
        plate = _rounded(height, width, round_px)
    polygon = drawing.polygon + pad_px
    return replace(drawing, coverage=coverage, plate=plate, polygon=polygon.astype(np.float32))


def _rounded(height: int, width: int, radius_px: int) -> FloatMap:
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    over_x = np.maximum(np.maximum(radius_px - x, x - (width - 1 - radius_px)), 0)
    over_y = np.maximum(np.maximum(radius_px - y, y - (height - 1 - radius_px)), 0)
    return np.clip(radius_px - np.hypot(over_x, over_y) + 0.5, 0, 1).astype(np.float32)
