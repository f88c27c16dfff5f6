"""What a run still has to do, and in which wave."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from cleanplate.warehouse.ledger import ActiveRun
from cleanplate.warehouse.tables import Warehouse

MANIFEST_COLUMNS = (
    "image_id", "uri", "sha256", "rights", "regions", "mask_uri", "remove", "prompt", "seed", "strength",
    "mask_sigma", "upscale", "arm", "width", "height",
)  # fmt: skip
_MILLION = 1_000_000  # the resolution of an arm's share


@dataclass(frozen=True)
class Step:
    """A part of a run after which its gates are judged.

    Attributes:
        images: of this step and those before it.
        first_wave: number of its first wave in the first pass.
        waves: of one pass.
    """

    images: int
    first_wave: int
    waves: int


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
        steps: the parts of the run, () for a run in one go.
        step: how many of them have been judged.
        below: what was active when a layer started: a layer holds the images that these runs do not show, or show as
            failed for want of storage or time; None for a base run, which holds all.
        score_below: what `enhance.worst_share` came to (see `share.py`); None where it restricts nothing.
        score_below_b: the same for arm B.
        marks: ids of the marks that the batch's pictures share (see `recurring.py`).
    """

    batch_id: str
    run_id: str
    manifest_version: int
    waves: int
    limit: int | None = None
    below: tuple[ActiveRun, ...] | None = None
    score_below: float | None = None
    score_below_b: float | None = None
    marks: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    step: int = 0


def manifest_rows(warehouse: Warehouse, batch_id: str, version: int | None = None) -> DataFrame:
    """The batch's rows of the manifest, at a version or now."""
    frame = warehouse.frame("manifest", version)
    return frame.where(F.col("batch_id") == batch_id)


def scope_rows(warehouse: Warehouse, scope: Scope) -> DataFrame:
    """The manifest rows of a run."""
    rows = manifest_rows(warehouse, scope.batch_id, scope.manifest_version)
    if scope.below is not None:
        rows = rows.join(_settled_below(warehouse, scope), "image_id", "left_anti")
    return rows if scope.limit is None else first_by_hash(rows, scope.limit)


def first_by_hash(rows: DataFrame, count: int) -> DataFrame:
    """So many rows, the first by the hash of their image's id: as good as by chance, and always the same."""
    return rows.orderBy(F.xxhash64("image_id"), "image_id").limit(count)


def wave_count(images: int, wave_images: int) -> int:
    """Waves of one pass."""
    return max(1, math.ceil(images / wave_images))


def cut_steps(sizes: Sequence[int], wave_images: int) -> tuple[Step, ...]:
    """The steps of a run, each with waves of its own, so that no step touches the rows of another.

    Args:
        sizes: images of each step and those before it, rising.
        wave_images: images of a wave at most.
    """
    steps: list[Step] = []
    for size in sizes:
        new = size - (steps[-1].images if steps else 0)
        first = steps[-1].first_wave + steps[-1].waves if steps else 0
        steps.append(Step(size, first, wave_count(new, wave_images)))
    return tuple(steps)


def pending_rows(warehouse: Warehouse, scope: Scope, early: DataFrame | None = None) -> DataFrame:
    """What the run has not done: manifest columns with the `wave` in which each image comes next.

    Args:
        warehouse: the warehouse.
        scope: the run.
        early: of a run in steps: image_id and step (from 0) of the images of all steps but the last; rows of steps that
            come after the scope's own are left out.
    """
    done = _done(warehouse, scope)
    rows = scope_rows(warehouse, scope).select(*MANIFEST_COLUMNS)
    if early is None:
        first: Column = F.pmod(F.xxhash64("image_id"), F.lit(scope.waves)).cast("int")
    else:
        last = len(scope.steps) - 1
        rows = rows.join(early, "image_id", "left").withColumn("step", F.coalesce("step", F.lit(last)))
        rows = rows.where(F.col("step") <= scope.step)
        first = _wave_in_steps(scope.steps)
    return (
        rows.join(done, "image_id", "left")
        .where(F.col("done.wave").isNull() | F.col("done.retryable"))
        .withColumn("wave", F.coalesce(F.col("done.wave") + F.lit(scope.waves), first))
        .drop("done")
    )


def _wave_in_steps(steps: Sequence[Step]) -> Column:
    first = F.array(*[F.lit(step.first_wave) for step in steps])[F.col("step")]
    waves = F.array(*[F.lit(step.waves) for step in steps])[F.col("step")]
    return (first + F.pmod(F.xxhash64("image_id"), waves)).cast("int")


def arm_column(share: float) -> Column:
    """Which arm an image is in: the manifest's word where it has one, else by a hash of its id, the same in any run."""
    place = F.pmod(F.xxhash64("image_id", F.lit("arm")), F.lit(_MILLION))
    return F.coalesce("arm", F.when(place < F.lit(round(share * _MILLION)), F.lit("B")).otherwise(F.lit("A")))


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
