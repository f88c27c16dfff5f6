"""A textured picture with drawn letters and their exact truth."""

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from cleanplate.image import Carried, Image
from cleanplate.records import Box, Detection, Job


@pytest.fixture
def letters():
    """letters(fill, stroke=None, width=0, ...) -> (clean, drawn, influence, detection of the line)."""

    def draw(fill, stroke=None, stroke_width=0, size=34, text="Summer 24", base=(90, 110, 130)):
        rng = np.random.default_rng(8)
        y, x = np.mgrid[0:160, 0:320]
        noise = rng.normal(0, 3, (160, 320, 3))
        waves = np.stack([x / 6 + 10 * np.sin(y / 9), y / 5, 12 * np.cos(x / 11)], axis=2)
        clean = np.clip(np.array(base) + waves + noise, 0, 255).astype(np.uint8)
        image = Pillow.fromarray(clean)
        font = ImageFont.load_default(size)
        canvas = ImageDraw.Draw(image)
        options = {"font": font, "stroke_width": stroke_width}
        canvas.text((60, 60), text, fill=fill, stroke_fill=stroke, **options)
        left, top, right, bottom = canvas.textbbox((60, 60), text, **options)
        drawn = np.array(image)
        influence = np.abs(drawn.astype(int) - clean).max(axis=2) > 2
        box = Box(int(left) - 3, int(top) - 3, int(right) + 3, int(bottom) + 3)
        confidence = np.full((box.height, box.width), 0.9, np.float32)
        line = Detection("overlay_text", 0.9, box, confidence, "ppocr", height_px=float(box.height))
        return clean, drawn, influence, line

    return draw


@pytest.fixture
def job_of():
    """job_of(rgb, **fields) -> Job."""

    def make(rgb, **fields):
        return Job("a", Image(rgb, rgb, Carried("PNG", "image/png", "RGB"), b""), **fields)

    return make


@pytest.fixture
def scene():
    """scene(shadow) -> (picture, object, shadow): an orange ellipse on a noisy ground; it falls to the lower right."""

    def draw(shadow=0.0):
        height, width = 240, 320
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        ground = np.stack([90 + x / 8, 110 + y / 8, 80 + x / 16], axis=2)
        ground += np.random.default_rng(5).normal(0, 2, ground.shape)
        inside = ((x - 150) / 40) ** 2 + ((y - 105) / 45) ** 2 <= 1
        shade = (((x - 172) / 40) ** 2 + ((y - 122) / 45) ** 2 <= 1) & ~inside
        ground[shade] *= 1 - shadow
        ground[inside] = (220, 120, 30)
        blurred = cv2.GaussianBlur(np.clip(ground, 0, 255).astype(np.uint8), (0, 0), 0.7)
        return blurred, inside, shade if shadow else np.zeros_like(inside)

    return draw
