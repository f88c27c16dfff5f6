"""Designs of printed overlays: captions, memes, prices, dense lists, dates, credits, vertical and curved lines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cleanplate.evaluation.overlays import texts
from cleanplate.evaluation.overlays.fonts import FontLibrary
from cleanplate.evaluation.overlays.glyphs import corners, render_lines, render_vertical
from cleanplate.evaluation.overlays.paint import with_plate
from cleanplate.evaluation.overlays.records import Drawing, OverlayStyle
from cleanplate.evaluation.overlays.warp import curve

# Mean advance of a word with its space, in em; how much fits into a line is reckoned with it.
_WORD_EM = {"han": 4.0, "japanese": 4.5, "korean": 3.2, "arabic": 2.4}


def draw_text(
    style: OverlayStyle, width_px: int, scale: int, fonts: FontLibrary, rng: np.random.Generator, hand: bool = False
) -> Drawing:
    """Draws printed text (or text in a handwriting font) upright.

    Args:
        style: design, script, size, plate.
        width_px: width of the picture, which lines are fitted to.
        scale: factor on the size of the type (see `warp.supersampling`).
        fonts: to write with.
        rng: source of chance.
        hand: whether to write with a handwriting font.

    Raises:
        ConfigError: no font writes the script.
    """
    lines = write_lines(style, width_px, rng)
    script = "latin" if style.design in ("date", "credit", "price") else style.script
    family, path = fonts.pick(rng, "handwriting" if hand else "printed", script)
    size_px = style.size_px * scale
    if style.design == "vertical":
        coverage = render_vertical(lines[0][:14], path, size_px, script)
    else:
        align = str(rng.choice(["left", "center", "center", "right"]))
        coverage = render_lines(lines, path, size_px, script, align, rng.uniform(0.1, 0.6))
    polygon = corners(*coverage.shape)
    if style.design == "curved" and coverage.shape[1] > 3:
        coverage, polygon = curve(coverage, float(rng.uniform(30, 200)) * float(rng.choice([-1, 1])))
    drawing = Drawing(coverage, polygon, None, "\n".join(lines), family)
    return with_plate(drawing, size_px, rng) if style.plate > 0 else drawing


def write_lines(style: OverlayStyle, width_px: int, rng: np.random.Generator) -> Sequence[str]:
    """The lines that a design says, as many words as fit into the picture's width at its size."""
    fitting = max(1, int(width_px / (style.size_px * _WORD_EM.get(style.script, 3.6))))
    words = int(rng.integers(1, fitting + 1))
    if style.design == "price":
        return [texts.price(rng)]
    if style.design == "date":
        return [texts.digits(rng)]
    if style.design == "credit":
        return [texts.credit(rng)]
    if style.design == "dense":
        return texts.dense_lines(rng, style.script, int(rng.integers(3, 16)))
    if style.design in ("curved", "vertical"):
        return [texts.phrase(rng, style.script, min(words, 4))]
    lines = [texts.phrase(rng, style.script, words) for _ in range(int(rng.integers(1, 4)))]
    return [line.upper() for line in lines] if style.design == "meme" else lines
