"""Runs the waves of a batch: executors write one wide row per image, then the tables get theirs."""

from __future__ import annotations

import heapq
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from cleanplate.batch.fanout import drop_staging, fan_out
from cleanplate.batch.pending import MANIFEST_COLUMNS, Scope, pending_rows
from cleanplate.config import Config
from cleanplate.errors import StorageError
from cleanplate.spark.partition import WaveTask, wave_function
from cleanplate.spark.session import cores
from cleanplate.spark.wide import RunKey
from cleanplate.warehouse.schemas import STAGING
from cleanplate.warehouse.tables import Warehouse

logger = logging.getLogger(__name__)
SMALLEST_COST_PX = 50_000  # a tiny picture still costs its fetch and its rows


class Progress(Protocol):
    """Told of every wave, such as a bar."""

    def begin(self, images: int) -> None:
        """A wave of so many images starts."""

    def finish(self) -> None:
        """The wave is in the tables."""


@dataclass(frozen=True)
class WaveRunner:
    """Everything that the waves of one run share."""

    warehouse: Warehouse
    scope: Scope
    config: Config

    def run_all(self, progress: Progress) -> int:
        """Finishes waves that were staged, then runs those that are pending; returns the images cleaned.

        Args:
            progress: told of every wave.
        """
        for wave in self._staged_waves():
            self._finish(wave)
        pending = pending_rows(self.warehouse, self.scope)
        waves = [row.wave for row in pending.select("wave").distinct().orderBy("wave").collect()]
        total = 0
        for wave in waves:
            total += self._run(wave, pending.where(F.col("wave") == wave), progress)
        return total

    def _run(self, wave: int, rows: DataFrame, progress: Progress) -> int:
        started = time.perf_counter()
        listed = rows.select("image_id", "width", "height").collect()
        progress.begin(len(listed))
        partitions = partition_count(len(listed), self.config.run.partition_images)
        costs = {row.image_id: max(SMALLEST_COST_PX, (row.width or 0) * (row.height or 0)) for row in listed}
        placed = _place(self.warehouse.spark, rows, balance(costs, partitions), partitions)
        self._stage(wave, placed)
        self._finish(wave)
        progress.finish()
        logger.info(
            "run_id=%s wave=%d images=%d seconds=%.1f",
            self.scope.run_id, wave, len(listed), time.perf_counter() - started,
        )  # fmt: skip
        return len(listed)

    def _stage(self, wave: int, rows: DataFrame) -> None:
        """One atomic append; a filter, a sort or a second action on the lazy frame would run the models again."""
        attempt = 1 + wave // self.scope.waves
        key = RunKey(self.scope.batch_id, self.scope.run_id, wave, self.config.digest(), attempt)
        task = WaveTask(key, self.config.model_dump(mode="json"), self.warehouse.objects, worker_count(self.warehouse))
        wide = rows.mapInPandas(wave_function(task), STAGING)
        options = {"txnAppId": f"{self.scope.run_id}/{wave}", "txnVersion": str(attempt)}
        self.warehouse.append(wide, "staging", options)

    def _finish(self, wave: int) -> None:
        counts = fan_out(self.warehouse, self.scope.batch_id, self.scope.run_id, wave)
        if not counts.get("results"):
            raise StorageError(
                f"wave {wave} of run {self.scope.run_id} left no staged rows, though its commit was accepted; "
                "run the same command again"
            )
        drop_staging(self.warehouse, self.scope.batch_id, self.scope.run_id, wave)

    def _staged_waves(self) -> Sequence[int]:
        mine = (F.col("batch_id") == self.scope.batch_id) & (F.col("run_id") == self.scope.run_id)
        staged = self.warehouse.frame("staging").where(mine).select("wave").distinct().orderBy("wave")
        return [row.wave for row in staged.collect()]


def partition_count(images: int, partition_images: int) -> int:
    """Partitions of a wave: enough that all cores finish together, none larger than `partition_images`."""
    return max(1, min(images, max(8 * cores(), -(-images // partition_images))))


def balance(costs: dict[str, int], partitions: int) -> dict[str, int]:
    """Spreads images over partitions by cost, longest first (Graham's LPT rule, 1969).

    Args:
        costs: image_id -> cost, such as pixels.
        partitions: how many.

    Returns:
        image_id -> partition; the largest load is at most 4/3 of the best possible.
    """
    loads = [(0, partition) for partition in range(partitions)]
    placed: dict[str, int] = {}
    for image_id, cost in sorted(costs.items(), key=lambda item: (-item[1], item[0])):
        load, partition = heapq.heappop(loads)
        placed[image_id] = partition
        heapq.heappush(loads, (load + cost, partition))
    return placed


def worker_count(warehouse: Warehouse) -> int:
    """Python workers that share a machine: its task slots."""
    slots = int(warehouse.spark.conf.get("spark.executor.cores", "0") or 0)
    return slots or cores()


def _place(spark: SparkSession, rows: DataFrame, placed: dict[str, int], partitions: int) -> DataFrame:
    """Moves every row to its partition by a key whose hash Spark sends there."""
    keys = _keys_by_partition(spark, partitions)
    table = spark.createDataFrame(
        [(image_id, keys[partition]) for image_id, partition in placed.items()], "image_id string, slot long"
    )
    columns = [F.col(name).cast("string").alias(name) if name == "seed" else F.col(name) for name in MANIFEST_COLUMNS]
    joined = rows.join(F.broadcast(table), "image_id")
    return joined.repartition(partitions, "slot").select(*columns)


def _keys_by_partition(spark: SparkSession, partitions: int) -> dict[int, int]:
    """For each partition one number that `repartition` sends to it (Spark's own hash is asked)."""
    found: dict[int, int] = {}
    span = 16 * partitions
    while len(found) < partitions:
        numbers = spark.range(span).select("id", F.pmod(F.hash("id"), F.lit(partitions)).alias("partition"))
        found = {row.partition: row.id for row in numbers.collect()}
        span *= 4
    return found
