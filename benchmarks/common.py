"""What the benchmarks share: pictures to clean, and a warehouse to clean them in."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "photos"


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder that goes when the benchmark ends."""
    folder = Path(tempfile.mkdtemp(prefix="cleanplate-bench-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def make_pictures(folder: Path, count: int, width: int = 832, height: int = 600, seed: int = 0) -> list[Path]:
    """Writes JPEGs of about width x height pixels: parts of the example photographs, each with one printed line."""
    folder.mkdir(parents=True, exist_ok=True)
    names = sorted(path for path in EXAMPLES.glob("*.jpg") if path.stem != "broken")
    readable = [cv2.imread(str(path)) for path in names]
    sources = [picture for picture in readable if picture is not None]
    rng = np.random.default_rng(seed)
    paths = []
    for number in range(count):
        source = sources[number % len(sources)]
        scale = 1.0 + 0.3 * rng.random()
        picture = cv2.resize(source, (round(width * scale), round(height * scale)))[:height, :width].copy()
        place = int(rng.integers(20, width // 3)), int(rng.integers(60, height - 20))
        for colour, thickness in (((0, 0, 0), 6), ((255, 255, 255), 2)):
            text, font = f"No. {number:05d}", cv2.FONT_HERSHEY_SIMPLEX
            cv2.putText(picture, text, place, font, 1.4, colour, thickness, cv2.LINE_AA)
        path = folder / f"{number:05d}.jpg"
        cv2.imwrite(str(path), picture, [cv2.IMWRITE_JPEG_QUALITY, 92])
        paths.append(path)
    return paths


def print_table(columns: list[str], rows: list[list[object]]) -> None:
    """Prints a Markdown table."""
    print("| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns))
    for row in rows:
        print("| " + " | ".join(str(value) for value in row) + " |")
