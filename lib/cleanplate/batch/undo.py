"""Takes single images back to their originals, as a layer of its own on top of what the batch shows."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from pyspark.sql import functions as F  # noqa: N812  (the name Spark's own documentation uses)

from cleanplate.batch.limits import limits_of
from cleanplate.batch.lossless import encode_png
from cleanplate.codec import decode, probe
from cleanplate.config import SourceConfig
from cleanplate.diff import invert_diff
from cleanplate.errors import CleanplateError, ContractError, DecodeError, StorageError
from cleanplate.warehouse.events import ActiveRun, Event, last_of
from cleanplate.warehouse.ledger import Ledger
from cleanplate.warehouse.schemas import RESULTS, where
from cleanplate.warehouse.sources import read_source

if TYPE_CHECKING:
    from cleanplate.warehouse.tables import Warehouse

logger = logging.getLogger(__name__)
Item = TypeVar("Item")
CHUNK_IMAGES = 100  # whose patches are held at a time
MOST_REMARKS = 20  # on single images in the ledger's note


@dataclass(frozen=True)
class Restored:
    """How an image came back: the source itself, or a PNG of its samples where the source is gone."""

    uri: str
    sha256: str
    media_type: str | None
    size_bytes: int
    width: int | None = None
    height: int | None = None
    remark: str = ""


def undo(warehouse: Warehouse, image_ids: str | Sequence[str], who: str = "", note: str = "") -> list[Event]:
    """Shows the originals of images again, whatever batch cleaned them.

    Each image's source must still have the sha256 that was cleaned. Where it has not, or is gone, the samples are
    made from the result by its diff and stored as a lossless PNG. No diff leads back from a result that was enhanced or
    upscaled as a whole: there only the source does.

    Args:
        warehouse: the warehouse.
        image_ids: the images.
        who: who does it.
        note: in words.

    Returns:
        One event per batch: the publication of a layer whose rows have the status `restored`.

    Raises:
        ContractError: an image is unknown or shows its original already, or neither source nor diff brings it back.
        StorageError: something cannot be read or written.
    """
    wanted = [image_ids] if isinstance(image_ids, str) else list(dict.fromkeys(image_ids))
    rows = _current_rows(warehouse, wanted)
    batches = sorted({row["batch_id"] for row in rows})
    return [_undo_in_batch(warehouse, b, [row for row in rows if row["batch_id"] == b], who, note) for b in batches]


def _current_rows(warehouse: Warehouse, image_ids: Sequence[str]) -> list[dict[str, Any]]:
    """The shown rows of the images, without their patches."""
    rows = {row["image_id"]: row.asDict() for ids in _chunks(image_ids, 5000) for row in _shown(warehouse, ids)}
    wrong = [(image_id, rows[image_id]["status"] if image_id in rows else None) for image_id in image_ids]
    wrong = [(image_id, status) for image_id, status in wrong if status != "cleaned"]
    if wrong:
        image_id, status = wrong[0]
        others = f" (and {len(wrong) - 1:,} more of {len(image_ids):,} cannot be undone)" if len(wrong) > 1 else ""
        if status is None:
            raise ContractError(f"image {image_id!r} is not published: there is nothing to undo{others}")
        raise ContractError(f"image {image_id!r} is {status}: it shows its original already{others}")
    return [rows[image_id] for image_id in image_ids]


def _shown(warehouse: Warehouse, image_ids: Sequence[str]) -> list[Any]:
    return warehouse.current("results").where(F.col("image_id").isin(*image_ids)).collect()


def _chunks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _with_patches(warehouse: Warehouse, rows: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """The rows with `patch` and `diff_kind` of their diffs, read some images at a time: patches are large."""
    for chunk in _chunks(rows, CHUNK_IMAGES):
        mine = where(batch_id=chunk[0]["batch_id"], wave=sorted({row["wave"] for row in chunk}))
        diffs = warehouse.frame("diffs").where(mine).where(F.col("image_id").isin(*[row["image_id"] for row in chunk]))
        found = {(diff["run_id"], diff["wave"], diff["image_id"]): diff for diff in diffs.collect()}
        for row in chunk:
            diff = found.get((row["run_id"], row["wave"], row["image_id"]))
            kind, patch = (diff["kind"], diff["patch"]) if diff else (None, None)
            yield {**row, "diff_kind": kind, "patch": patch}


def _undo_in_batch(
    warehouse: Warehouse, batch_id: str, rows: Sequence[Mapping[str, Any]], who: str, note: str
) -> Event:
    ledger = Ledger(warehouse)
    events = ledger.events(batch_id)
    limits = {run_id: limits_of(last_of(events, batch_id, run_id)) for run_id in {row["run_id"] for row in rows}}
    _check_undoable(warehouse, rows, limits)
    base = last_of(events, batch_id, rows[0]["run_id"])
    started = ledger.start_run(
        batch_id, "layer", beside_open=True, who=who, note=note, config_hash=base.config_hash if base else "",
        manifest_version=base.manifest_version if base else None,
    )  # fmt: skip
    table, remarks = _restore_all(warehouse, rows, started.run_id, limits)
    frame = warehouse.spark.createDataFrame(table, RESULTS)
    warehouse.replace(frame, "results", where(batch_id=batch_id, run_id=started.run_id, wave=0))
    events = ledger.events(batch_id)
    active = events[-1].active_runs
    return ledger.record(
        batch_id, started.run_id, "publish", events, who=who, note="; ".join(filter(None, (note, *remarks))),
        active_runs=(*active, ActiveRun(started.run_id)), counts={"restored": len(rows)},
        table_versions=warehouse.versions(),
    )  # fmt: skip


def _restore_all(
    warehouse: Warehouse, rows: Sequence[Mapping[str, Any]], run_id: str, limits: Mapping[str, SourceConfig]
) -> tuple[list[tuple[Any, ...]], list[str]]:
    """The layer's rows of `results`, and what the ledger is to know of them."""
    table, remarks = [], []
    for row in _with_patches(warehouse, rows):
        found = restore(warehouse, row, run_id, limits[row["run_id"]])
        table.append(_result_row(row, found, run_id))
        if found.remark:
            remarks.append(f"{row['image_id']}: {found.remark}")
    more = len(remarks) - MOST_REMARKS
    return table, remarks[:MOST_REMARKS] + ([f"and {more:,} more such images"] if more > 0 else [])


