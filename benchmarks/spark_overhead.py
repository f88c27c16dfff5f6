"""What Spark and Delta cost: the job against a plain loop over the same pipeline, and against nothing.

    python benchmarks/spark_overhead.py --images 200 --rounds 3

Both sides use as many worker processes as there are cores (`taskset` limits them), load their models before the clock
starts, clean the same pictures and store the results. The rounds alternate; the figure is the median of their ratios.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pandas as pd
from common import make_pictures, print_table, scratch

from cleanplate.batch import waves
from cleanplate.batch.ingest import ingest_source
from cleanplate.batch.run import RunOptions, clean_batch
from cleanplate.config import Config, load_config
from cleanplate.records import Outcome
from cleanplate.spark.partition import WaveTask, cached_plan, freeze_garbage
from cleanplate.spark.session import cores, get_session
from cleanplate.spark.stream import Cleaned, SourceRow, clean_stream
from cleanplate.spark.wide import wide_row
from cleanplate.warehouse.tables import Warehouse

WORKERS = cores()
WAVES = 10  # of the null pipeline
PART_IMAGES = 10  # that a process of the plain loop takes at a time, so that all end together


class Quiet:
    """No progress."""

    def begin(self, images: int) -> None:
        """Nothing is shown."""

    def finish(self) -> None:
        """Nothing is shown."""


def clean_share(paths: list[str], out: str) -> float:
    """The plain loop of one process; its models stay loaded from call to call; returns its seconds."""
    config = load_config(overrides=["rights=owned"])
    plan = cached_plan(config, WORKERS)
    started = time.perf_counter()
    for item in clean_stream((SourceRow(path, path) for path in paths), plan):
        if item.outcome.data is not None:
            (Path(out) / Path(item.row.uri).name).write_bytes(item.outcome.data)
    return time.perf_counter() - started


def null_wave(task: WaveTask) -> Callable[[Iterator[pd.DataFrame]], Iterator[pd.DataFrame]]:
    """A function for mapInPandas that opens no file: what is left is Spark, Delta and the rows."""

    def run(frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        if not gc.get_freeze_count():  # once per process, as the real function does when it has loaded its plan
            freeze_garbage()
        for frame in frames:
            rows = [
                wide_row(task.key, Cleaned(SourceRow(name, uri), Outcome(name, "unchanged", confidence=1.0)), None)
                for name, uri in zip(frame["image_id"], frame["uri"], strict=True)
            ]
            yield pd.DataFrame(rows)

    return run


def timed_clean(warehouse: Warehouse, batch: str, config: Config, limit: int | None = None) -> float:
    """Seconds of the waves of one run: staging, fan-out, no start of Spark and no publishing."""
    seconds: list[float] = []
    run_all = waves.WaveRunner.run_all

    def timed(self: waves.WaveRunner, progress: waves.Progress) -> int:
        started = time.perf_counter()
        count = run_all(self, progress)
        seconds.append(time.perf_counter() - started)
        return count

    waves.WaveRunner.run_all = timed  # type: ignore[method-assign]
    try:
        clean_batch(warehouse, batch, config, RunOptions(new_run=True, limit=limit), Quiet())
    finally:
        waves.WaveRunner.run_all = run_all  # type: ignore[method-assign]
    return seconds[0]


def compare(warehouse: Warehouse, paths: list[Path], folder: Path, rounds: int) -> list[list[object]]:
    """Alternates the plain loop and the job."""
    config = load_config(overrides=["rights=owned"])
    names = [str(path) for path in paths]
    parts = [names[start : start + PART_IMAGES] for start in range(0, len(names), PART_IMAGES)]
    rows: list[list[object]] = []
    out = str(folder / "plain")
    Path(out).mkdir()
    pool = ProcessPoolExecutor(WORKERS, mp_context=multiprocessing.get_context("spawn"))
    list(pool.map(clean_share, [names[:4]] * WORKERS, [out] * WORKERS))
    for number in range(rounds):
        started = time.perf_counter()
        list(pool.map(clean_share, parts, [out] * len(parts)))
        plain = time.perf_counter() - started
        timed_clean(warehouse, "bench", config, limit=4)  # Spark ends workers that were idle for a minute
        spark = timed_clean(warehouse, "bench", config)
        rows.append([number + 1, f"{plain:.1f}", f"{spark:.1f}", f"{100 * (spark / plain - 1):+.1f} %"])
        print(rows[-1], flush=True)
    pool.shutdown()
    ratios = [float(str(row[2])) / float(str(row[1])) for row in rows]
    rows.append(["median", "", "", f"{100 * (statistics.median(ratios) - 1):+.1f} %"])
    return rows


def null_costs(warehouse: Warehouse, images: int, rounds: int) -> list[list[object]]:
    """What an image and what a wave costs where nothing is done.

    One wave of few images against one of all: the difference is per image. All in one wave against all in ten: the
    difference is what nine more waves cost.
    """
    one = load_config(overrides=["run.wave_images=100000"])
    ten = load_config(overrides=[f"run.wave_images={-(-images // WAVES)}"])
    waves.wave_function = null_wave  # type: ignore[assignment]
    few = max(1, images // 10)
    timed_clean(warehouse, "bench", one, limit=few)
    timed_clean(warehouse, "bench", ten)
    measured: list[list[float]] = []
    for _ in range(rounds):
        small, large = (timed_clean(warehouse, "bench", one, limit=count) for count in (few, images))
        many = timed_clean(warehouse, "bench", ten)
        measured.append(
            [small, large, many, 1000 * (large - small) / (images - few), (many - large) / (WAVES - 1)]
        )
        print([f"{value:.2f}" for value in measured[-1]], flush=True)
    rows: list[list[object]] = [[f"{value:.2f}" for value in row] for row in measured]
    rows.append([f"median {statistics.median(column):.2f}" for column in zip(*measured, strict=True)])
    return rows


def main() -> None:
    """Runs both comparisons."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["loop", "null"], help="one of the two comparisons")
    options = parser.parse_args()
    with scratch() as folder:
        paths = make_pictures(folder / "pictures", options.images)
        warehouse = Warehouse(get_session(), str(folder / "warehouse")).create()
        ingest_source(warehouse, "bench", str(folder / "pictures"), rights="owned")
        if options.only != "null":
            rows = compare(warehouse, paths, folder, options.rounds)
            print(f"\n{options.images} JPEGs of 0.5 megapixels, {WORKERS} workers, seconds\n")
            print_table(["round", "plain loop", "Spark job", "overhead"], rows)
        if options.only == "loop":
            return
        few = max(1, options.images // 10)
        print(f"\nnull pipeline: {few} images in a wave, {options.images} in one, {options.images} in {WAVES}\n")
        counts = ((few, 1), (options.images, 1), (options.images, WAVES))
        columns = [*(f"{images} in {number}, s" for images, number in counts), "ms/image", "s/wave"]
        print_table(columns, null_costs(warehouse, options.images, options.rounds))


if __name__ == "__main__":
    main()
