"""Collects from the tables what a page shows of a batch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from pyspark.sql import Column
from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from cleanplate.config import SourceConfig
from cleanplate.errors import CleanplateError
from cleanplate.guard import Codec, make_codec
from cleanplate.image import Image
from cleanplate.rollout.page import PageEntry
from cleanplate.rollout.views import union_plane
from cleanplate.warehouse.sources import read_source
from cleanplate.warehouse.tables import Warehouse


def gather(warehouse: Warehouse, batch_id: str, limits: SourceConfig, most: int = 200) -> list[PageEntry]:
    """The images of a batch as they are shown now, the least sure ones first.

    Args:
        warehouse: the warehouse.
        batch_id: the batch.
        limits: of the files that are read.
        most: how many images at most.

    Returns:
        One entry per image; pictures are missing where they cannot be read.
    """
    mine = F.col("batch_id") == batch_id
    results = (
        warehouse.current("results").where(mine).orderBy(_urgency(), "confidence", "image_id").limit(most).collect()
    )
    ids = [row["image_id"] for row in results]
    chosen = mine & F.col("image_id").isin(ids)
    masks = warehouse.current("masks").where(chosen).orderBy("region_id").collect()
    metrics = warehouse.current("metrics").where(chosen).collect()
    return entries_of([row.asDict(recursive=True) for row in results], masks, metrics, limits)


def entries_of(
    results: Sequence[Mapping[str, Any]], masks: Sequence[Any], metrics: Sequence[Any], limits: SourceConfig
) -> list[PageEntry]:
    """Reads the pictures of some rows.

    Args:
        results: rows of `results`, one per image.
        masks: their rows of `masks`, in the order of their regions.
        metrics: their rows of `metrics`.
        limits: of the files that are read.
    """
    regions, figures = _by_image(masks), _by_image(metrics)
    with make_codec(limits.model_copy(update={"allowed_roots": ()}), 2) as codec:
        return [
            _entry(row, regions[row["image_id"]], figures[row["image_id"]], codec, limits) for row in results
        ]


def _urgency() -> Column:
    """What needs eyes comes first, also where a limit cuts."""
    return F.when(F.col("status").isin("review", "failed", "refused"), 0).otherwise(1)


def _by_image(rows: Sequence[Any]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        found[row["image_id"]].append(row.asDict(recursive=True))
    return found


def _entry(
    row: Mapping[str, Any],
    masks: Sequence[Mapping[str, Any]],
    metrics: Sequence[Mapping[str, Any]],
    codec: Codec,
    limits: SourceConfig,
) -> PageEntry:
    before = picture(row["uri"], codec, limits)
    is_edited = row["result_uri"] not in (None, row["uri"])
    after = picture(row["result_uri"], codec, limits) if is_edited else before
    error = ": ".join(str(row[name]) for name in ("error_stage", "error_message") if row[name])
    return PageEntry(
        image_id=row["image_id"],
        status=row["status"],
        before_rgb=before.rgb if before else None,
        after_rgb=after.rgb if after else None,
        alpha=union_plane(masks, before.height, before.width, "alpha_png") if before else None,
        confidence_map=union_plane(masks, before.height, before.width, "confidence_png") if before else None,
        regions=masks,
        metrics={entry["name"]: entry["value"] for entry in metrics if entry["region_id"] is None},
        timings=row["timings"] or {},
        error=error or None,
        confidence=row["confidence"],
        enhancements=row["enhancements"] or (),
        enhance_reason=row["enhance_reason"],
    )


def picture(uri: str, codec: Codec, limits: SourceConfig) -> Image | None:
    """A source or a result, None where it cannot be read; `allowed_roots` binds runs, not those who look at them."""
    try:
        return codec.decode(read_source(uri, limits.model_copy(update={"allowed_roots": ()})))
    except CleanplateError:
        return None
