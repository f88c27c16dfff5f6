"""Makes the scripts of training/ importable; a font that comes with Pillow, small photographs, and what all must do."""

import hashlib
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
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


@pytest.fixture
def goes_on():
    """Says whether another trainer takes a checkpoint up, and weights and card were written."""
    return _goes_on


def _goes_on(first, start, load=None):
    """For a trainer that made one step and reported the loss 0.75; `load`, if any, reads the weights' file."""
    second = start()
    assert second.progress.steps == 1
    assert second.progress.losses == [0.75]
    for name, value in first.network.state_dict().items():
        assert torch.equal(value, second.network.state_dict()[name])
    weights = first.args.out
    card = weights.with_suffix(".md").read_text()
    assert hashlib.sha256(weights.read_bytes()).hexdigest() in card
    assert "| 1 | 0.7500 |" in card
    if load is not None:
        loaded = load(weights).state_dict()
        for name, value in first.mean.state_dict().items():
            assert torch.allclose(loaded[name], value, atol=1e-3)
    return True
