"""Looks for marks that the pictures of a batch share, before a run starts, and keeps their templates with the run."""

from __future__ import annotations

import hashlib
import io
import logging
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cleanplate.batch.pending import Scope, first_by_hash, manifest_rows
from cleanplate.config import Config, parse_config
from cleanplate.detect import build_detectors, look
from cleanplate.detect.given import GivenDetector
from cleanplate.errors import CleanplateError, StorageError
from cleanplate.guard import Codec, make_codec
from cleanplate.image import Image
from cleanplate.marks.discover import discover, is_small_enough
from cleanplate.marks.recurring import RecurringMark, from_pngs, to_pngs, without_doubles
from cleanplate.marks.votes import Frame, Pattern, Votes, distinct, frames_for, no_votes, patterns, votes_of
from cleanplate.models.registry import Registry
from cleanplate.records import Template
from cleanplate.spark.devices import pick_device, share_cores
from cleanplate.spark.session import cores, task_slots
from cleanplate.warehouse.schemas import MARKS, where
from cleanplate.warehouse.sources import read_source
from cleanplate.warehouse.tables import Warehouse

logger = logging.getLogger(__name__)
_MOST_MARKS = 8  # of a batch, the strongest
_IMAGES_PER_TASK = 8  # at least, of those that vote: each task's votes travel to the driver
_VOTES = "frame int, pictures int, votes binary"
_FOUND = "kind string, support double, images array<string>, anchor string, offset_x int, offset_y int, " \
    "alpha_png binary, colour_png binary, error_png binary, mark_id string"  # fmt: skip


def look_for_marks(warehouse: Warehouse, batch_id: str, version: int, config: Config) -> list[RecurringMark]:
    """Finds the marks that many pictures of a batch carry at one place.

    Two Spark jobs over a sample of the originals, the first `marks.sample_images` by the hash of their id: one counts
    where the pictures agree; where they do, one task for each such place makes a template of it. Partitions of the run
    know nothing of each other's images, so this is done once, when the run starts, and every partition is told.

    Args:
        warehouse: the warehouse.
        batch_id: the batch.
        version: of the manifest.
        config: `marks`, `detect`, `models` and `source` count.

    Returns:
        By their ids; an empty list for a small batch, or where only given regions are looked for: nothing says then
        that something is a mark.
    """
    if not config.marks.enabled or set(config.detect.detectors) <= {GivenDetector.name}:
        return []
    rows = first_by_hash(manifest_rows(warehouse, batch_id, version), config.marks.sample_images)
    listed = rows.select("image_id", "uri", "sha256", "width", "height").collect()
    if len(listed) < config.marks.fewest_images:
        return []
    sizes = [(row.width, row.height) for row in listed if row.width and row.height]
    frames = frames_for(sizes)
    if not sizes:
        logger.info("batch %s: its manifest has no sizes, so recurring marks are not looked for", batch_id)
    sources = [_Source(row.image_id, row.uri, row.sha256) for row in listed]
    votes = _counted(warehouse, sources, frames, config) if frames else []
    fewest = config.marks.fewest_images
    found = [pattern for each, frame in zip(votes, frames, strict=True) for pattern in patterns(each, frame, fewest)]
    places = [place for place in distinct(found, sizes) if is_small_enough(place, config.marks)][:_MOST_MARKS]
    if not places:
        return []
    task = _Discovery(places, sources, config.model_dump(mode="json"))
    numbers = warehouse.spark.range(0, len(places), 1, len(places))  # each in a partition of its own
    made = [_mark_of(row.asDict()) for row in numbers.mapInPandas(task.frames, _FOUND).collect()]
    marks = sorted(without_doubles(made, sizes), key=lambda mark: mark.mark_id)
    for mark in marks:
        logger.info(
            "batch %s: recurring mark %s, %s, on %.0f %% of the pictures looked at, template of %d",
            batch_id, mark.mark_id, mark.kind, 100 * mark.support, len(mark.images),
        )  # fmt: skip
    return marks


def looking_arm(config: Config) -> Config | None:
    """The configuration that marks are looked for with: of the first arm that wants them; None where none does."""
    arms = (config, config.arm_b())
    return next((arm for arm in arms if arm is not None and arm.marks.enabled), None)


def write_marks(warehouse: Warehouse, batch_id: str, run_id: str, marks: Sequence[RecurringMark]) -> None:
    """Keeps the marks of a run; those that are there already are replaced."""
    if not marks:
        return
    now = datetime.now(timezone.utc).replace(tzinfo=None)
    rows = []
    for mark in marks:
        height, width = mark.template.alpha.shape
        values = _row_of(mark) | {
            "batch_id": batch_id, "run_id": run_id, "width": width, "height": height, "at": now,
        }  # fmt: skip
        rows.append(tuple(values[name] for name in MARKS.fieldNames()))
    frame = warehouse.spark.createDataFrame(rows, MARKS)
    warehouse.replace(frame, "marks", where(batch_id=batch_id, run_id=run_id))


def known_marks(warehouse: Warehouse, scope: Scope, config: Config) -> tuple[RecurringMark, ...]:
    """The marks of a run, as its start found them; looked for again where a kill came before they were written.

    Raises:
        StorageError: they are gone, and looking again finds others.
    """
    if not scope.marks:
        return ()
    stored = stored_marks(warehouse, scope.batch_id, scope.run_id)
    if set(stored) != set(scope.marks):
        again = look_for_marks(warehouse, scope.batch_id, scope.manifest_version, looking_arm(config) or config)
        stored = {mark.mark_id: mark for mark in again}
        if set(stored) != set(scope.marks):
            raise StorageError(
                f"the recurring marks of run {scope.run_id} are no longer in the table `marks`, and the pictures do "
                f"not show them as they did: `cleanplate clean --batch {scope.batch_id} --new-run` starts anew"
            )
        write_marks(warehouse, scope.batch_id, scope.run_id, again)
    return tuple(stored[mark_id] for mark_id in scope.marks)


