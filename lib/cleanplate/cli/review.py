"""Shows what needs a person's eyes on a web page, takes the verdicts, and makes them count."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cleanplate.cli.common import add_config, add_warehouse, config_of, open_warehouse, stop_for_config, who
from cleanplate.config import Config
from cleanplate.errors import ConfigError, StorageError

if TYPE_CHECKING:
    from cleanplate.batch.verdicts import Review
    from cleanplate.rollout.sheets import Result
    from cleanplate.warehouse.tables import Warehouse

EXAMPLE = "cleanplate review --batch spring --warehouse wh"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    add_warehouse(parser)
    parser.add_argument("--batch", metavar="B", help="only this batch")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; others than this machine's own "
                        "need --token")  # fmt: skip
    parser.add_argument("--port", type=int, default=8710, metavar="N", help="port (8710)")
    parser.add_argument("--token", metavar="T", help="what every request must carry")
    parser.add_argument("--reviewer", metavar="NAME", help="name for the verdicts (default: the user's)")
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument("--ab", nargs=2, metavar=("RUN_A", "RUN_B"), help="compare two runs, unlabelled, side by side")
    modes.add_argument("--export", metavar="DIR", help="write the queue as a folder of HTML and CSV")
    modes.add_argument("--import", metavar="FILE.csv", dest="sheet", help="read the verdicts of a CSV back")
    modes.add_argument("--apply", action="store_true", help="publish verdicts: rejected images show their originals")
    modes.add_argument("--export-masks", metavar="DIR", help="write corrected masks for training/")
    parser.add_argument("--summary", action="store_true", help="with --ab: only say what is preferred so far")
    add_config(parser)


def run(options: argparse.Namespace) -> int:
    """Runs the verb."""
    config = config_of(options)
    if stop_for_config(options, config):
        return 0
    if options.summary and not options.ab:
        raise ConfigError("--summary says what is preferred: give it with --ab RUN_A RUN_B")
    if options.sheet:
        return _import(options)
    if options.apply:
        return _apply(options)
    if options.export_masks:
        return _export_masks(options)
    if options.export:
        return _export(options, config)
    return _summary(options) if options.summary else _serve(options, config)


def _serve(options: argparse.Namespace, config: Config) -> int:
    from cleanplate.rollout.serve import address_of, checked_access, serve

    access = checked_access(options.host, options.token)  # before Spark starts: a refusal should not take seconds
    from cleanplate.rollout.ab_desk import AbDesk
    from cleanplate.rollout.desk import Desk
    from cleanplate.rollout.warehouse_store import WarehouseStore

    store = WarehouseStore(open_warehouse(options), config, options.batch)
    name = options.reviewer or who()
    try:
        if options.ab:
            pair = AbDesk(store.load_pair(*options.ab), options.ab[0], options.ab[1], name)
            print(f"{len(store.items())} images to compare: {address_of(access, options.port)}", flush=True)
            serve(pair, access, options.port)
            print(pair.result().in_words(*options.ab))
        else:
            desk = Desk(store.load_queue(), f"Review of {options.batch or 'all batches'}", name)
            address = address_of(access, options.port)
            print(f"{len(store.items())} images wait for a person: {address}   (Ctrl-C ends)", flush=True)
            serve(desk, access, options.port)
    finally:
        store.close()
    return 0


def _summary(options: argparse.Namespace) -> int:
    from cleanplate.batch.reviews import read_reviews
    from cleanplate.rollout.preference import preference

    found = preference(read_reviews(open_warehouse(options), options.batch), *options.ab)
    print(found.in_words(*options.ab))
    return 0


def _export(options: argparse.Namespace, config: Config) -> int:
    from cleanplate.rollout.sheets import write_sheets
    from cleanplate.rollout.warehouse_store import WarehouseStore

    store = WarehouseStore(open_warehouse(options), config, options.batch)
    try:
        page = write_sheets(store.load_queue(), Path(options.export), f"Review of {options.batch or 'all batches'}")
        print(f"{len(store.items())} images in {page}; queue.csv lists them")
    finally:
        store.close()
    return 0


def _import(options: argparse.Namespace) -> int:
    from cleanplate.batch.reviews import append_reviews, read_reviews
    from cleanplate.rollout.sheets import read_sheet

    try:
        text = Path(options.sheet).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"cannot read {options.sheet} as UTF-8 text: {error}") from error
    warehouse = open_warehouse(options)
    sheet = read_sheet(
        text, options.reviewer or who(), lambda asked: known_results(warehouse, asked), read_reviews(warehouse)
    )
    added = append_reviews(warehouse, sheet.reviews)
    there = sheet.known + len(sheet.reviews) - added
    print(f"{added} verdicts imported, {there} were there already, {sheet.empty} lines without a verdict")
    return 0


def known_results(warehouse: Warehouse, asked: Collection[Result]) -> set[Result]:
    """Which of some results there are."""
    if not asked:
        return set()
    columns = ("batch_id", "run_id", "image_id")
    wanted = warehouse.spark.createDataFrame(sorted(asked), ", ".join(f"{name} string" for name in columns))
    rows = warehouse.frame("results").join(wanted, list(columns), "left_semi").select(*columns).distinct().collect()
    return {(row["batch_id"], row["run_id"], row["image_id"]) for row in rows}


def _apply(options: argparse.Namespace) -> int:
    from cleanplate.batch.apply import apply_verdicts

    if not options.batch:
        raise ConfigError("--apply publishes: name the --batch")
    done = apply_verdicts(open_warehouse(options), options.batch, who())
    print(f"batch {options.batch}: {done.in_words()}")
    for image_id in done.conflicts:
        print(f"reviewers disagree about {image_id}")
    return 0


def _export_masks(options: argparse.Namespace) -> int:
    from cleanplate.batch.reviews import read_reviews
    from cleanplate.batch.verdicts import last_masks
    from cleanplate.rollout.sheets import write_masks

    warehouse = open_warehouse(options)
    masks = last_masks(read_reviews(warehouse, options.batch, with_masks=True))
    rows = warehouse.frame("manifest").select("batch_id", "image_id", "uri").collect() if masks else []
    uris = {(row["batch_id"], row["image_id"]): row["uri"] for row in rows}
    count = write_masks(masks, uris, _kinds_of(warehouse, masks), Path(options.export_masks))
    print(f"{count} corrected masks in {options.export_masks}")
    return 0


def _kinds_of(warehouse: Warehouse, masks: Sequence[Review]) -> dict[tuple[str, str], str]:
    """(run_id, image_id) -> kind of the region that covers most of what a mask corrects."""
    keys = sorted({(review.run_id, review.image_id) for review in masks})
    if not keys:
        return {}
    wanted = warehouse.spark.createDataFrame(keys, "run_id string, image_id string")
    regions = warehouse.frame("masks").join(wanted, ["run_id", "image_id"], "left_semi")
    area = "coverage * (`right` - `left`) * (bottom - top) AS area"
    rows = regions.selectExpr("run_id", "image_id", "kind", area).orderBy("area", "kind").collect()
    return {(row["run_id"], row["image_id"]): row["kind"] for row in rows}
