"""The table `reviews`: reads verdicts, and appends them so that none is lost and none counts twice."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pyspark.sql import functions as F  # noqa: N812  (the name Spark's own documentation uses)

from cleanplate.batch.verdicts import VERDICTS, Review, from_micros
from cleanplate.errors import ContractError, StorageError
from cleanplate.spark.session import SPARK_ERRORS
from cleanplate.warehouse.ledger import TRIES, is_conflict
from cleanplate.warehouse.schemas import REVIEWS, where
from cleanplate.warehouse.tables import reason_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from cleanplate.warehouse.tables import Warehouse

_PAUSE_S = 0.2
_TEXTS = ("batch_id", "run_id", "image_id", "verdict", "reviewer", "note")
_DRAFT = ", ".join(f"{name} string" for name in _TEXTS) + ", at_us long, mask_png binary"
_SAME = ("batch_id", "run_id", "image_id", "verdict", "reviewer", "at")


def read_reviews(warehouse: Warehouse, batch_id: str | None = None, with_masks: bool = False) -> list[Review]:
    """The verdicts of a batch, or of all, oldest first.

    Args:
        warehouse: the warehouse.
        batch_id: the batch.
        with_masks: bring the corrected masks too.
    """
    frame = warehouse.frame("reviews")
    if batch_id is not None:
        frame = frame.where(where(batch_id=batch_id))
    mask = F.col("mask_png") if with_masks else F.lit(None).cast("binary").alias("mask_png")
    # Microseconds, because a timestamp that is collected is turned into the machine's own time zone.
    rows = frame.select(*_TEXTS, F.unix_micros("at").alias("at_us"), mask).orderBy("at_us", *_TEXTS[:5]).collect()
    return [
        Review(
            row["batch_id"], row["run_id"], row["image_id"], row["verdict"], row["reviewer"] or "",
            from_micros(row["at_us"] or 0), row["note"] or "", bytes(row["mask_png"]) if row["mask_png"] else None,
        )
        for row in rows
    ]  # fmt: skip


def append_reviews(warehouse: Warehouse, reviews: Sequence[Review]) -> int:
    """Appends verdicts in one commit; one that is there already is not added again.

    Two writers at a time both succeed: who loses the race for a commit tries again. Nothing is ever changed or
    deleted here.

    Args:
        warehouse: the warehouse.
        reviews: any number.

    Returns:
        How many were new.

    Raises:
        ContractError: an unknown verdict.
        StorageError: the table cannot be written, or others kept coming first.
    """
    unknown = [review.verdict for review in reviews if review.verdict not in VERDICTS]
    if unknown:
        raise ContractError(f"{unknown[0]!r} is no verdict; there are: {', '.join(VERDICTS)}")
    fresh = list({review.key: review for review in reviews}.values())
    if not fresh:
        return 0
    for attempt in range(TRIES):
        inserted = _merge(warehouse, fresh)
        if inserted is not None:
            return inserted
        time.sleep(_PAUSE_S * random.uniform(0.5, 1.5) * (1 + attempt))  # noqa: S311  (spreads writers)
    raise StorageError(f"{len(fresh)} verdicts lost {TRIES} races for the table reviews: send them again")


def _merge(warehouse: Warehouse, reviews: Sequence[Review]) -> int | None:
    """One insert-only MERGE; None where another writer came first."""
    view = f"cleanplate_reviews_{uuid.uuid4().hex}"
    _frame(warehouse, reviews).createOrReplaceTempView(view)
    # Literals, so that only these runs' files count as read: reviewers of other runs never conflict.
    runs = ", ".join(f"'{run}'" for run in sorted({review.run_id for review in reviews}))
    same = " AND ".join(f"t.{name} = s.{name}" for name in _SAME)
    statement = (
        f"MERGE INTO {warehouse.name('reviews')} t USING {view} s ON t.run_id IN ({runs}) AND {same} "
        "WHEN NOT MATCHED THEN INSERT *"
    )
    try:
        rows = warehouse.spark.sql(statement).collect()
    except SPARK_ERRORS as error:
        if is_conflict(error):
            return None
        raise StorageError(f"the verdicts were not written: {reason_of(error)}") from error
    finally:
        warehouse.spark.catalog.dropTempView(view)
    return int(rows[0]["num_inserted_rows"])


def _frame(warehouse: Warehouse, reviews: Sequence[Review]) -> DataFrame:
    for review in reviews:
        where(batch_id=review.batch_id, run_id=review.run_id)  # refuses what cannot stand in a statement
    values = [(*(getattr(review, name) for name in _TEXTS), review.at_us, review.mask_png) for review in reviews]
    frame = warehouse.spark.createDataFrame(values, _DRAFT)
    frame = frame.withColumn("at", F.timestamp_micros("at_us")).withColumn("mask_uri", F.lit(None).cast("string"))
    return frame.select(*REVIEWS.fieldNames())
