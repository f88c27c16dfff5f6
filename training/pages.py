"""Pages of printed text to learn from: what documents and screenshots are made of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from cleanplate.evaluation.overlays.fonts import FontLibrary, open_font
from cleanplate.evaluation.overlays.texts import phrase

PAGE_PX = 512
_SCRIPTS = ("latin", "latin", "latin", "digits", "cyrillic", "greek", "han")


def draw_page(rng: np.random.Generator, fonts: FontLibrary) -> NDArray[np.uint8]:
    """A page, uint8 (PAGE_PX, PAGE_PX, 3), RGB: lines of text, rules and boxes in few colours, no JPEG, no noise."""
    dark, light = rng.integers(0, 90, size=3), rng.integers(200, 256, size=3)
    paper, ink = (light, dark) if rng.random() < 0.8 else (dark, light)
    page = Image.new("RGB", (PAGE_PX, PAGE_PX), tuple(int(v) for v in paper))
    pen = ImageDraw.Draw(page)
    top = int(rng.integers(0, 20))
    while top < PAGE_PX:
        top += _draw_line(pen, top, ink, rng, fonts)
    return np.asarray(page, np.uint8).copy()


def _draw_line(
    pen: ImageDraw.ImageDraw, top: int, ink: NDArray[np.int64], rng: np.random.Generator, fonts: FontLibrary
) -> int:
    """Draws one line, or a rule or a box now and then; returns how far down the next one starts."""
    colour = tuple(int(v) for v in (ink if rng.random() < 0.8 else rng.integers(0, 256, size=3)))
    chance = rng.random()
    if chance < 0.12:
        box = (int(rng.integers(0, 200)), top, int(rng.integers(220, PAGE_PX)), top + int(rng.integers(8, 60)))
        pen.rectangle(box, outline=colour, width=int(rng.integers(1, 4)), fill=None if chance < 0.06 else colour)
        return int(rng.integers(10, 70))
    size_px = round(float(np.exp(rng.uniform(np.log(10), np.log(44)))))
    script = _SCRIPTS[int(rng.integers(len(_SCRIPTS)))]
    _, path = fonts.pick(rng, "printed", script)
    words = phrase(rng, script, int(rng.integers(2, 12)))
    pen.text((int(rng.integers(-30, 60)), top), words, font=open_font(path, size_px), fill=colour)
    return int(size_px * rng.uniform(1.1, 1.6))
