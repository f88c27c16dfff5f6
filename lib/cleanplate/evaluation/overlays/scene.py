"""Scene text: writing that belongs to the photographed world, with its perspective, light, blur and grain."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from cleanplate.evaluation.overlays import texts
from cleanplate.evaluation.overlays.fonts import FontLibrary
from cleanplate.evaluation.overlays.glyphs import corners, render_lines
from cleanplate.evaluation.overlays.paint import choose_ink, luma, with_plate
from cleanplate.evaluation.overlays.records import Drawing, FloatMap, OverlayStyle


def draw_sign(
    style: OverlayStyle, width_px: int, scale: int, fonts: FontLibrary, rng: np.random.Generator
) -> Drawing:
    """Draws the lettering of a sign (with its board) or of a wall, upright.

    Raises:
        ConfigError: no font writes the script.
    """
    kind = "handwriting" if rng.random() < 0.12 else "printed"
    family, path = fonts.pick(rng, kind, style.script)
    fitting = max(1, int(width_px / (style.size_px * 4)))
    count = int(rng.integers(1, 4))
    lines = [texts.phrase(rng, style.script, int(rng.integers(1, min(fitting, 3) + 1))) for _ in range(count)]
    coverage = render_lines(lines, path, style.size_px * scale, style.script, "center", rng.uniform(0.1, 0.5))
    drawing = Drawing(coverage, corners(*coverage.shape), None, "\n".join(lines), family)
    return with_plate(drawing, style.size_px * scale, rng) if style.design == "sign" else drawing


def blend_into_scene(
    patch: np.ndarray, drawing: Drawing, style: OverlayStyle, rng: np.random.Generator
) -> tuple[np.ndarray, FloatMap]:
    """Makes a drawing part of the photographed scene.

    Args:
        patch: uint8 (h, w, 3), RGB, the picture under the drawing.
        drawing: of the same size.
        style: opacity and contrast.
        rng: source of chance.

    Returns:
        uint8 (h, w, 3) with the writing in it, and float32 (h, w), 0..1, where its strokes are.
    """
    base = patch.astype(np.float32)
    blurred = _lens(drawing, rng)
    ground = base.reshape(-1, 3).mean(axis=0).astype(np.float64)
    light = _light(base, 0.7 if style.design == "painted" else 0.3, rng)
    painted = style.design == "painted"
    texture = _texture(base, float(rng.uniform(0.2, 0.9) if painted else rng.uniform(0.0, 0.12)))
    exposure = float(np.clip(np.quantile(base, 0.97) / 255.0, 0.35, 0.95))
    scene = base
    if blurred.plate is not None:
        board = choose_ink(rng, "scene_text", ground, 0) * exposure
        scene = _lay(scene, blurred.plate, _bounded(board, rng) * light * texture)
        ground = board
    ink = _bounded(choose_ink(rng, "scene_text", ground, style.contrast) * exposure, rng)
    scene = _lay(scene, blurred.coverage * style.opacity * _wear(base.shape, rng), ink * light * texture)
    touched = blurred.coverage if blurred.plate is None else np.maximum(blurred.coverage, blurred.plate)
    grain = _grain(base, rng) * touched[..., None]
    return np.clip(np.round(scene + grain), 0, 255).astype(np.uint8), blurred.coverage


def _lens(drawing: Drawing, rng: np.random.Generator) -> Drawing:
    """Blurs strokes and board alike, as one lens does; now and then with motion."""
    sigma = float(rng.uniform(0.4, 1.8))
    length = int(rng.integers(3, 8)) if rng.random() < 0.15 else 0

    def blur(layer: FloatMap) -> FloatMap:
        soft = cv2.GaussianBlur(layer, (0, 0), sigma)
        return (cv2.blur(soft, (length, 1)) if length else soft).astype(np.float32)

    plate = None if drawing.plate is None else blur(drawing.plate)
    return replace(drawing, coverage=blur(drawing.coverage), plate=plate)


def _light(base: FloatMap, strength: float, rng: np.random.Generator) -> FloatMap:
    """The place's own light and shade (coarse), and a fall-off from one side; about 1 on average."""
    grey = base.mean(axis=2)
    coarse = cv2.GaussianBlur(grey, (0, 0), max(2.0, min(base.shape[:2]) / 5))
    relative = np.clip(coarse / max(float(coarse.mean()), 8.0), 0.6, 1.4)
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[-1 : 1 : base.shape[0] * 1j, -1 : 1 : base.shape[1] * 1j]
    slope = 1 + rng.uniform(0, 0.3) * (np.cos(angle) * x + np.sin(angle) * y)
    return (relative**strength * slope)[..., None].astype(np.float32)


def _texture(base: FloatMap, strength: float) -> FloatMap:
    grey = base.mean(axis=2) + 4
    detail = np.clip(grey / (cv2.GaussianBlur(grey, (0, 0), 6) + 1), 0.5, 1.5)
    return (1 + strength * (detail - 1))[..., None].astype(np.float32)


def _wear(shape: tuple[int, ...], rng: np.random.Generator) -> FloatMap:
    if rng.random() < 0.6:
        return np.ones(shape[:2], np.float32)
    noise = cv2.GaussianBlur(rng.random(shape[:2], dtype=np.float32), (0, 0), rng.uniform(1, 5))
    low, high = np.quantile(noise, [0.02, rng.uniform(0.1, 0.4)])
    return np.clip((noise - low) / max(float(high - low), 1e-3), 0.3, 1).astype(np.float32)


def _grain(base: FloatMap, rng: np.random.Generator) -> FloatMap:
    """Noise like that of the place: as strong, and a little soft, as cameras make it."""
    grey = base.mean(axis=2)
    residual = grey - cv2.GaussianBlur(grey, (0, 0), 1.0)
    sigma = float(np.clip(np.median(np.abs(residual)) / 0.6745 * 1.4, 0.8, 7.0)) * rng.uniform(0.7, 1.3)
    noise = cv2.GaussianBlur(rng.standard_normal(base.shape, dtype=np.float32), (0, 0), 0.6)
    return (noise / max(float(noise.std()), 1e-3) * sigma).astype(np.float32)


def _bounded(colour: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Paint in the world is never quite black, and less saturated than ink on a screen."""
    grey = luma(colour)
    return np.clip(grey + (colour - grey) * rng.uniform(0.4, 0.9), 12, 245).astype(np.float32)


def _lay(scene: FloatMap, alpha: FloatMap, colour: FloatMap) -> FloatMap:
    return scene * (1 - alpha[..., None]) + alpha[..., None] * colour
