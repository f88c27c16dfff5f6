"""Pictures for the enhancers: a small synthetic photograph, and what JPEG makes of it."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image as PillowImage

from cleanplate.image import Carried, Image


def photograph(side=192, seed=5):
    """Uint8 (side, side, 3): smooth shades, edges and texture, as photographs have."""
    rng = np.random.default_rng(seed)
    canvas = np.zeros((side, side, 3), np.float32)
    for scale, contrast in ((4, 26), (12, 36), (40, 60)):
        coarse = rng.normal(0, 1, (side // scale + 2, side // scale + 2, 3)).astype(np.float32)
        canvas += contrast * cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    canvas = 120 + 0.5 * canvas + 0.5 * canvas.mean(axis=2, keepdims=True)
    for _ in range(12):
        x, y, r = (int(v) for v in rng.integers(8, side, 3))
        colour = [float(v) for v in rng.integers(40, 216, 3)]
        cv2.circle(canvas, (x, y), r // 6 + 4, colour, -1, cv2.LINE_AA)
    canvas = cv2.GaussianBlur(canvas, (0, 0), 0.7)
    return np.clip(np.rint(canvas), 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def photo():
    return photograph()


@pytest.fixture(scope="session")
def jpeg_bytes():
    """A picture as a JPEG file: jpeg_bytes(rgb, 75, subsampling=2)."""

    def write(rgb, quality, subsampling=2):
        buffer = io.BytesIO()
        PillowImage.fromarray(rgb).save(buffer, "JPEG", quality=quality, subsampling=subsampling)
        return buffer.getvalue()

    return write


@pytest.fixture(scope="session")
def as_jpeg(jpeg_bytes):
    """The pixels that a JPEG of a picture has."""

    def compress(rgb, quality, subsampling=2):
        return np.array(PillowImage.open(io.BytesIO(jpeg_bytes(rgb, quality, subsampling))))

    return compress


@pytest.fixture(scope="session")
def as_image():
    """Pixels as the image of a PNG file, or of what else is said."""

    def wrap(rgb, **carried):
        values = {"format": "PNG", "media_type": "image/png", "mode": "RGB"} | carried
        return Image(rgb, rgb, Carried(**values), b"")

    return wrap


@pytest.fixture(scope="session")
def analysis_of():
    """An analysis in which only what is named speaks for enhancement: analysis_of(noise_rgb=9.0)."""
    from cleanplate.enhance.analyse import Analysis

    def make(**values):
        known = {
            "jpeg_quality": None, "jpeg_evidence": "none", "grid_offset": (0, 0), "double_compressed": False,
            "noise_luma": 0.0, "noise_chroma": 0.0, "noise_rgb": 0.0, "noise_correlation": 0.0, "noise_slope": 0.0,
            "blur": 0.5, "origin": "camera",
        }  # fmt: skip
        return Analysis(**(known | values))

    return make
