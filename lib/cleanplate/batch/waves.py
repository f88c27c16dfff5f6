"""Runs the waves of a batch: executors write one wide row per image, then the tables get theirs."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from cleanplate.batch.fanout import drop_staging, fan_out
from cleanplate.batch.pending import MANIFEST_COLUMNS, Scope, arm_column, manifest_rows, pending_rows
from cleanplate.batch.recurring import known_marks
from cleanplate.config import Config
from cleanplate.enhance.share import with_share_decided
from cleanplate.errors import StorageError
from cleanplate.marks.recurring import RecurringMark
from cleanplate.spark.partition import WaveTask, wave_function
from cleanplate.spark.session import cores, task_slots
from cleanplate.spark.wide import RunKey
from cleanplate.warehouse.schemas import STAGING
from cleanplate.warehouse.tables import Warehouse

logger = logging.getLogger(__name__)
LISTED_IMAGES = 200_000  # whose ids and sizes the driver holds at a time
SMALLEST_COST_PX = 50_000  # a tiny picture still costs its fetch and its rows
SMALLEST_SHARE_PX = 1_000_000  # a task costs 0.1 s besides its pictures, a megapixel some seconds
MOST_STAGED = 8  # waves that wait for their fan-out, so that staging stays small


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
    early: DataFrame | None = None  # of a run in steps, see `pending_rows`

    def run_all(self, progress: Progress) -> int:
        """Finishes waves that were staged, then runs those that are pending; returns the images cleaned.

        Waves are split over the tables while the next ones are being cleaned: the fan-out's small tasks fill the slots
        that the last images of a wave leave idle. Where it is slower than the cleaning, it takes several at a time.

        Args:
            progress: told of every wave.
        """
        ready = self._staged_waves()
        total = 0
        marks = known_marks(self.warehouse, self.scope, self.config)
        with ThreadPoolExecutor(1, thread_name_prefix="fan-out") as pool:
            finishing: Future[None] | None = None
            for wave, costs, arms in self._pending():
                if ready and (finishing is None or finishing.done() or len(ready) >= MOST_STAGED):
                    finishing, ready = self._finish_aside(pool, finishing, ready), []
                self._clean(wave, costs, arms, marks, progress)
                ready.append(wave)
                total += len(costs)
            if finishing is not None:
                finishing.result()
        self._finish(ready)
        return total

    def _finish_aside(self, pool: ThreadPoolExecutor, former: Future[None] | None, waves: list[int]) -> Future[None]:
        """Starts a fan-out when the former one has ended, whose error is raised here."""
        if former is not None:
            former.result()
        return pool.submit(self._finish, waves)

    def _pending(self) -> Iterator[tuple[int, dict[str, int], dict[str, str | None]]]:
        """The waves to come, each with what its images cost and their arms; many waves are listed by one query."""
        pending = pending_rows(self.warehouse, self.scope, self.early)
        share = self.config.rollout.arm_b_share
        if share:
            pending = pending.withColumn("arm", arm_column(share))
        waves = [row.wave for row in pending.select("wave").distinct().orderBy("wave").collect()]
        step = max(1, LISTED_IMAGES // self.config.run.wave_images)
        columns = ("wave", "image_id", "width", "height", "arm")
        for group in (waves[start : start + step] for start in range(0, len(waves), step)):
            listed = pending.where(F.col("wave").isin(group)).select(*columns).collect()
            costs: dict[int, dict[str, int]] = {wave: {} for wave in group}
            arms: dict[int, dict[str, str | None]] = {wave: {} for wave in group}
            for row in listed:
                costs[row.wave][row.image_id] = max(SMALLEST_COST_PX, (row.width or 0) * (row.height or 0))
                arms[row.wave][row.image_id] = row.arm
            yield from ((wave, costs[wave], arms[wave]) for wave in group)

    def _clean(
        self,
        wave: int,
        costs: dict[str, int],
        arms: Mapping[str, str | None],
        marks: tuple[RecurringMark, ...],
        progress: Progress,
    ) -> None:
        """Cleans a wave into staging."""
        started = time.perf_counter()
        progress.begin(len(costs))
        slots, largest = task_slots(self.warehouse.spark), self.config.run.partition_images
        # A partition holds one arm, so that a worker does not go to and fro between two configurations.
        shares = [
            share
            for part in _by_arm(costs, arms if self.config.rollout.arm_b_share else {})
            for share in guided_shares(part, slots, largest)
        ]
        self._stage(wave, self._placed(shares, arms), marks)
        progress.finish()
        logger.info(
            "run_id=%s wave=%d images=%d seconds=%.1f",
            self.scope.run_id, wave, len(costs), time.perf_counter() - started,
        )  # fmt: skip

    def _placed(self, shares: Sequence[Sequence[str]], arms: Mapping[str, str | None]) -> DataFrame:
        """The manifest's rows of a wave, each share in a partition of its own, by a key whose hash Spark sends there.

        The rows are named, not looked for again: reading staging here would make its commit conflict with the
        deletion of the wave before.
        """
        spark = self.warehouse.spark
        keys = _keys_by_partition(spark, len(shares))
        places = [(name, keys[number], arms[name]) for number, share in enumerate(shares) for name in share]
        table = spark.createDataFrame(places, "image_id string, slot long, arm string")
        # A column of numbers with gaps turns into floats in pandas, which a 63-bit seed does not survive.
        columns = [F.col(c).cast("string").alias(c) if c == "seed" else F.col(c) for c in MANIFEST_COLUMNS]
        rows = manifest_rows(self.warehouse, self.scope.batch_id, self.scope.manifest_version).drop("arm")
        return rows.join(F.broadcast(table), "image_id").repartition(len(shares), "slot").select(*columns)

    def _stage(self, wave: int, rows: DataFrame, marks: tuple[RecurringMark, ...]) -> None:
        """One atomic append; a filter, a sort or a second action on the lazy frame would run the models again."""
        attempt = 1 + wave // self.scope.waves
        key = RunKey(self.scope.batch_id, self.scope.run_id, wave, self.config.digest(), attempt)
        arms = ((self.config, self.scope.score_below), (self.config.arm_b(), self.scope.score_below_b))
        configs = [with_share_decided(arm, below).model_dump(mode="json") for arm, below in arms if arm is not None]
        other = configs[1] if len(configs) > 1 else None
        task = WaveTask(key, configs[0], self.warehouse.objects, worker_count(self.warehouse), other, marks)
        wide = rows.mapInPandas(wave_function(task), STAGING)
        options = {"txnAppId": f"{self.scope.run_id}/{wave}", "txnVersion": str(attempt)}
        self.warehouse.append(wide, "staging", options)

    def _finish(self, waves: Collection[int]) -> None:
        if not waves:
            return
        images = fan_out(self.warehouse, self.scope.batch_id, self.scope.run_id, waves)
        lost = [wave for wave, count in images.items() if not count]
        if lost:
            raise StorageError(
                f"wave {lost[0]} of run {self.scope.run_id} left no staged rows, though its commit was accepted; "
                "run the same command again"
            )
        drop_staging(self.warehouse, self.scope.batch_id, self.scope.run_id, waves)

    def _staged_waves(self) -> list[int]:
        mine = (F.col("batch_id") == self.scope.batch_id) & (F.col("run_id") == self.scope.run_id)
        staged = self.warehouse.frame("staging").where(mine).select("wave").distinct().orderBy("wave")
        return [row.wave for row in staged.collect()]


def guided_shares(costs: Mapping[str, int], slots: int, largest: int) -> list[list[str]]:
    """Cuts a wave into partitions that get smaller, so that all slots end together.

    Each partition takes half of what would be a slot's even share of the cost that is left (guided self-scheduling,
    Polychronopoulos and Kuck, 1987), and no less than a megapixel; the dearest images come first, the cheapest last.

    Args:
        costs: image_id -> pixels.
        slots: tasks that run at a time.
        largest: images of one partition at most.

    Returns:
        The image_ids of each partition, in the order in which Spark starts them; every image once.
    """
    left = sum(costs.values())
    shares: list[list[str]] = []
    room = 0.0
    for image_id, cost in sorted(costs.items(), key=lambda item: (-item[1], item[0])):
        if room <= 0 or len(shares[-1]) >= largest:
            shares.append([])
            room = max(left / (2 * slots), SMALLEST_SHARE_PX)
        shares[-1].append(image_id)
        room -= cost
        left -= cost
    return shares


def _by_arm(costs: Mapping[str, int], arms: Mapping[str, str | None]) -> list[dict[str, int]]:
    """The images of each arm with their costs; all together where there are no arms."""
    parts: dict[str | None, dict[str, int]] = {}
    for image_id, cost in costs.items():
        parts.setdefault(arms.get(image_id), {})[image_id] = cost
    return [parts[arm] for arm in sorted(parts, key=str)]


def worker_count(warehouse: Warehouse) -> int:
    """Python workers that share a machine: its task slots."""
    slots = int(warehouse.spark.conf.get("spark.executor.cores", "0") or 0)
    return slots or cores()


def _keys_by_partition(spark: SparkSession, partitions: int) -> dict[int, int]:
    """For each partition one number that `repartition` sends to it (Spark's own hash is asked)."""
    found: dict[int, int] = {}
    span = 16 * partitions
    while len(found) < partitions:
        numbers = spark.range(span).select("id", F.pmod(F.hash("id"), F.lit(partitions)).alias("partition"))
        found = {row.partition: row.id for row in numbers.collect()}
        span *= 4
    return found
