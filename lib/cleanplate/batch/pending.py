"""What a run still has to do, and in which wave."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from cleanplate.warehouse.ledger import ActiveRun
from cleanplate.warehouse.tables import Warehouse

MANIFEST_COLUMNS = (
    "image_id", "uri", "sha256", "rights", "regions", "mask_uri", "remove", "prompt", "seed", "strength",
    "mask_sigma", "upscale", "arm", "width", "height",
)  # fmt: skip


@dataclass(frozen=True)
class Scope:
    """The images that belong to a run, fixed when it starts.

    An image's wave is a hash of its id, so a killed run finds every image in the same wave again. A row that failed
    for want of storage or time comes again `waves` further on, as the next pass.

    Attributes:
        batch_id: the batch.
        run_id: the run.
        manifest_version: Delta version of the manifest that the run reads.
        waves: waves of one pass.
        limit: the first so many images by hash, or None for all.
        below: what was active when a layer started: a layer holds the images that these runs do not show, or show as
            failed for want of storage or time; None for a base run, which holds all.
        score_below: what `enhance.worst_share` came to (see `share.py`); None where it restricts nothing.
    """

    batch_id: str
    run_id: str
    manifest_version: int
    waves: int
    limit: int | None = None
    below: tuple[ActiveRun, ...] | None = None
    score_below: float | None = None


def manifest_rows(warehouse: Warehouse, batch_id: str, version: int | None = None) -> DataFrame:
    """The batch's rows of the manifest, at a version or now."""
    frame = warehouse.frame("manifest", version)
    return frame.where(F.col("batch_id") == batch_id)


def scope_rows(warehouse: Warehouse, scope: Scope) -> DataFrame:
    """The manifest rows of a run."""
    rows = manifest_rows(warehouse, scope.batch_id, scope.manifest_version)
    if scope.below is not None:
        rows = rows.join(_settled_below(warehouse, scope), "image_id", "left_anti")
    if scope.limit is not None:
        rows = rows.orderBy(F.xxhash64("image_id"), "image_id").limit(scope.limit)
    return rows


def wave_count(images: int, wave_images: int) -> int:
    """Waves of one pass."""
    return max(1, math.ceil(images / wave_images))


def pending_rows(warehouse: Warehouse, scope: Scope) -> DataFrame:
    """What the run has not done: manifest columns with the `wave` in which each image comes next."""
    done = _done(warehouse, scope)
    first = F.pmod(F.xxhash64("image_id"), F.lit(scope.waves)).cast("int")
    return (
        scope_rows(warehouse, scope)
        .select(*MANIFEST_COLUMNS)
        .join(done, "image_id", "left")
        .where(F.col("done.wave").isNull() | F.col("done.retryable"))
        .withColumn("wave", F.coalesce(F.col("done.wave") + F.lit(scope.waves), first))
        .drop("done")
    )


def _done(warehouse: Warehouse, scope: Scope) -> DataFrame:
    """image_id -> struct of the last wave that has it and whether it failed for want of storage or time."""
    mine = (F.col("batch_id") == scope.batch_id) & (F.col("run_id") == scope.run_id)
    columns = ("image_id", "wave", "retryable")
    seen = warehouse.frame("staging").where(mine).select(*columns)
    seen = seen.unionByName(warehouse.frame("results").where(mine).select(*columns))
    return seen.groupBy("image_id").agg(F.max(F.struct("wave", "retryable")).alias("done"))


def _settled_below(warehouse: Warehouse, scope: Scope) -> DataFrame:
    runs = [run.run_id for run in scope.below or ()]
    last = F.max_by(F.col("retryable"), F.struct(_position(runs), F.col("wave")))
    return (
        warehouse.frame("results")
        .where((F.col("batch_id") == scope.batch_id) & F.col("run_id").isin(runs))
        .groupBy("image_id")
        .agg(last.alias("retryable"))
        .where(~F.col("retryable"))
        .select("image_id")
    )


def _position(runs: list[str]) -> F.Column:
    layers = F.array(*[F.lit(run) for run in runs]) if runs else F.array().cast("array<string>")
    return F.array_position(layers, F.col("run_id"))
