"""Collects the chain of one image from the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

from cleanplate.config import SourceConfig
from cleanplate.errors import ContractError
from cleanplate.guard import make_codec
from cleanplate.rollout.chain import Chain
from cleanplate.rollout.gather import picture
from cleanplate.rollout.views import union_plane
from cleanplate.warehouse.events import Event, last_of, run_state
from cleanplate.warehouse.ledger import Ledger
from cleanplate.warehouse.tables import Warehouse

NEAR_IDS = 5


def gather_chain(
    warehouse: Warehouse, image_id: str, batch_id: str | None = None, limits: SourceConfig | None = None
) -> Chain:
    """Everything that is known of an image.

    Args:
        warehouse: the warehouse.
        image_id: the image.
        batch_id: only this batch; all that have the image where None.
        limits: of the pictures that are read; None leaves the pictures out.

    Raises:
        ContractError: no batch has such an image; names near ids.
    """
    with ThreadPoolExecutor(4) as pool:
        manifest = pool.submit(_rows, warehouse.frame("manifest"), image_id, batch_id)
        results = pool.submit(_rows, warehouse.frame("results"), image_id, batch_id)
        counting = pool.submit(_rows, warehouse.current("results"), image_id, None)
        events = Ledger(warehouse).events(batch_id)
    if not manifest.result() and not results.result():
        raise ContractError(_unknown(warehouse, image_id, batch_id))
    runs = _runs(results.result(), counting.result(), events)
    detailed = _detailed(runs)
    chain = Chain(image_id, manifest.result(), runs, detailed)
    return _with_details(warehouse, chain, detailed, events, limits) if detailed else _only_source(chain, limits)


def _rows(frame: DataFrame, image_id: str, batch_id: str | None) -> list[dict[str, Any]]:
    mine = F.col("image_id") == image_id
    frame = frame.where(mine if batch_id is None else mine & (F.col("batch_id") == batch_id))
    return [row.asDict(recursive=True) for row in frame.collect()]


def _runs(
    results: Sequence[Mapping[str, Any]], counting: Sequence[Mapping[str, Any]], events: Sequence[Event]
) -> list[dict[str, Any]]:
    """The rows with their runs' states; those that are active last, in the order in which they cover each other."""
    shown = {(row["batch_id"], row["run_id"], row["wave"]) for row in counting}
    lasts = {batch: last_of(events, batch) for batch in {row["batch_id"] for row in results}}
    seqs = {
        (batch, run.run_id): run.publish_seq for batch, last in lasts.items() if last for run in last.active_runs
    }
    found = []
    for row in results:
        key = (row["batch_id"], row["run_id"])
        own = last_of(events, *key)
        facts = {
            "kind": own.run_kind if own else "base",
            "state": run_state(events, *key) or "unknown",
            "publish_seq": seqs.get(key),
            "shown": (*key, row["wave"]) in shown,
        }
        found.append(dict(row) | facts)
    return sorted(found, key=lambda row: (row["publish_seq"] or 0, row["run_id"], row["wave"]))


def _detailed(runs: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The row that tells most: what counts; where that only restores the original, the one that it covers."""
    shown = [row for row in runs if row["shown"]]
    cleaned = [row for row in runs if row["status"] != "restored"]
    opened = [row for row in cleaned if row["state"] in ("running", "held")]
    if shown and shown[0]["status"] != "restored":
        return shown[0]
    active = [row for row in cleaned if row["publish_seq"]]
    best = active or opened or cleaned or list(runs)
    return best[-1] if best else None


def _with_details(
    warehouse: Warehouse, chain: Chain, row: Mapping[str, Any], events: Sequence[Event], limits: SourceConfig | None
) -> Chain:
    mine = (F.col("batch_id") == row["batch_id"]) & (F.col("run_id") == row["run_id"]) & (F.col("wave") == row["wave"])
    diffs = warehouse.frame("diffs").where(mine).withColumn("patch_bytes", F.length("patch")).drop("patch")
    reviews = warehouse.frame("reviews").withColumn("has_mask", F.col("mask_png").isNotNull()).drop("mask_png")
    with ThreadPoolExecutor(4) as pool:
        masks = pool.submit(_rows, warehouse.frame("masks").where(mine), chain.image_id, None)
        metrics = pool.submit(_rows, warehouse.frame("metrics").where(mine), chain.image_id, None)
        diff = pool.submit(_rows, diffs, chain.image_id, None)
        verdicts = pool.submit(_rows, reviews, chain.image_id, None)
        pictures = _pictures(row, limits) if limits else (None, None)
    regions = sorted(masks.result(), key=lambda region: region["region_id"])
    before, after = pictures
    return Chain(
        image_id=chain.image_id,
        manifest=chain.manifest,
        runs=chain.runs,
        detailed=row,
        regions=regions,
        metrics=metrics.result(),
        diff=next(iter(diff.result()), None),
        reviews=sorted(verdicts.result(), key=lambda verdict: str(verdict["at"])),
        events=[e for e in events if (e.batch_id, e.run_id) == (row["batch_id"], row["run_id"])],
        before_rgb=before,
        after_rgb=after,
        alpha=union_plane(regions, before.shape[0], before.shape[1], "alpha_png") if before is not None else None,
    )


def _pictures(row: Mapping[str, Any], limits: SourceConfig) -> tuple[Any, Any]:
    with make_codec(limits) as codec:
        before = picture(row["uri"], codec, limits)
        is_edited = row["result_uri"] not in (None, row["uri"])
        after = picture(row["result_uri"], codec, limits) if is_edited else None
    return (before.rgb if before else None), (after.rgb if after else None)


def _only_source(chain: Chain, limits: SourceConfig | None) -> Chain:
    """No run has the image: its source is all there is to see."""
    if limits is None or not chain.manifest:
        return chain
    row = {"uri": chain.manifest[0]["uri"], "result_uri": None}
    return Chain(chain.image_id, chain.manifest, chain.runs, before_rgb=_pictures(row, limits)[0])


def _unknown(warehouse: Warehouse, image_id: str, batch_id: str | None) -> str:
    """What to say of an id that no batch has."""
    manifest = warehouse.frame("manifest")
    if batch_id is not None:
        manifest = manifest.where(F.col("batch_id") == batch_id)
    distance = F.levenshtein(F.lower("image_id"), F.lit(image_id.lower()))
    # Ids end in a digest that nobody types: one that begins like the given text is nearer than any misspelling.
    begins = F.startswith(F.lower("image_id"), F.lit(image_id.lower()))
    near = manifest.select("image_id").distinct().orderBy(~begins, distance, "image_id").limit(NEAR_IDS).collect()
    where = f"batch {batch_id!r}" if batch_id else "this warehouse"
    if not near:
        return f"{where} has no image {image_id!r}, and no other: see `cleanplate status`"
    return f"{where} has no image {image_id!r}; the nearest are: {', '.join(row['image_id'] for row in near)}"