def _check_undoable(
    warehouse: Warehouse, rows: Sequence[Mapping[str, Any]], limits: Mapping[str, SourceConfig]
) -> None:
    """Nothing is started unless every image can be brought back."""
    gone = [row for row in rows if _source_bytes(row, limits[row["run_id"]]) is None]
    for row in _with_patches(warehouse, gone):
        _samples_before(warehouse, row, limits[row["run_id"]])


def restore(warehouse: Warehouse, row: Mapping[str, Any], run_id: str, limits: SourceConfig) -> Restored:
    """Brings one image back.

    Args:
        warehouse: the warehouse.
        row: of results_current, with `patch` and `diff_kind` of its diff.
        run_id: the layer that will own a restored file.
        limits: of the files that are read.

    Raises:
        ContractError: the source is gone or changed, and no diff leads back.
        StorageError: the result or the new file is out of reach.
    """
    data = _source_bytes(row, limits)
    if data is not None:
        remark = "" if _inverts(warehouse, row, data, limits) else "its diff does not lead back to the source"
        media_type, width, height = _header(data, limits)
        return Restored(row["uri"], row["source_sha256"], media_type, len(data), width, height, remark)
    png = _samples_before(warehouse, row, limits)
    uri = warehouse.objects.put(row["batch_id"], run_id, png, "png")
    remark = "its source is gone or changed, so its pixels were restored by its diff"
    return Restored(uri, hashlib.sha256(png).hexdigest(), "image/png", len(png), row["width"], row["height"], remark)


def _source_bytes(row: Mapping[str, Any], limits: SourceConfig) -> bytes | None:
    """The source's bytes, None where it is gone or no longer the one that was cleaned."""
    try:
        data = read_source(row["uri"], limits)
    except StorageError as error:
        logger.warning("undo of %s: %s", row["image_id"], error)
        return None
    return data if hashlib.sha256(data).hexdigest() == row["source_sha256"] else None


def _samples_before(warehouse: Warehouse, row: Mapping[str, Any], limits: SourceConfig) -> bytes:
    if row["patch"] is None or row["diff_kind"] != "local" or not row["result_uri"]:
        whole = " (the whole picture was enhanced, which no diff undoes)" if row["diff_kind"] == "whole" else ""
        raise ContractError(
            f"the source {row['uri']} of image {row['image_id']!r} is gone or changed, and no diff leads back to it"
            f"{whole}: bring that file back, then undo again"
        )
    result = decode(warehouse.objects.get(row["result_uri"]), limits)
    return encode_png(invert_diff(result.native, bytes(row["patch"])), result.carried)


def _inverts(warehouse: Warehouse, row: Mapping[str, Any], data: bytes, limits: SourceConfig) -> bool:
    """Whether result and diff lead back to the source's very samples."""
    if row["patch"] is None or row["diff_kind"] != "local":
        return True
    try:
        result = decode(warehouse.objects.get(row["result_uri"]), limits)
        back = invert_diff(result.native, bytes(row["patch"]))
        return bool((back == decode(data, limits).native).all())
    except CleanplateError as error:
        logger.warning("undo of %s: %s", row["image_id"], error)
        return False


def _header(data: bytes, limits: SourceConfig) -> tuple[str | None, int | None, int | None]:
    """Media type, width and height of a source, which need not be those of its result."""
    try:
        found = probe(data, limits)
    except DecodeError:
        return None, None, None
    return found.media_type, found.width, found.height


def _result_row(row: Mapping[str, Any], found: Restored, run_id: str) -> tuple[Any, ...]:
    values = dict(row) | {
        "run_id": run_id, "wave": 0, "attempt": 1, "status": "restored", "result_uri": found.uri,
        "result_sha256": found.sha256, "media_type": found.media_type, "result_bytes": found.size_bytes,
        "width": found.width, "height": found.height, "synthetic": False, "enhancements": [], "enhance_reason": None,
        "confidence": 1.0, "retryable": False, "timings": {}, "error_stage": None, "error_class": None,
        "error_message": found.remark or None,
    }  # fmt: skip
    return tuple(values[name] for name in RESULTS.fieldNames())
