"""A plan without networks, and small pictures."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from cleanplate.config import load_config
from cleanplate.pipeline import Plan


@pytest.fixture(scope="module")
def given_plan():
    """Only given regions are cleaned: no network is loaded."""
    overrides = ["detect.detectors=[given]", "source.guard=none", "metrics.lpips=false", "run.batch_megapixels=0.01"]
    plan = Plan.load(load_config(overrides=overrides))
    yield plan
    plan.codec.close()


@pytest.fixture
def write_picture(tmp_path):
    """Writes a small smooth PNG with a dark mark at (14, 12) to (26, 20), and returns its path."""

    def write(name: str, width: int = 64, height: int = 48, value: int = 90) -> Path:
        rows = np.linspace(0, 40, height)[:, None, None]
        pixels = np.broadcast_to(value + rows, (height, width, 3)).astype(np.uint8)
        pixels[12:20, 14:26] = 10
        path = tmp_path / name
        Pillow.fromarray(pixels).save(path)
        return path

    return write