def stored_marks(warehouse: Warehouse, batch_id: str, run_id: str) -> dict[str, RecurringMark]:
    """The marks that stand in the table for a run, by their ids."""
    mine = where(batch_id=batch_id, run_id=run_id)
    return {row.mark_id: _mark_of(row.asDict()) for row in warehouse.frame("marks").where(mine).collect()}


def template_of(row: Mapping[str, Any]) -> Template:
    """What a row of the table says that its mark looks like.

    Raises:
        ContractError: its pictures are damaged.
    """
    return from_pngs(*(bytes(row[name] or b"") for name in ("alpha_png", "colour_png", "error_png")))


@dataclass(frozen=True)
class _Source:
    """A picture of the sample, as the manifest names it."""

    image_id: str
    uri: str
    sha256: str | None


def _counted(
    warehouse: Warehouse, sources: Sequence[_Source], frames: Sequence[Frame], config: Config
) -> list[Votes]:
    """The votes of pictures in each frame."""
    task = _Count(frames, config.source.model_dump(mode="json"))
    spark = warehouse.spark
    parts = max(1, min(task_slots(spark), len(sources) // _IMAGES_PER_TASK))
    rows = [(source.image_id, source.uri, source.sha256) for source in sources]
    sample = spark.createDataFrame(rows, "image_id string, uri string, sha256 string").repartition(parts)
    sums = [no_votes(frame) for frame in frames]
    for row in sample.mapInPandas(task.frames, _VOTES).collect():
        surplus, cast = _unpacked(row.votes)
        sums[row.frame] = sums[row.frame] + Votes(surplus, cast, row.pictures)
    return sums


@dataclass(frozen=True)
class _Count:
    """Counts votes in a worker; plain values, so that it travels with the function."""

    places: Sequence[Frame]
    source: dict[str, Any]

    def frames(self, frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        """For `mapInPandas`: pictures in, one row for each place out."""
        config = parse_config({"source": self.source})
        sums = [no_votes(place) for place in self.places]
        with make_codec(config.source) as codec:
            for source in (_Source(*row) for frame in frames for row in frame.itertuples(index=False)):
                image = _read(source, codec, config)
                for number, place in enumerate(self.places if image is not None else ()):
                    votes = votes_of(image.rgb, place)  # type: ignore[union-attr]
                    sums[number] = sums[number] if votes is None else sums[number] + votes
        yield pd.DataFrame(
            {
                "frame": range(len(sums)),
                "pictures": [each.pictures for each in sums],
                "votes": [_packed(each.surplus, each.cast) for each in sums],
            }
        )


@dataclass(frozen=True)
class _Discovery:
    """Makes marks of places in a worker; plain values, so that it travels with the function."""

    places: Sequence[Pattern]
    listed: Sequence[_Source]
    config: dict[str, Any]

    def frames(self, frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        """For `mapInPandas`: numbers of places in, one row for each mark out."""
        config = share_cores(parse_config(self.config), cores())
        device = pick_device(config.models)
        with make_codec(config.source) as codec:
            pictures = partial(self._pictures, codec, config)
            for number in (number for frame in frames for number in frame["id"]):
                detectors = build_detectors(config, Registry.load(config.models), device)
                mark = discover(self.places[number], pictures, partial(look, detectors), config.marks)
                if mark is not None:
                    yield pd.DataFrame([_row_of(mark)])

    def _pictures(self, codec: Codec, config: Config) -> Iterator[tuple[str, Image]]:
        """Those of the sample that can be read, with their ids."""
        for source in self.listed:
            image = _read(source, codec, config)
            if image is not None:
                yield source.image_id, image


def _read(source: _Source, codec: Codec, config: Config) -> Image | None:
    """A picture; None where it cannot be read or has changed, which its own row will say."""
    try:
        data = read_source(source.uri, config.source)
        changed = source.sha256 and hashlib.sha256(data).hexdigest() != source.sha256
        return None if changed else codec.decode(data)
    except CleanplateError:
        return None


def _row_of(mark: RecurringMark) -> dict[str, Any]:
    alpha, colour, error = to_pngs(mark.template)
    return {
        "kind": mark.kind, "support": mark.support, "images": list(mark.images), "anchor": mark.anchor,
        "offset_x": mark.left, "offset_y": mark.top, "alpha_png": alpha, "colour_png": colour, "error_png": error,
        "mark_id": mark.mark_id,
    }  # fmt: skip


def _mark_of(row: dict[str, Any]) -> RecurringMark:
    return RecurringMark(
        row["mark_id"], row["kind"], row["anchor"], row["offset_x"], row["offset_y"], template_of(row), row["support"],
        tuple(row["images"]),
    )  # fmt: skip


def _packed(surplus: NDArray[np.int16], cast: NDArray[np.int16]) -> bytes:
    out = io.BytesIO()
    np.save(out, np.stack([surplus, cast]))
    return zlib.compress(out.getvalue(), 1)


def _unpacked(data: bytes) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    surplus, cast = np.load(io.BytesIO(zlib.decompress(data)))
    return surplus, cast
