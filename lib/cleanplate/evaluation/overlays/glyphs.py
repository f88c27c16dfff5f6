"""Text to coverage maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from cleanplate.evaluation.overlays.fonts import open_font
from cleanplate.evaluation.overlays.records import FloatMap
from cleanplate.records import Box

_MAX_SIDE_PX = 4096


def render_lines(
    lines: Sequence[str], path: Path, size_px: float, script: str, align: str = "left", spacing: float = 0.25
) -> FloatMap:
    """Writes lines under each other.

    Args:
        lines: of text.
        path: of the font.
        size_px: size of the type (em) in pixels.
        script: Arabic is shaped and set from right to left.
        align: "left", "center" or "right".
        spacing: between lines, as a share of size_px.

    Returns:
        float32 (h, w), 0..1, cropped to the ink with a margin of one pixel; (3, 3) of zeros where nothing shows.

    Raises:
        ConfigError: the font cannot be opened.
    """
    font = open_font(path, max(4, round(size_px)), script == "arabic")
    text = "\n".join(lines)
    step_px = round(size_px * spacing)
    canvas = ImageDraw.Draw(Image.new("L", (1, 1)))
    box = canvas.multiline_textbbox((0, 0), text, font=font, spacing=step_px, align=align)
    width = min(_MAX_SIDE_PX, int(np.ceil(box[2] - box[0])) + 4)
    height = min(_MAX_SIDE_PX, int(np.ceil(box[3] - box[1])) + 4)
    image = Image.new("L", (width, height))
    origin = (2 - box[0], 2 - box[1])
    ImageDraw.Draw(image).multiline_text(origin, text, fill=255, font=font, spacing=step_px, align=align)
    return crop_to_ink(np.asarray(image, np.float32) / 255.0)


def render_vertical(text: str, path: Path, size_px: float, script: str) -> FloatMap:
    """Writes the characters of a text under each other, centred; returns as `render_lines`."""
    return render_lines(list(text.replace(" ", "")), path, size_px, script, align="center", spacing=0.1)


def crop_to_ink(coverage: FloatMap, margin_px: int = 1) -> FloatMap:
    """Cuts empty borders off, but for a margin; (3, 3) of zeros where there is no ink."""
    box = Box.around(coverage > 0)
    if not box.area_px:
        return np.zeros((3, 3), np.float32)
    return np.pad(coverage[box.slices], margin_px).astype(np.float32)


def corners(height: int, width: int) -> FloatMap:
    """The corners of a rectangle at the origin as float32 (4, 2), x and y, clockwise from top left."""
    return np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
