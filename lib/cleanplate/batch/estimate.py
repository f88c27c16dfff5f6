"""Estimates a run from a small sample, and checks everything that it would need; writes nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from cleanplate.batch.pending import MANIFEST_COLUMNS, first_by_hash, manifest_rows, wave_count
from cleanplate.batch.run import check_manifest
from cleanplate.config import Config
from cleanplate.enhance.share import with_share_decided
from cleanplate.models.registry import Registry
from cleanplate.pipeline import Plan
from cleanplate.spark.devices import pick_device
from cleanplate.spark.partition import source_row
from cleanplate.spark.session import cores
from cleanplate.spark.stream import Cleaned, clean_stream
from cleanplate.warehouse.ledger import Ledger
from cleanplate.warehouse.tables import Warehouse

SAMPLE_IMAGES = 5


@dataclass(frozen=True)
class Estimate:
    """What a run would do and take."""

    images: int
    megapixels: float
    waves: int
    workers: int
    models: Sequence[str]
    sample_images: int
    seconds_per_megapixel: float
    cost_units: float
    problems: Sequence[str]

    @property
    def hours(self) -> float:
        """On all workers of this machine."""
        return self.seconds_per_megapixel * self.megapixels / self.workers / 3600


def estimate(warehouse: Warehouse, batch_id: str, config: Config, limit: int | None) -> Estimate:
    """Verifies manifest and models, cleans a few images in this process, and scales up.

    Raises:
        ContractError: unknown batch or duplicate ids.
        ModelError: weights are missing, tampered with or not permitted.
    """
    check_manifest(warehouse, batch_id)
    rows = manifest_rows(warehouse, batch_id)
    if limit is not None:
        rows = first_by_hash(rows, limit)
    sizes = rows.agg(F.count("*"), F.sum(F.col("width").cast("double") * F.col("height"))).collect()[0]
    images, megapixels = int(sizes[0]), float(sizes[1] or 0) / 1e6
    registry = Registry.load(config.models)
    for entry in registry.entries:
        registry.path(entry.id)
    sample = rows.where(F.col("width").isNotNull()).orderBy(F.xxhash64("image_id")).limit(SAMPLE_IMAGES)
    listed = [source_row(row.asDict(recursive=True)) for row in sample.select(*MANIFEST_COLUMNS).collect()]
    plan = Plan.load(with_share_decided(config, None), pick_device(config.models))  # as if all were enhanced
    started = time.perf_counter()
    cleaned = list(clean_stream(listed, plan))
    seconds = time.perf_counter() - started
    plan.codec.close()
    seen = sum(item.before.width * item.before.height for item in cleaned if item.before) / 1e6
    return Estimate(
        images=images,
        megapixels=megapixels,
        waves=wave_count(images, config.run.wave_images),
        workers=cores(),
        models=[entry.id for entry in registry.entries],
        sample_images=len(cleaned),
        seconds_per_megapixel=seconds / seen if seen else 0.0,
        cost_units=_cost_units(cleaned) * images / max(1, len(cleaned)),
        problems=_problems(warehouse, batch_id, cleaned),
    )


def _cost_units(cleaned: Sequence[Cleaned]) -> float:
    return sum(
        attempt.cost_units for item in cleaned for region in item.outcome.regions for attempt in region.attempts
    )


def _problems(warehouse: Warehouse, batch_id: str, cleaned: Sequence[Cleaned]) -> list[str]:
    found = [f"{item.row.image_id}: {item.outcome.error.message}" for item in cleaned if item.outcome.error]
    event = Ledger(warehouse).last(batch_id)
    if event is not None and event.state in ("running", "held"):
        found.insert(0, f"run {event.run_id} is {event.state}; clean goes on with it, --new-run gives it up")
    return found
