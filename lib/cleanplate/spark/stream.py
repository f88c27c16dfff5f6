"""The flow of images through a worker: read ahead, clean by batches, in constant memory."""

from __future__ import annotations

import hashlib
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from cleanplate.config import Config
from cleanplate.errors import CleanplateError, ContractError, RefusedError, StorageError
from cleanplate.guard import Codec
from cleanplate.image import Image
from cleanplate.pipeline import Plan
from cleanplate.records import ErrorInfo, GivenRegion, Job, Kind, Outcome, Rights
from cleanplate.rows import clean_rows
from cleanplate.warehouse.sources import read_source

logger = logging.getLogger(__name__)
Item = TypeVar("Item")
Made = TypeVar("Made")


@dataclass(frozen=True)
class SourceRow:
    """A row of the manifest, as the workers need it; None means that the configuration decides."""

    image_id: str
    uri: str
    sha256: str | None = None
    rights: Rights | None = None
    regions: tuple[GivenRegion, ...] = ()
    mask_uri: str | None = None
    remove: tuple[Kind, ...] | None = None
    prompt: str = ""
    seed: int | None = None
    strength: float = 1.0
    mask_sigma: float | None = None
    upscale: int | None = None
    arm: str | None = None


@dataclass(frozen=True)
class Loaded:
    """A row with its decoded job, or with the outcome that says why there is none."""

    row: SourceRow
    job: Job | None = None
    outcome: Outcome | None = None
    source_sha256: str = ""
    pixels: int = 0


@dataclass(frozen=True)
class Cleaned:
    """A row with its outcome."""

    row: SourceRow
    outcome: Outcome
    source_sha256: str = ""
    before: Image | None = field(default=None, repr=False)


def clean_stream(rows: Iterable[SourceRow], plan: Plan) -> Iterator[Cleaned]:
    """Cleans rows as they come: fetches and decodes ahead in threads, cleans in batches sized by pixels.

    Args:
        rows: any number; pulled from the caller's thread.
        plan: configuration and loaded models.

    Yields:
        One `Cleaned` per row, in order within a batch; never raises for the sake of an image.
    """
    run = plan.config.run
    with ThreadPoolExecutor(run.io_threads, thread_name_prefix="read") as pool:
        loaded = ahead(pool, lambda row: load(row, plan.codec, plan.config), rows, run.prefetch_images)
        for batch in _batches(loaded, int(run.batch_megapixels * 1e6)):
            yield from _clean_batch(batch, plan)


def ahead(
    pool: ThreadPoolExecutor, function: Callable[[Item], Made], items: Iterable[Item], depth: int
) -> Iterator[Made]:
    """Maps in threads, in order, at most `depth` items ahead of the consumer."""
    queue: deque[Future[Made]] = deque()
    for item in items:
        queue.append(pool.submit(function, item))
        if len(queue) >= depth:
            yield queue.popleft().result()
    while queue:
        yield queue.popleft().result()


def load(row: SourceRow, codec: Codec, config: Config) -> Loaded:
    """Fetches and decodes one row.

    Returns:
        A job, or the outcome `failed` or `refused` with stage "read", "decode" or "request".
    """
    sha256, stage = "", "read"
    try:
        data = read_source(row.uri, config.source)
        sha256 = hashlib.sha256(data).hexdigest()
        if row.sha256 and sha256 != row.sha256:
            raise ContractError(
                f"{row.uri} has changed since it was ingested: sha256 {sha256[:12]}… is not the manifest's "
                f"{row.sha256[:12]}…; ingest it again under a new batch"
            )
        stage = "decode"
        image = codec.decode(data)
        stage = "request"
        job = make_job(row, image, _read_mask(row, image, codec, config), config)
    except CleanplateError as error:
        return Loaded(row, outcome=_unreadable(row, stage, error), source_sha256=sha256)
    return Loaded(row, job, source_sha256=sha256, pixels=image.width * image.height)


