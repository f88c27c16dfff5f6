"""Makes the scripts of training/ importable, and gives them a font that comes with Pillow and small photographs."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import ImageFont

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "training"))

from cleanplate.evaluation.overlays import SCRIPTS, FontLibrary
from cleanplate.evaluation.overlays.fonts import FontFamily


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    root = tmp_path_factory.mktemp("training_fonts")
    (root / "embedded.ttf").write_bytes(ImageFont.load_default(20).path.getvalue())
    families = (
        FontFamily(f"Embedded {kind}", "pillow", "train", kind, SCRIPTS, ("embedded.ttf",))
        for kind in ("printed", "handwriting")
    )
    return FontLibrary(tuple(families), root)


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    y, x = np.mgrid[0:300, 0:400]
    for number in range(3):
        waves = 110 + 50 * np.sin(x / (31.0 + number)) + 40 * np.cos(y / 23.0)
        cv2.imwrite(str(folder / f"{'abc'[number]}.png"), np.repeat(waves[..., None], 3, 2).astype(np.uint8))
    return folder
