"""Cleans one image again with a mask that a reviewer corrected, as a held layer of its own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from cleanplate.batch.fanout import drop_staging, fan_out
from cleanplate.batch.painted import read_mask
from cleanplate.batch.pending import MANIFEST_COLUMNS, manifest_rows
from cleanplate.batch.publish import count_statuses
from cleanplate.batch.recurring import stored_marks
from cleanplate.batch.run import model_hashes
from cleanplate.batch.waves import worker_count
from cleanplate.config import Config, load_config, parse_config
from cleanplate.errors import ContractError
from cleanplate.spark.partition import WaveTask, wave_function
from cleanplate.spark.wide import RunKey
from cleanplate.warehouse.events import Event, last_of
from cleanplate.warehouse.ledger import Ledger
from cleanplate.warehouse.schemas import MANIFEST, STAGING, where

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from cleanplate.warehouse.tables import Warehouse


@dataclass(frozen=True)
class Correction:
    """A reviewer's correction.

    Attributes:
        batch_id: the batch.
        image_id: the image.
        over: the run whose result was looked at.
        mask_png: 8-bit grey PNG at the image's upright size; what is not 0 goes, and nothing else.
        who: the reviewer.
    """

    batch_id: str
    image_id: str
    over: str
    mask_png: bytes
    who: str = ""


def run_again(warehouse: Warehouse, correction: Correction) -> Event:
    """Cleans the image from its original, with the corrected mask and nothing but it.

    The configuration is that of the run that was looked at, with the mask taken exactly as it is painted. What the
    detectors find besides is kept; where they see a watermark or a stamp that the rights forbid to remove, a mask on
    it is gated like any other region.

    Args:
        warehouse: the warehouse.
        correction: the image and its mask.

    Returns:
        The event that holds the layer. `verdicts` of reviewers publish it or give it up.

    Raises:
        ContractError: an unknown run or image, or a mask that is no picture or empty.
        StorageError: something cannot be read or written; the layer is given up.
    """
    read_mask(correction.mask_png)
    ledger = Ledger(warehouse)
    base = last_of(ledger.events(correction.batch_id), correction.batch_id, correction.over)
    if base is None:
        raise ContractError(f"batch {correction.batch_id!r} has no run {correction.over}")
    row = _manifest_row(warehouse, correction, base)
    config = _config_of(warehouse, base)
    started = ledger.start_run(
        correction.batch_id, "layer", beside_open=True, manifest_version=base.manifest_version,
        config_hash=config.digest(), config_text=config.to_yaml(), model_hashes=model_hashes(config),
        scope=json.dumps({"over": correction.over, "image_id": correction.image_id}), who=correction.who,
        note=f"{correction.image_id} again with a corrected mask, over {correction.over}",
    )  # fmt: skip
    try:
        _clean(warehouse, started, row, config, correction)
    except BaseException:
        ledger.record(started.batch_id, started.run_id, "abort", who=correction.who, note="it did not come through")
        drop_staging(warehouse, started.batch_id, started.run_id)
        raise
    counts = count_statuses(warehouse, started.batch_id, started.run_id)
    return ledger.record(
        started.batch_id, started.run_id, "hold", who=correction.who, note="awaits a verdict", counts=counts
    )


def _manifest_row(warehouse: Warehouse, correction: Correction, base: Event) -> dict[str, Any]:
    rows = manifest_rows(warehouse, correction.batch_id, base.manifest_version)
    found = rows.where(rows["image_id"] == correction.image_id).select(*MANIFEST_COLUMNS).first()
    if found is None:
        raise ContractError(f"batch {correction.batch_id!r} has no image {correction.image_id!r}")
    looked_at = warehouse.frame("results").where(where(batch_id=base.batch_id, run_id=base.run_id))
    result = looked_at.where(looked_at["image_id"] == correction.image_id).select("arm").first()
    # The arm that the run drew for it decides which configuration cleans it.
    return found.asDict(recursive=True) | ({"arm": result["arm"]} if result else {})


def _config_of(warehouse: Warehouse, base: Event) -> Config:
    config = parse_config(yaml.safe_load(base.config_text)) if base.config_text else load_config()
    mask = config.mask.model_copy(update={"given": "exact"})
    roots = config.source.allowed_roots
    source = config.source.model_copy(update={"allowed_roots": (*roots, warehouse.objects.root) if roots else ()})
    return config.model_copy(update={"mask": mask, "source": source})


def _clean(
    warehouse: Warehouse, started: Event, row: dict[str, Any], config: Config, correction: Correction
) -> None:
    key = RunKey(started.batch_id, started.run_id, 0, config.digest())
    mask_uri = warehouse.objects.put(started.batch_id, started.run_id, correction.mask_png, "png")
    # The painted mask is a region of kind object; with only that kind to be removed, all else keeps its pixels.
    values = row | {"mask_uri": mask_uri, "regions": None, "remove": ["object"]}
    # Marks that only their template sees must be seen again, or the rights gate would not know them.
    marks = tuple(stored_marks(warehouse, started.batch_id, correction.over).values())
    task = WaveTask(key, config.model_dump(mode="json"), warehouse.objects, worker_count(warehouse), marks=marks)
    wide = _one_row(warehouse, values).mapInPandas(wave_function(task), STAGING)
    warehouse.append(wide, "staging", {"txnAppId": f"{started.run_id}/0", "txnVersion": "1"})
    fan_out(warehouse, started.batch_id, started.run_id, [0])
    drop_staging(warehouse, started.batch_id, started.run_id, [0])


def _one_row(warehouse: Warehouse, values: dict[str, Any]) -> DataFrame:
    fields = {field.name: field for field in MANIFEST}
    # The seed travels as text, as in a wave: a 63-bit number does not survive pandas' floats.
    columns = ", ".join(
        f"`{name}` {'string' if name == 'seed' else fields[name].dataType.simpleString()}" for name in MANIFEST_COLUMNS
    )
    seed = None if values["seed"] is None else str(values["seed"])
    row = tuple((values | {"seed": seed})[name] for name in MANIFEST_COLUMNS)
    return warehouse.spark.createDataFrame([row], columns)
