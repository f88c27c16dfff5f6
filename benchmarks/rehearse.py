"""Rehearses the way back of a batch of many small images, all of them really cleaned: does every diff invert, how fast?

python benchmarks/rehearse.py --images 2000
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from pathlib import Path

import cv2
import numpy as np
from common import EXAMPLES, print_table, scratch
from PIL import Image as Pillow

from cleanplate.batch.ingest import ingest_source
from cleanplate.batch.probe import Probing
from cleanplate.batch.rehearse import Rehearsal, rehearse
from cleanplate.batch.rollback import roll_back
from cleanplate.batch.run import RunOptions, clean_batch
from cleanplate.config import load_config
from cleanplate.spark.session import get_session
from cleanplate.warehouse.tables import Warehouse

FORMATS = ("png", "jpg", "webp", "tiff", "bmp")
# Boxes are given and only the two cheapest engines are used: the diffs are what matters here, not the fills.
SETTINGS = (
    "detect.detectors=[given]",
    "route.engines=[flat, pde]",
    "route.rules=[{engine: flat, when: [texture <= 3]}, {engine: pde}]",
    "verify.min_confidence=0.0",
    "metrics.lpips=false",
    "source.guard=none",
    "models.device=cpu",
)


class Silent:
    """No progress bar."""

    def begin(self, images: int) -> None:
        """Nothing."""

    def finish(self) -> None:
        """Nothing."""


def make_batch(folder: Path, count: int) -> Path:
    """Writes small parts of the example photographs in five formats, each with a mark; returns the notes with boxes."""
    folder.mkdir()
    read = (cv2.imread(str(path)) for path in sorted(EXAMPLES.glob("*.jpg")) if path.stem != "broken")
    sources = [picture[:, :, ::-1] for picture in read if picture is not None]
    rng = np.random.default_rng(0)
    notes = {}
    for number in range(count):
        source = sources[number % len(sources)]
        width, height = int(rng.integers(48, 112)), int(rng.integers(48, 112))
        top, left = int(rng.integers(0, source.shape[0] - height)), int(rng.integers(0, source.shape[1] - width))
        part = source[top : top + height, left : left + width].copy()
        x, y = int(rng.integers(2, width - 30)), int(rng.integers(2, height - 20))
        cv2.putText(part, "ab", (x + 2, y + 13), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
        name = f"{number:05d}.{FORMATS[number % len(FORMATS)]}"
        options = {"quality": 90} if name.endswith(("jpg", "webp")) else {}
        Pillow.fromarray(part).save(folder / name, **options)
        notes[name] = {"regions": [{"box": [x, y, x + 28, y + 18], "kind": "overlay_text"}]}
    path = folder.parent / "notes.json"
    path.write_text(json.dumps(notes), encoding="utf-8")
    return path


def digests(folder: Path) -> dict[str, str]:
    """sha256 by file name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def build(warehouse: Warehouse, folder: Path, notes: Path) -> dict[str, int]:
    """Ingests, cleans and publishes the batch; returns the counts by status."""
    config = load_config(overrides=SETTINGS)
    ingest_source(warehouse, "b", str(folder), notes=str(notes), rights="owned", probing=Probing(config.source))
    return dict(clean_batch(warehouse, "b", config, RunOptions(who="benchmark"), Silent()).counts)


def main() -> None:
    """Builds, rehearses twice (the second time with warm workers), rolls back, and compares every original."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    options = parser.parse_args()
    with scratch() as folder:
        notes = make_batch(folder / "pictures", options.images)
        before = digests(folder / "pictures")
        warehouse = Warehouse(get_session(), str(folder / "warehouse")).create()
        started = time.perf_counter()
        counts = build(warehouse, folder / "pictures", notes)
        cleaned_s = time.perf_counter() - started
        rounds = [rehearse(warehouse, "b", who="benchmark") for _ in range(2)]
        started = time.perf_counter()
        roll_back(warehouse, "b", originals=True)
        back_s = time.perf_counter() - started
        same = digests(folder / "pictures") == before
        print(f"{counts}; ingested and cleaned in {cleaned_s:.0f} s, rolled back in {back_s:.1f} s")
        print(f"every original's sha256 is as before: {same}\n")
        columns = ["rehearsal", "rows", "local diffs", "invert bit for bit", "failed", "seconds", "images per second"]
        print_table(columns, [_row(name, found) for name, found in zip(("first", "second"), rounds, strict=True)])


def _row(name: str, found: Rehearsal) -> list[object]:
    broken = len({(item.run_id, item.image_id) for item in found.failures if item.step in ("diff", "back", "forth")})
    speed = f"{found.images / found.seconds:.0f}"
    return [name, found.images, found.diffs, found.diffs - broken, found.failed, f"{found.seconds:.1f}", speed]


if __name__ == "__main__":
    main()
