"""The one function that Spark maps over the references of a wave: all stages in one process."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import Any

import pandas as pd

from cleanplate.config import Config, parse_config
from cleanplate.errors import StorageError
from cleanplate.marks.recurring import RecurringMark
from cleanplate.pipeline import Plan
from cleanplate.records import Box, ErrorInfo, GivenRegion, Outcome
from cleanplate.spark.devices import pick_device, share_cores
from cleanplate.spark.stream import Cleaned, SourceRow, ahead, clean_stream
from cleanplate.spark.wide import RunKey, wide_row
from cleanplate.warehouse.objects import ObjectStore

logger = logging.getLogger(__name__)
ROWS_PER_FRAME = 16
_plans: dict[tuple[str, ...], Plan] = {}


@dataclass(frozen=True)
class WaveTask:
    """What the executors need to know of a wave; plain values, so that it travels with the function.

    Attributes:
        key: identity of the wave's rows.
        config: the merged configuration, as its model dumps it.
        objects: where results are stored.
        workers: Python workers on one machine, to share its cores between them.
        config_b: the configuration of the rows in arm B, where there is one.
        marks: that the batch is known to share.
    """

    key: RunKey
    config: dict[str, Any]
    objects: ObjectStore
    workers: int
    config_b: dict[str, Any] | None = None
    marks: tuple[RecurringMark, ...] = ()

    def config_of(self, arm: str | None) -> dict[str, Any]:
        """The configuration of an arm."""
        return self.config_b if self.config_b is not None and arm == "B" else self.config


def wave_function(task: WaveTask) -> Callable[[Iterator[pd.DataFrame]], Iterator[pd.DataFrame]]:
    """The function for `mapInPandas`: manifest rows in, wide staging rows out."""
    return partial(_clean_partition, task)


def _clean_partition(task: WaveTask, frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    started, count = time.perf_counter(), 0
    rows = (source_row({str(k): v for k, v in row.items()}) for frame in frames for row in frame.to_dict("records"))
    for found in _chunks(_clean_arms(task, rows), ROWS_PER_FRAME):
        count += len(found)
        yield pd.DataFrame(found)
    seconds = time.perf_counter() - started
    logger.info("run_id=%s wave=%d images=%d seconds=%.1f", task.key.run_id, task.key.wave, count, seconds)


def _clean_arms(task: WaveTask, rows: Iterable[SourceRow]) -> Iterator[dict[str, Any]]:
    """Cleans every row by the configuration of its arm; a partition holds one arm, so the plan seldom changes."""
    arms = 1 if task.config_b is None else 2
    for arm, part in groupby(rows, key=lambda row: row.arm if arms == 2 else None):
        config = parse_config(task.config_of(arm))
        plan = cached_plan(config, task.workers, arms, task.marks if config.marks.enabled else ())
        yield from clean_rows_of(task, plan, part)


def clean_rows_of(task: WaveTask, plan: Plan, rows: Iterable[SourceRow]) -> Iterator[dict[str, Any]]:
    """Cleans rows of the manifest, stores what changed and yields the wide rows."""
    with ThreadPoolExecutor(plan.config.run.io_threads, thread_name_prefix="store") as pool:
        store = partial(_store, task)
        yield from ahead(pool, store, clean_stream(rows, plan), 2 * plan.config.run.io_threads)


def cached_plan(config: Config, workers: int, arms: int = 1, marks: Sequence[RecurringMark] = ()) -> Plan:
    """The plan of this process, loaded once for each configuration and device.

    Args:
        config: the configuration.
        workers: Python workers on this machine.
        arms: how many configurations the run has; so many plans are kept.
        marks: that the batch is known to share.

    Raises:
        ModelError: weights are missing, tampered with or not permitted.
    """
    device = pick_device(config.models)
    key = (config.model_dump_json(), device, *(mark.mark_id for mark in marks))
    if key not in _plans:
        while len(_plans) >= arms:  # another configuration, or another GPU: the old models would only take memory
            _plans.pop(next(iter(_plans))).codec.close()
        _plans[key] = Plan.load(share_cores(config, workers), device, marks)
        freeze_garbage()
    return _plans[key]


def freeze_garbage() -> None:
    """Takes what the process holds by now out of the collector's sight.

    PySpark collects garbage after every task; looking through all that torch has made took 0.2 s each time.
    """
    gc.collect()
    gc.freeze()


def source_row(values: dict[str, Any]) -> SourceRow:
    """A manifest row as pandas hands it over, with its missing values made None."""
    given: dict[str, Any] = {name: None if _is_missing(value) else value for name, value in values.items()}
    boxes: Any = () if given.get("regions") is None else given["regions"]
    regions = tuple(
        GivenRegion(Box(box["left"], box["top"], box["right"], box["bottom"]), box["kind"]) for box in boxes
    )
    remove = given.get("remove")
    seed, strength, upscale = given.get("seed"), given.get("strength"), given.get("upscale")
    return SourceRow(
        image_id=given["image_id"],
        uri=given["uri"],
        sha256=given.get("sha256"),
        rights=given.get("rights"),
        regions=regions,
        mask_uri=given.get("mask_uri"),
        remove=None if remove is None else tuple(remove),
        prompt=given.get("prompt") or "",
        seed=None if seed is None else int(seed),
        strength=1.0 if strength is None else float(strength),
        mask_sigma=given.get("mask_sigma"),
        upscale=None if upscale is None else int(upscale),
        arm=given.get("arm"),
    )


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value)


def _store(task: WaveTask, cleaned: Cleaned) -> dict[str, Any]:
    outcome = cleaned.outcome
    if outcome.data is None:
        return wide_row(task.key, cleaned, None)
    extension = outcome.media_type.rpartition("/")[2].replace("jpeg", "jpg").replace("tiff", "tif")
    try:
        uri = task.objects.put(task.key.batch_id, task.key.run_id, outcome.data, extension)
    except StorageError as error:
        return wide_row(task.key, replace(cleaned, outcome=_not_stored(outcome, error)), None)
    return wide_row(task.key, cleaned, uri)


def _not_stored(outcome: Outcome, error: StorageError) -> Outcome:
    reason = ErrorInfo("store", type(error).__name__, str(error))
    return Outcome(outcome.image_id, "failed", error=reason, timings=outcome.timings, seed=outcome.seed)


def _chunks(rows: Iterable[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    chunk: list[dict[str, Any]] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
