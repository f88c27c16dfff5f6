"""A photograph of nothing in particular, and a font that comes with Pillow, so that no font package is needed."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import ImageFont

from cleanplate.evaluation.overlays import SCRIPTS, FontLibrary
from cleanplate.evaluation.overlays.fonts import FontFamily


@pytest.fixture(scope="session")
def fonts(tmp_path_factory: pytest.TempPathFactory) -> FontLibrary:
    root = tmp_path_factory.mktemp("fonts")
    embedded = ImageFont.load_default(20).path
    assert isinstance(embedded, BytesIO)
    (root / "embedded.ttf").write_bytes(embedded.getvalue())
    kinds = ("printed", "handwriting")
    return FontLibrary(
        tuple(FontFamily(f"Embedded {k}", "pillow", "train", k, SCRIPTS, ("embedded.ttf",)) for k in kinds),  # type: ignore[arg-type]
        Path(root),
    )


@pytest.fixture(scope="session")
def photograph() -> np.ndarray:
    rng = np.random.default_rng(5)
    y, x = np.mgrid[0:200, 0:260]
    waves = 110 + 50 * np.sin(x / 31.0) + 40 * np.cos(y / 23.0)
    noisy = waves[..., None] + rng.normal(0, 6, (200, 260, 3)) + np.array([10, 0, -15])
    return np.clip(noisy, 0, 255).astype(np.uint8)
