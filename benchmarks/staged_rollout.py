"""Rolls a batch out with an engine that spoils 3 %, repairs it, takes it back; and how often a step would tell.

python benchmarks/staged_rollout.py --images 2000
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import print_table, scratch
from PIL import Image as Pillow

HERE = Path(__file__).resolve().parent
# Spark's workers are started with this environment; they must find the broken engines.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(HERE), os.environ.get("PYTHONPATH"))))

from cleanplate.batch.ingest import ingest_source  # noqa: E402
from cleanplate.batch.rollback import roll_back  # noqa: E402
from cleanplate.batch.run import RunOptions  # noqa: E402
from cleanplate.config import load_config  # noqa: E402
from cleanplate.rollout.intervals import share_bounds  # noqa: E402
from cleanplate.rollout.judgement import Judgement, remarks  # noqa: E402
from cleanplate.rollout.sample import sample_order, step_sizes  # noqa: E402
from cleanplate.rollout.steps import clean_batch_in_steps  # noqa: E402
from cleanplate.spark.session import get_session  # noqa: E402
from cleanplate.warehouse.tables import Warehouse  # noqa: E402

FAST = ["detect.detectors=[given]", "source.guard=none", "metrics.lpips=false", "models.device=cpu", "models.threads=1",
        "blend.method=feather", "run.wave_images=1000"]  # fmt: skip
BROKEN = {"one device": "broken_engines:DarkEngine", "chance": "broken_engines:ChanceEngine"}


class Silent:
    """No bar."""

    def begin(self, images: int) -> None:
        """A wave of so many images starts."""

    def finish(self) -> None:
        """The wave is in the tables."""


def make_batch(folder: Path, images: int) -> Path:
    """Writes noisy PNGs of 48 x 36 px with a bright mark each, 3 % of them dark; returns the notes."""
    folder.mkdir()
    notes = {}
    for number in range(images):
        device = "night" if number % 100 in (7, 40, 73) else f"phone {number % 4}"
        level = 25 if device == "night" else 100 + number % 50
        pixels = np.clip(np.random.default_rng(number).normal(level, 3, (36, 48, 3)), 0, 255).astype(np.uint8)
        pixels[12:20, 14:26] = 230
        Pillow.fromarray(pixels).save(folder / f"{number:05d}.png", compress_level=1)
        region = {"box": [11, 9, 29, 23], "kind": "object"}
        notes[f"{number:05d}.png"] = {"regions": [region], "device": device, "language": ("de", "fr")[number % 2]}
    path = folder.parent / "notes.json"
    path.write_text(json.dumps(notes))
    return path


def digests(folder: Path) -> dict[str, str]:
    """sha256 of every original."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def settings(engine: str) -> list[str]:
    """Everything goes to one engine."""
    return [*FAST, f"route.engines=['{engine}']", f"route.rules=[{{engine: '{engine}'}}]"]


def timed(function: Callable[[], Any]) -> tuple[Any, float]:
    """What a function returns, and its seconds."""
    started = time.perf_counter()
    return function(), time.perf_counter() - started


def stopped_at(bad: np.ndarray, sizes: list[int], ranks: np.ndarray, limit: float) -> int:
    """Number of the first step at which a share of at most `limit` would be over for sure; 0 for none."""
    for number, size in enumerate(sizes, 1):
        if share_bounds(int(bad[ranks < size].sum()), size, len(bad))[0] > limit:
            return number
    return 0


def power_rows(images: int, trials: int, limit: float = 0.01) -> list[list[object]]:
    """How often a defect of a given share is stopped at the first step, and at the first or second."""
    sizes = step_sizes(images, (0.01, 0.1, 1.0), 50)
    rng = np.random.default_rng(0)
    names = [str(number) for number in range(images)]
    rows: list[list[object]] = []
    for share in (0.005, 0.01, 0.02, 0.03, 0.05, 0.1):
        count = round(share * images)
        by_chance, by_device = [], []
        for trial in range(trials):
            bad = np.zeros(images, bool)
            bad[:count] = True
            by_chance.append(stopped_at(rng.permutation(bad), sizes, np.arange(images), limit))
            cells = ["night" if one else "day" for one in bad]
            by_device.append(stopped_at(bad, sizes, sample_order(names, cells, f"b{trial}", sizes[0]), limit))
        cells_of = [[np.mean([0 < at <= n for at in found]) for n in (1, 2)] for found in (by_chance, by_device)]
        rows.append([f"{100 * share:g} %", *(f"{100 * value:.0f} %" for found in cells_of for value in found)])
    return rows


def roll_out(warehouse: Warehouse, engine: str, what: str) -> tuple[list[object], Judgement]:
    """One run with an engine; returns the table's row and the judgement."""
    options = RunOptions(new_run=True, staged=True, auto_approve=True, who="benchmark")
    config = load_config(overrides=settings(engine))
    report, seconds = timed(lambda: clean_batch_in_steps(warehouse, "b", config, options, Silent()))
    judgement = Judgement.from_json(report.gates)
    shown = warehouse.current("results").count()
    row = [what, report.state, f"{judgement.step} of {judgement.steps}", report.cleaned_now, shown, f"{seconds:.0f}"]
    return row, judgement


def main() -> None:
    """The broken engines, the repaired one, the way back, the power of the steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--trials", type=int, default=200, help="samples drawn for the table of how often a step tells")
    options = parser.parse_args()
    with scratch() as folder:
        notes = make_batch(folder / "originals", options.images)
        before = digests(folder / "originals")
        warehouse = Warehouse(get_session(), str(folder / "wh")).create()
        ingest_source(warehouse, "b", str(folder / "originals"), notes=str(notes), rights="owned")
        rows, lines = [], []
        for name, engine in BROKEN.items():
            row, judgement = roll_out(warehouse, engine, f"engine that spoils 3 %: {name}")
            rows.append(row)
            lines += [f"{name}: {judgement.note}", *(f"    {line}" for line in remarks(judgement))]
        rows.append(roll_out(warehouse, "flat", "engine repaired")[0])
        _, seconds = timed(lambda: roll_back(warehouse, "b", who="benchmark"))
        rows.append(["rolled back", "rolled_back", "", "", warehouse.current("results").count(), f"{seconds:.1f}"])
        same = digests(folder / "originals") == before
    print_table(["what", "state", "step", "images cleaned", "images shown afterwards", "s"], rows)
    print("\n".join(["", *lines, "", f"every original's sha256 as before: {same}", ""]))
    columns = ["spoilt", "chance: step 1", "chance: by step 2", "one stratum: step 1", "one stratum: by step 2"]
    print_table(columns, power_rows(options.images, options.trials))


if __name__ == "__main__":
    main()
