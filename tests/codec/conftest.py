"""Pictures and helpers for the tests of the codec."""

from __future__ import annotations

import numpy as np
import pytest

from cleanplate.config import SourceConfig


@pytest.fixture
def limits():
    return SourceConfig()


@pytest.fixture
def scene():
    """Makes uint8 (height, width, 3): smooth colours with texture, no clipping."""

    def make(height, width, seed=4412):
        rng = np.random.default_rng(seed)
        y, x = np.mgrid[0:height, 0:width]
        waves = [np.sin(x / 9 + 2 * c) * np.cos(y / 13 - c) for c in range(3)]
        smooth = 128 + 70 * np.stack(waves, axis=2)
        return np.clip(smooth + rng.normal(0, 6, (height, width, 3)), 8, 247).astype(np.uint8)

    return make


@pytest.fixture
def edit():
    """Makes an edit of an image: (rgb, touched) with the box (top, left, bottom, right) painted in one colour."""

    def make(image, box, colour=(200, 40, 90)):
        rgb, touched = image.rgb.copy(), np.zeros(image.rgb.shape[:2], dtype=bool)
        top, left, bottom, right = box
        touched[top:bottom, left:right] = True
        rgb[touched] = colour
        return rgb, touched

    return make
