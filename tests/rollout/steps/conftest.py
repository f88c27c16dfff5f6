"""Batches of small noisy pictures of several devices, and an engine that is broken for the dark ones."""

import hashlib
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image as Pillow

from cleanplate.warehouse.schemas import MANIFEST

BROKEN = '''
"""A flat fill with a wrong gamma table: what is darker than 60 becomes far too bright."""

import numpy as np

from cleanplate.fill.base import EngineSpec
from cleanplate.fill.flat import FlatEngine


class Engine:
    spec = EngineSpec("broken", "Apache-2.0", cost_units_per_mpx=1.0)

    @classmethod
    def build(cls, config, registry, device):
        engine = cls()
        engine.flat = FlatEngine.build(config, registry, device)
        return engine

    def fill(self, requests):
        return [self._wrong(fill, request) for fill, request in zip(self.flat.fill(requests), requests)]

    def _wrong(self, fill, request):
        is_dark = fill[request.alpha > 0].mean() < 60
        return np.clip(fill.astype(int) + 36 * is_dark, 0, 255).astype(np.uint8)
'''
FAST = (
    "detect.detectors=[given]", "source.guard=none", "metrics.lpips=false", "models.device=cpu", "models.threads=1",
    "blend.method=feather", "route.engines=[flat]", "route.rules=[{engine: flat}]",
)  # fmt: skip
SPOILT = ("route.engines=['broken_engine:Engine']", "route.rules=[{engine: 'broken_engine:Engine'}]")


def device_of(number):
    """One picture of 32 is of the device whose pictures are dark: 3 %."""
    return "night" if number % 32 == 5 else ("phone" if number % 3 else "scanner")


def write_pictures(folder, count, start=0):
    """Noisy PNGs of 48 x 36 px with a bright mark at (14, 12) to (26, 20)."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(start, start + count):
        level = 25 if device_of(number) == "night" else 100 + number % 50
        pixels = np.clip(np.random.default_rng(number).normal(level, 3, (36, 48, 3)), 0, 255).astype(np.uint8)
        pixels[12:20, 14:26] = 230
        paths.append(folder / f"{number:04d}.png")
        Pillow.fromarray(pixels).save(paths[-1], compress_level=1)
    return paths


def manifest_row(batch_id, path):
    """A row of the manifest for a picture."""
    data = path.read_bytes()
    known = {
        "batch_id": batch_id, "image_id": path.stem, "uri": str(path), "width": 48, "height": 36, "rights": "owned",
        "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "regions": [(11, 9, 29, 23, "object")],
        "strata": {"device": device_of(int(path.stem)), "name": path.stem},
    }  # fmt: skip
    return tuple(known.get(name) for name in MANIFEST.fieldNames())


@pytest.fixture(scope="session")
def broken_engine(ship):
    """Ships the broken engine to the workers; returns the settings that use it."""
    ship("broken_engine", BROKEN)
    return SPOILT


@pytest.fixture
def make_batch(warehouse, tmp_path):
    """Fills the manifest of a batch: make_batch("b", 96, start=0) -> its files with their sha256."""

    def make(batch_id, count, start=0):
        paths = write_pictures(tmp_path / batch_id, count, start)
        rows = [manifest_row(batch_id, path) for path in paths]
        warehouse.append(warehouse.spark.createDataFrame(rows, MANIFEST), "manifest")
        return SimpleNamespace(paths=paths, digests=digests(paths))

    return make


def digests(paths):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
