"""Pictures of several sizes that carry one mark in their lower right corner, or none."""

import cv2
import numpy as np
import pytest

from cleanplate.image import Carried, Image

MARK_PX = (34, 92)  # rows, columns
INSET_PX = (9, 14)  # from the lower and from the right edge
INK = np.array([250, 245, 235], np.float32)


def scene(seed, height, width):
    """A shaded, textured picture with an edge or two, float32 (H, W, 3)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    base, tilt = rng.uniform(60, 170, 3), rng.uniform(-0.3, 0.3, (2, 3))
    grain = cv2.GaussianBlur(rng.normal(0, 1, (height, width, 3)).astype(np.float32), (0, 0), 1.5) * 45
    shade = base + (x[..., None] - width / 2) * tilt[0] + (y[..., None] - height / 2) * tilt[1]
    for _ in range(3):
        angle, offset = rng.uniform(0, np.pi), rng.uniform(-60, 60)
        side = (x - width / 2) * np.cos(angle) + (y - height / 2) * np.sin(angle) > offset
        shade = shade + side[..., None] * rng.uniform(-40, 40, 3)
    return np.clip(shade + grain, 5, 250).astype(np.float32)


def opacity():
    """The mark's, float32 (34, 92): letters at 40 %."""
    canvas = np.zeros(MARK_PX, np.uint8)
    cv2.putText(canvas, "Brand", (3, 25), cv2.FONT_HERSHEY_SIMPLEX, 0.9, 255, 3, cv2.LINE_AA)
    return 0.4 * canvas.astype(np.float32) / 255


def corner(height, width):
    """Rows and columns of the mark in a picture."""
    bottom, right = height - INSET_PX[0], width - INSET_PX[1]
    return slice(bottom - MARK_PX[0], bottom), slice(right - MARK_PX[1], right)


def marked(picture):
    """uint8, with the mark."""
    result, alpha = picture.copy(), opacity()[..., None]
    place = corner(*picture.shape[:2])
    result[place] = picture[place] * (1 - alpha) + alpha * INK
    return np.rint(result).astype(np.uint8)


def image_of(rgb):
    return Image(rgb, rgb, Carried("PNG", "image/png", "RGB"), b"")


SIZES = ((190, 280), (190, 280), (210, 250), (200, 300))


@pytest.fixture(scope="session")
def clean():
    """24 pictures without the mark."""
    return [scene(seed, *SIZES[seed % len(SIZES)]) for seed in range(24)]


@pytest.fixture(scope="session")
def carrying(clean):
    """The same with it."""
    return [marked(picture) for picture in clean]
