"""Finds the score under which the worst share of a batch lies, from a sample that is the same whenever it is asked."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pandas as pd

from cleanplate.batch.pending import first_by_hash, manifest_rows
from cleanplate.config import Config, SourceConfig
from cleanplate.enhance.share import score_below
from cleanplate.errors import CleanplateError
from cleanplate.guard import make_codec
from cleanplate.metrics.no_reference import no_reference
from cleanplate.spark.session import task_slots
from cleanplate.warehouse.sources import read_source
from cleanplate.warehouse.tables import Warehouse


def batch_score_below(warehouse: Warehouse, batch_id: str, version: int, config: Config) -> float | None:
    """Scores a sample of a batch's originals and takes the quantile that `enhance.worst_share` asks for.

    Partitions run apart and know nothing of each other's images, so the share is turned into a score once, when a run
    starts, and kept in the run's event: every partition, a retried task and a continued run decide alike. The sample is
    the first `enhance.sample_images` by the hash of their id; of a batch no larger than that it is all, and the share
    is exact. Images that cannot be read do not count.

    Args:
        warehouse: the warehouse.
        batch_id: the batch.
        version: of the manifest.
        config: `enhance` and `source` count.

    Returns:
        The score; None where the configuration restricts nothing, or the share is the whole sample.
    """
    if config.enhance.worst_share == 1:
        return None
    rows = first_by_hash(manifest_rows(warehouse, batch_id, version), config.enhance.sample_images)
    sample = rows.select("uri").repartition(task_slots(warehouse.spark))
    scored = sample.mapInPandas(partial(score_frames, config.source.model_dump(mode="json")), "score double").collect()
    return score_below([row.score for row in scored], config.enhance.worst_share)


def score_frames(source: dict[str, object], frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Scores the pictures that frames name in their column `uri`; in a worker."""
    limits = SourceConfig.model_validate(source)
    with make_codec(limits) as codec:
        for frame in frames:
            scores = []
            for uri in frame["uri"]:
                try:
                    scores.append(no_reference(codec.decode(read_source(uri, limits)).rgb))
                except CleanplateError:
                    continue  # its own row will say why
            yield pd.DataFrame({"score": scores}, dtype="float64")
