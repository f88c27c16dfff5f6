"""What publishing, rolling back and re-publishing cost as a batch grows: the rows are synthetic, the tables real.

python benchmarks/rollback_scale.py --rows 1000 10000 100000
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

from common import print_table, scratch
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812

from cleanplate.batch.publish import publish
from cleanplate.batch.rollback import republish, roll_back
from cleanplate.spark.session import get_session
from cleanplate.warehouse.ledger import Ledger
from cleanplate.warehouse.schemas import DIFFS, MASKS, METRICS, RESULTS
from cleanplate.warehouse.tables import Warehouse

ROUNDS = 3


def rows_of(warehouse: Warehouse, batch: str, run: str, count: int) -> DataFrame:
    """Synthetic rows with every column that an output table needs."""
    values = {
        "batch_id": F.lit(batch), "run_id": F.lit(run), "wave": F.lit(0), "config_hash": F.lit("c0ffee"),
        "attempt": F.lit(1), "status": F.lit("cleaned"), "confidence": F.lit(0.9), "retryable": F.lit(False),
        "region_id": F.lit(0), "kind": F.lit("local"), "name": F.lit("seam"), "value": F.lit(0.5),
        "patch": F.lit(b"p" * 64), "alpha_png": F.lit(b"a" * 64),
    }  # fmt: skip
    frame = warehouse.spark.range(count).withColumn("image_id", F.concat(F.lit("image-"), F.col("id")))
    return frame.withColumns(values)


def fill(warehouse: Warehouse, batch: str, count: int) -> str:
    """Starts a run and writes its rows to all tables."""
    run = Ledger(warehouse).start_run(batch, config_hash="c0ffee", who="benchmark").run_id
    rows = rows_of(warehouse, batch, run, count)
    for table, schema in (("results", RESULTS), ("masks", MASKS), ("diffs", DIFFS), ("metrics", METRICS)):
        columns = [
            (F.col(field.name) if field.name in rows.columns else F.lit(None)).cast(field.dataType).alias(field.name)
            for field in schema
        ]
        warehouse.append(rows.select(*columns), table)
    return run


def seconds(action: Callable[[], object]) -> float:
    """Wall seconds of a call."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def measure(warehouse: Warehouse, batch: str, run: str) -> list[float]:
    """Medians of publish (once), roll back, re-publish, and of reading the counts that are shown."""
    first = seconds(lambda: publish(warehouse, batch, run, who="benchmark"))
    back, again, read = [], [], []
    for _ in range(ROUNDS):
        back.append(seconds(lambda: roll_back(warehouse, batch)))
        again.append(seconds(lambda: republish(warehouse, batch, run)))
        read.append(seconds(lambda: warehouse.current("results").groupBy("status").count().collect()))
    return [first, statistics.median(back), statistics.median(again), statistics.median(read)]


def main() -> None:
    """Fills one batch per size, then measures them in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1000, 10_000, 100_000])
    options = parser.parse_args()
    with scratch() as folder:
        warehouse = Warehouse(get_session(), str(folder / "warehouse")).create()
        warm = fill(warehouse, "warm-up", 10)
        measure(warehouse, "warm-up", warm)
        table: list[list[object]] = []
        for count in options.rows:
            run = fill(warehouse, f"rows-{count}", count)
            table.append([f"{count:,}", *(f"{value:.2f}" for value in measure(warehouse, f"rows-{count}", run))])
        print_table(["rows", "publish, s", "roll back, s", "re-publish, s", "read counts, s"], table)


if __name__ == "__main__":
    main()
