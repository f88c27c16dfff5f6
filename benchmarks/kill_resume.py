"""Kills the job with SIGKILL at random points, resumes it each time, and compares the tables with an undisturbed run's.

python benchmarks/kill_resume.py --images 32 --kills 10
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from common import make_pictures, print_table, scratch
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812

from cleanplate.batch.ingest import ingest_source
from cleanplate.spark.session import get_session
from cleanplate.warehouse.tables import Warehouse

# What may differ between two runs of the same work.
VARIES = {
    "results": ["timings", "attempt", "result_uri"],
    "masks": [],
    "diffs": [],
    "metrics": [],
}


def clean_command(warehouse: Path) -> list[str]:
    """The job, in many small waves."""
    settings = ["--set", "run.wave_images=2", "--set", "rights=owned"]
    verb = ["clean", "--batch", "b", "--warehouse", str(warehouse)]
    return [sys.executable, "-m", "cleanplate.cli.main", *verb, *settings]


def start(warehouse: Path, log: Path) -> subprocess.Popen[bytes]:
    """Starts the job in a process group of its own."""
    with log.open("ab") as out:
        return subprocess.Popen(clean_command(warehouse), start_new_session=True, stdout=out, stderr=out)


def kill_until_done(
    warehouse: Path, kills: int, between_s: tuple[float, float], log: Path, rng: random.Random
) -> tuple[int, int]:
    """Kills at random times, then lets the job end; returns the kills that hit a running job, and the calls."""
    hit, calls = 0, 0
    while hit < kills and calls < 4 * kills:
        process = start(warehouse, log)
        calls += 1
        try:
            process.wait(timeout=rng.uniform(*between_s))
            break  # it was done before the kill
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            hit += 1
            time.sleep(0.5)
    calls += 1
    if start(warehouse, log).wait() != 0:
        raise SystemExit(f"the resumed job failed; see {log}\n{log.read_text()[-3000:]}")
    return hit, calls


def comparable(warehouse: Warehouse, table: str) -> DataFrame:
    """A table's rows without what may differ, each as JSON (sets of rows with maps cannot be compared)."""
    frame = warehouse.frame(table).drop(*VARIES[table])
    return frame.select(F.to_json(F.struct(*frame.columns)).alias("row"))


def main() -> None:
    """Runs the undisturbed job, the killed one, and the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--between", type=float, nargs=2, default=(9.0, 26.0), help="seconds until a kill")
    options = parser.parse_args()
    with scratch() as folder:
        make_pictures(folder / "pictures", options.images, 480, 360)
        session = get_session()
        houses = {name: Warehouse(session, str(folder / name)).create() for name in ("calm", "killed")}
        for house in houses.values():
            ingest_source(house, "b", str(folder / "pictures"), rights="owned")
        log = folder / "job.log"
        started = time.perf_counter()
        if start(folder / "calm", log).wait() != 0:
            raise SystemExit(f"the undisturbed job failed\n{log.read_text()[-3000:]}")
        calm_s = time.perf_counter() - started
        rng = random.Random(options.seed)
        hit, calls = kill_until_done(folder / "killed", options.kills, tuple(options.between), log, rng)
        rows: list[list[object]] = []
        for table in VARIES:
            calm, killed = (comparable(house, table) for house in houses.values())
            differing = calm.exceptAll(killed).count() + killed.exceptAll(calm).count()
            rows.append([table, calm.count(), killed.count(), differing])
        staged = houses["killed"].frame("staging").count()
        print(f"undisturbed: {calm_s:.0f} s; killed {hit} times in {calls} calls; staged rows left: {staged}\n")
        print_table(["table", "rows, undisturbed", "rows, killed", "rows that differ"], rows)
        sys.exit(1 if any(row[3] for row in rows) or staged or hit < options.kills else 0)


if __name__ == "__main__":
    main()
