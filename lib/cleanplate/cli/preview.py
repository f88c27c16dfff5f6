"""Cleans files in this process, with no JVM and no tables, to look at the result."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from cleanplate.cli.common import add_config, config_of, counts_text, stop_for_config
from cleanplate.errors import ConfigError, StorageError

if TYPE_CHECKING:
    from cleanplate.config import Config
    from cleanplate.pipeline import Plan
    from cleanplate.records import Enhancement, Outcome, RegionOutcome
    from cleanplate.spark.stream import Cleaned, SourceRow

EXAMPLE = "cleanplate preview photo.jpg scans/ --out cleaned --rights owned"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("inputs", nargs="+", metavar="IMAGE|DIR", help="picture files, or folders of them")
    parser.add_argument("--out", required=True, metavar="DIR", help="where results, masks and outcomes.jsonl go")
    parser.add_argument("--masks", metavar="DIR", help="mask files, matched by file stem")
    parser.add_argument("--rights", choices=["owned", "licensed", "public_domain", "unknown"])
    add_config(parser)


def run(options: argparse.Namespace) -> int:
    """Runs the verb."""
    config = config_of(options)
    if stop_for_config(options, config):
        return 0
    from cleanplate.enhance.share import with_share_decided
    from cleanplate.pipeline import Plan
    from cleanplate.spark.devices import limit_threads, pick_device

    targets = find_inputs(options.inputs, options.masks, options.rights)
    out = _make_folder(Path(options.out), [Path(row.uri) for row, _ in targets])
    limit_threads(config.models, 1)
    config = with_share_decided(config, _score_below([row for row, _ in targets], config))
    plan = Plan.load(config, pick_device(config.models))
    counts: dict[str, int] = {}
    try:
        with (out / "outcomes.jsonl").open("w", encoding="utf-8") as log:
            for cleaned, name in _clean(targets, plan, sys.stderr.isatty()):
                write_result(out, name, cleaned, log)
                counts[cleaned.outcome.status] = counts.get(cleaned.outcome.status, 0) + 1
    finally:
        plan.codec.close()
    print(f"{counts_text(counts)}; see {out}/outcomes.jsonl")
    return 0


def _score_below(rows: Sequence[SourceRow], config: Config) -> float | None:
    """What enhance.worst_share comes to over the inputs, all of which are read once more for it."""
    if config.enhance.worst_share == 1:
        return None
    from cleanplate.enhance.share import score_below
    from cleanplate.guard import make_codec
    from cleanplate.metrics.no_reference import no_reference
    from cleanplate.spark.stream import load

    with make_codec(config.source) as codec:
        jobs = (load(row, codec, config).job for row in rows)
        scores = [no_reference(job.image.rgb) for job in jobs if job is not None]
    return score_below(scores, config.enhance.worst_share)


def find_inputs(inputs: Sequence[str], masks: str | None, rights: Any) -> list[tuple[SourceRow, Path]]:
    """Rows to clean, each with its file name below the output folder.

    Raises:
        StorageError: an input does not exist.
        ContractError: a folder holds no picture, or masks do not fit.
        ConfigError: two inputs would be written under one name.
    """
    from cleanplate.batch.listing import list_pictures, match_masks
    from cleanplate.spark.stream import SourceRow

    found: dict[Path, str] = {}
    for text in inputs:
        path = Path(text).absolute()
        if not path.exists():
            raise StorageError(f"{text} does not exist")
        for file in [Path(uri) for uri in list_pictures(str(path))] if path.is_dir() else [path]:
            name = file.relative_to(path) if path.is_dir() else Path(file.name)
            if found.setdefault(name, str(file)) != str(file):
                raise ConfigError(f"{found[name]} and {file} would both be written as {name}; preview them apart")
    mask_uris = match_masks(list(found.values()), masks) if masks else {}
    return [
        (SourceRow(image_id=str(name), uri=uri, rights=rights, mask_uri=mask_uris.get(uri)), name)
        for name, uri in found.items()
    ]


def write_result(out: Path, name: Path, cleaned: Cleaned, log: IO[str]) -> None:
    """Writes NAME.EXT, NAME.mask.png and a line of outcomes.jsonl."""
    from cleanplate.spark.wide import encode_plane

    outcome = cleaned.outcome
    target = out / name
    target.parent.mkdir(parents=True, exist_ok=True)
    if cleaned.before is not None:
        target.write_bytes(outcome.data if outcome.data is not None else cleaned.before.data)
        mask = union_mask(outcome, cleaned.before.height, cleaned.before.width)
        target.with_name(f"{name.stem}.mask.png").write_bytes(encode_plane(mask))
    log.write(json.dumps(outcome_line(str(name), cleaned), ensure_ascii=False) + "\n")
    log.flush()


def union_mask(outcome: Outcome, height: int, width: int) -> NDArray[np.float32]:
    """Soft mask (H, W), 0..1, of all regions that were to go."""
    mask = np.zeros((height, width), np.float32)
    for found in outcome.regions:
        if found.decision in ("filled", "review"):
            place = found.region.box.slices
            mask[place] = np.maximum(mask[place], found.region.alpha)
    return mask


def outcome_line(name: str, cleaned: Cleaned) -> dict[str, Any]:
    """What outcomes.jsonl says of an image."""
    outcome = cleaned.outcome
    line: dict[str, Any] = {
        "image": name,
        "status": outcome.status,
        "confidence": round(outcome.confidence, 4),
        "regions": [_region_line(region) for region in outcome.regions],
        "metrics": {key: round(value, 6) for key, value in outcome.metrics.items()},
        "seconds": {key: round(value, 4) for key, value in outcome.timings.items()},
    }
    if outcome.enhancement:
        line["enhancement"] = _enhancement_line(outcome.enhancement)
    if outcome.error:
        line["error"] = {
            "stage": outcome.error.stage,
            "class": outcome.error.error_class,
            "message": outcome.error.message,
        }
    return line


def _enhancement_line(done: Enhancement) -> dict[str, Any]:
    return {
        "steps": [{"name": step.name, "scale": step.scale, "seconds": round(step.seconds, 4)} for step in done.steps],
        "reason": done.reason,
        "origin": done.origin,
        "synthetic": done.synthetic,
    }


def _region_line(outcome: RegionOutcome) -> dict[str, Any]:
    box = outcome.region.box
    return {
        "box": [box.left, box.top, box.right, box.bottom],
        "kind": outcome.region.kind,
        "score": round(outcome.region.score, 4),
        "decision": outcome.decision,
        "engine": outcome.route.engine if outcome.route else None,
        "reason": outcome.route.reason if outcome.route else None,
        "confidence": round(outcome.confidence, 4),
        "attempts": len(outcome.attempts),
    }


def _clean(targets: Sequence[tuple[SourceRow, Path]], plan: Plan, is_shown: bool) -> Iterator[tuple[Cleaned, Path]]:
    from cleanplate.spark.stream import clean_stream

    names = {row.image_id: name for row, name in targets}
    stream = clean_stream((row for row, _ in targets), plan)
    for cleaned in tqdm(stream, total=len(targets), unit="image", disable=not is_shown):
        yield cleaned, names[cleaned.row.image_id]


def _make_folder(out: Path, inputs: Sequence[Path]) -> Path:
    if any(out.absolute() == path.parent for path in inputs):
        raise ConfigError(f"--out {out} holds an input; originals are never overwritten: name another folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot create {out}: {error.strerror}") from error
    return out


