"""Collects the facts of a run's images from the tables: one row per image, on the driver.

About 300 bytes per image: a million images are a third of a gigabyte.
"""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from cleanplate.rollout.facts import AGGREGATES, DERIVED, IMAGE_METRICS, STRATUM, typed
from cleanplate.rollout.sample import Design, strata
from cleanplate.warehouse.schemas import where
from cleanplate.warehouse.tables import Warehouse

_WORKED = ("filled", "review")
_KEYS = ("image_id", "wave")
_SCORE = "no_reference_after"


def collect_facts(
    warehouse: Warehouse, batch_id: str, run_id: str, design: Design, wanted: Collection[str], most: int | None = None
) -> pd.DataFrame:
    """The facts of a run's images so far.

    Args:
        warehouse: the warehouse.
        batch_id: the batch.
        run_id: the run; its waves must have been split over the tables.
        design: which strata.
        wanted: names of the metrics that are needed; what the tables do not have is missing in every row.
        most: at most so many images, chosen by a hash of their ids; None for all.

    Returns:
        One row per image with image_id, the facts, and a column "stratum.…" per dimension.
    """
    run = where(batch_id=batch_id, run_id=run_id)
    results = _last_rows(warehouse.frame("results").where(run))
    if most is not None:
        results = results.orderBy(F.xxhash64("image_id"), "image_id").limit(most)
    rows = results.join(_of_masks(warehouse.frame("masks").where(run)), list(_KEYS), "left")
    kinds = warehouse.frame("diffs").where(run).select(*_KEYS, F.col("kind").alias("change"))
    rows = rows.join(kinds, list(_KEYS), "left")
    metrics = _of_metrics(warehouse.frame("metrics").where(run), {*wanted, _SCORE})
    rows = rows.join(metrics, list(_KEYS), "left")
    notes = warehouse.frame("manifest").where(where(batch_id=batch_id))
    notes = notes.select("image_id", F.col("bytes").alias("source_bytes"), "strata")
    found = rows.join(notes, "image_id", "left").toPandas().sort_values("image_id", ignore_index=True)
    return _finished(found, design)


def _last_rows(results: DataFrame) -> DataFrame:
    """Of an image that came in several waves, the last row."""
    seconds = F.aggregate(F.map_values("timings"), F.lit(0.0), lambda total, value: total + value)
    columns: list[Column | str] = [
        "wave", "status", F.col("error_stage").alias("stage"), "error_class", F.col("error_message").alias("message"),
        "media_type", "arm", "confidence", "width", "height", "result_bytes", seconds.alias("seconds"),
    ]  # fmt: skip
    row = F.struct(*columns)
    return results.groupBy("image_id").agg(F.max_by(row, "wave").alias("row")).select("image_id", "row.*")


def _of_masks(masks: DataFrame) -> DataFrame:
    worked = F.col("decision").isin(*_WORKED)
    cost = F.aggregate("attempts", F.lit(0.0), lambda total, attempt: total + attempt["cost_units"])
    last = F.try_element_at("attempts", F.lit(-1))
    no_words = F.array().cast("array<string>")
    return masks.groupBy(*_KEYS).agg(
        F.sum(F.coalesce(cost, F.lit(0.0))).alias("cost_units"),
        F.sum(F.when(F.col("decision") != "kept", 1).otherwise(0)).alias("found"),
        _count("filled").alias("filled"),
        _count("review").alias("kept_back"),
        F.max(F.size("attempts")).alias("attempts"),
        _distinct(F.when(worked, F.transform("attempts", lambda attempt: attempt["engine"]))).alias("engines"),
        F.collect_set(F.when(worked, F.col("kind"))).alias("kinds"),
        _distinct(F.when(F.col("decision") == "review", F.coalesce(last["failures"], no_words))).alias("failures"),
    )


def _distinct(words: Column) -> Column:
    return F.array_distinct(F.flatten(F.collect_list(words)))


def _count(decision: str) -> Column:
    return F.sum(F.when(F.col("decision") == decision, 1).otherwise(0))


def _of_metrics(metrics: DataFrame, wanted: Collection[str]) -> DataFrame:
    columns = [_metric(name) for name in sorted(wanted) if name in IMAGE_METRICS or name in DERIVED]
    return metrics.groupBy(*_KEYS).agg(*columns)


def _metric(fact: str) -> Column:
    """A metric of the image, or the largest, smallest or mean one of its regions."""
    if fact in IMAGE_METRICS:
        return F.max(F.when(F.col("region_id").isNull() & (F.col("name") == fact), F.col("value"))).alias(fact)
    name, _, how = fact.rpartition("_")
    value = F.when(F.col("region_id").isNotNull() & (F.col("name") == name), F.col("value"))
    return dict(zip(AGGREGATES, (F.max, F.min, F.avg), strict=True))[how](value).alias(fact)


def _finished(found: pd.DataFrame, design: Design) -> pd.DataFrame:
    """Adds what follows from the columns, and the strata."""
    sizes = pd.DataFrame({"width": found["width"], "height": found["height"], "bytes": found["source_bytes"]})
    for name in sizes:
        sizes[name] = pd.to_numeric(sizes[name], errors="coerce").astype(float)
    columns = {
        "megapixels": sizes["width"] * sizes["height"] / 1e6,
        "perceptual_error": 100 - pd.to_numeric(found[_SCORE], errors="coerce"),
        "bytes_ratio": pd.to_numeric(found["result_bytes"], errors="coerce") / sizes["bytes"],
    }
    for name in ("found", "filled", "kept_back", "attempts", "cost_units"):  # no region was found: no row in masks
        columns[name] = pd.to_numeric(found[name], errors="coerce").fillna(0)
    divided = strata(sizes.assign(strata=found["strata"]), design).add_prefix(STRATUM)
    facts = found.drop(columns=["strata", "source_bytes", "width", "height", "result_bytes"]).assign(**columns)
    return typed(pd.concat([facts, divided], axis=1))
