"""From the executors' wide rows to the tables: waves replace their own rows, so a repeat changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from pyspark.sql import functions as F  # noqa: N812  (the name Spark's own documentation uses)

from cleanplate.errors import ContractError
from cleanplate.warehouse import schemas
from cleanplate.warehouse.schemas import RUN_TABLES, TABLES, where

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from cleanplate.warehouse.tables import Warehouse

_KEYS = ("batch_id", "run_id", "wave", "image_id", "config_hash", "arm")


def fan_out(warehouse: Warehouse, batch_id: str, run_id: str, waves: Collection[int]) -> dict[int, int]:
    """Writes the staged rows of some waves to results, masks, diffs and metrics.

    Each table is written in one commit that replaces exactly these waves of this run: running it again leaves the same
    rows, an empty wave deletes what a former try left, and other waves stay.

    Args:
        warehouse: the warehouse.
        batch_id: the batch.
        run_id: the run.
        waves: one or more.

    Returns:
        Images written of each wave.

    Raises:
        ContractError: nothing is staged for a wave while results has rows of it: its staging was dropped already.
        StorageError: a table cannot be written; a repeat is safe.
    """
    predicate = where(batch_id=batch_id, run_id=run_id, wave=waves)
    staged = warehouse.frame("staging").where(predicate)
    images = dict.fromkeys(sorted(waves), 0)
    images |= {row["wave"]: row["count"] for row in staged.groupBy("wave").count().collect()}
    empty = [wave for wave, count in images.items() if not count]
    if empty:
        _check_not_dropped(warehouse, batch_id, run_id, empty)

    def write(table: str) -> None:
        warehouse.replace(_SPLIT[table](staged).select(*_columns(table)), table, predicate)

    # A commit takes about half a second whatever it holds: four at a time, each into its own table.
    with ThreadPoolExecutor(len(RUN_TABLES)) as pool:
        list(pool.map(write, RUN_TABLES))
    return images


def drop_staging(warehouse: Warehouse, batch_id: str, run_id: str, waves: Collection[int] | None = None) -> None:
    """Deletes the staged rows of some waves, or of a whole run where `waves` is None."""
    run = where(batch_id=batch_id, run_id=run_id)
    warehouse.delete("staging", run if waves is None else f"{run} AND {where(wave=waves)}")


def _check_not_dropped(warehouse: Warehouse, batch_id: str, run_id: str, waves: Collection[int]) -> None:
    done = warehouse.frame("results").where(where(batch_id=batch_id, run_id=run_id, wave=waves))
    row = done.select("wave").first()
    if row is not None:
        raise ContractError(
            f"wave {row['wave']} of run {run_id} is in the tables and its staging dropped: nothing to fan out"
        )


def _exploded(column: str) -> Callable[[DataFrame], DataFrame]:
    def split(staged: DataFrame) -> DataFrame:
        return staged.select(*_KEYS, F.explode(column).alias("item")).select(*_KEYS, "item.*")

    return split


def _diffs(staged: DataFrame) -> DataFrame:
    return staged.where("diff IS NOT NULL").select(*_KEYS, "diff.*")


_SPLIT: dict[str, Callable[[DataFrame], DataFrame]] = {
    "results": lambda staged: staged.select(*schemas.RESULTS.fieldNames()),
    "masks": _exploded("masks"),
    "diffs": _diffs,
    "metrics": _exploded("metrics"),
}


def _columns(table: str) -> list[str]:
    return TABLES[table].schema.fieldNames()