def make_job(row: SourceRow, image: Image, mask: NDArray[np.float32] | None, config: Config) -> Job:
    """Joins a row with its picture, and with the configuration where the row is silent.

    Raises:
        ContractError: a box lies outside the image, or a number is out of its range.
    """
    for region in row.regions:
        box = region.box
        if box.area_px == 0 or box.clip(image.width, image.height) != box:
            raise ContractError(
                f"given box ({box.left}, {box.top}, {box.right}, {box.bottom}) of {row.image_id} is empty or leaves "
                f"the image of {image.width}x{image.height} px; correct `regions` in the manifest"
            )
    upscale = config.upscale.factor if row.upscale is None else row.upscale
    if upscale not in (1, 2, 4) or not 0 <= row.strength <= 1 or (row.mask_sigma or 0) < 0:
        raise ContractError(
            f"{row.image_id}: upscale must be 1, 2 or 4, strength 0..1 and mask_sigma not negative; the manifest has "
            f"{row.upscale}, {row.strength}, {row.mask_sigma}"
        )
    _check_upscale(row.image_id, upscale, image, config)
    return Job(
        image_id=row.image_id,
        image=image,
        rights=row.rights or config.rights,
        regions=row.regions,
        mask=mask,
        remove=frozenset(row.remove or config.remove),
        seed=row.seed if row.seed is not None else image_seed(config.seed, row.image_id),
        prompt=row.prompt,
        strength=row.strength,
        mask_sigma=row.mask_sigma,
        upscale=upscale,
    )


def _check_upscale(image_id: str, factor: int, image: Image, config: Config) -> None:
    """Refused before anything is cleaned: a result that would not be read back costs the image's whole work."""
    if factor > config.upscale.largest:
        raise RefusedError(f"{image_id}: upscale {factor} is more than upscale.largest={config.upscale.largest}")
    pixels, limits = image.width * image.height * factor**2, config.source
    if pixels > limits.max_pixels or factor * max(image.width, image.height) > limits.max_side_px:
        raise RefusedError(
            f"{image_id}: upscaled by {factor} it would have {factor * image.width} x {factor * image.height} pixels, "
            f"more than source.max_pixels={limits.max_pixels} or source.max_side_px={limits.max_side_px} lets be read "
            "back; ask for a smaller factor, or raise the limit"
        )


def image_seed(base_seed: int, image_id: str) -> int:
    """63 bits from the base seed and the image's id: the same in every run and on every machine."""
    digest = hashlib.sha256(f"{base_seed}/{image_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _read_mask(row: SourceRow, image: Image, codec: Codec, config: Config) -> NDArray[np.float32] | None:
    if not row.mask_uri:
        return None
    picture = codec.decode(read_source(row.mask_uri, config.source))
    if (picture.height, picture.width) != (image.height, image.width):
        raise ContractError(
            f"mask {row.mask_uri} is {picture.width}x{picture.height} px, its image {row.image_id} is "
            f"{image.width}x{image.height} px (upright); draw it at the image's size"
        )
    return mask_values(picture)


def mask_values(picture: Image) -> NDArray[np.float32]:
    """Soft mask (H, W), float32 in 0..1, from a decoded mask file: the brightest channel, 16 bits kept."""
    deep = picture.carried.bit_depth == 16 and picture.native.ndim == 2 and picture.carried.orientation == 1
    if deep:
        return np.asarray(picture.native, np.float32) / np.float32(65535)
    return picture.rgb.max(axis=2).astype(np.float32) / np.float32(255)


def _unreadable(row: SourceRow, stage: str, error: CleanplateError) -> Outcome:
    return Outcome(
        image_id=row.image_id,
        status="refused" if isinstance(error, RefusedError) else "failed",
        error=ErrorInfo(stage, type(error).__name__, str(error)),
        seed=row.seed or 0,
    )


def is_retryable(outcome: Outcome) -> bool:
    """Whether another try may help: storage out of reach, or time that ran out."""
    return (
        outcome.status == "failed"
        and outcome.error is not None
        and outcome.error.error_class in (StorageError.__name__, TimeoutError.__name__)
    )


def _batches(loaded: Iterable[Loaded], limit_px: int) -> Iterator[list[Loaded]]:
    batch: list[Loaded] = []
    pixels = 0
    for item in loaded:
        if batch and pixels + item.pixels > limit_px:
            yield batch
            batch, pixels = [], 0
        batch.append(item)
        pixels += item.pixels
    if batch:
        yield batch


def _clean_batch(batch: Sequence[Loaded], plan: Plan) -> Iterator[Cleaned]:
    jobs = [item.job for item in batch if item.job is not None]
    outcomes = iter(clean_rows(jobs, plan) if jobs else [])
    for item in batch:
        outcome = item.outcome or next(outcomes)
        yield Cleaned(item.row, outcome, item.source_sha256, item.job.image if item.job else None)
