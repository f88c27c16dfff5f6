"""A small batch of pictures, and detectors that count."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from cleanplate.config import load_config
from cleanplate.warehouse.schemas import MANIFEST


@pytest.fixture
def pictures(tmp_path):
    """Six small PNGs with a dark mark each, and the notes that name the mark's box."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(6):
        pixels = np.full((48, 64, 3), 60 + 20 * number, np.uint8)
        pixels[12:20, 14:26] = 10
        Pillow.fromarray(pixels).save(folder / f"{number}.png")
    notes = {f"{n}.png": {"regions": [{"box": [10, 8, 30, 24]}], "language": "de"} for n in range(6)}
    return write_notes(folder, notes)


def write_notes(folder: Path, notes: dict) -> tuple[Path, Path]:
    """The folder and its side notes."""
    path = folder.parent / "notes.json"
    path.write_text(json.dumps(notes))
    return folder, path


@pytest.fixture
def config():
    """Only given regions, no networks, one wave."""
    overrides = [
        "detect.detectors=[given]", "source.guard=none", "metrics.lpips=false",
        "models.device=cpu", "models.threads=1",
    ]  # fmt: skip
    return load_config(overrides=overrides)


@pytest.fixture
def ingested(warehouse, pictures):
    """Batch "b" of the pictures, its manifest written without an ingest; returns a function that adds a picture."""
    folder, _ = pictures

    def add(*names, **values):
        rows = [manifest_row(folder / name, values) for name in names]
        warehouse.append(warehouse.spark.createDataFrame(rows, MANIFEST), "manifest")

    add(*sorted(path.name for path in folder.glob("*.png")), regions=[(10, 8, 30, 24, "object")])
    return add


def manifest_row(path: Path, values: dict) -> tuple:
    """A row of the manifest for a file."""
    known = {
        "batch_id": "b", "image_id": path.stem, "uri": str(path), "width": 64, "height": 48, "rights": "owned",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    } | values  # fmt: skip
    return tuple(known.get(name) for name in MANIFEST.fieldNames())


class Steps:
    """Counts what a progress bar would show."""

    def __init__(self):
        self.begun, self.finished = [], 0

    def begin(self, images):
        self.begun.append(images)

    def finish(self):
        self.finished += 1


@pytest.fixture
def steps():
    return Steps()
