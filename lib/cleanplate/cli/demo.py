"""Cleans the example photographs on local Spark and shows what happened."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cleanplate.cli.clean import progress_bar
from cleanplate.cli.common import add_config, config_of, counts_text, print_table, stop_for_config, who
from cleanplate.cli.history import print_events
from cleanplate.errors import StorageError

if TYPE_CHECKING:
    from cleanplate.rollout.page import PageEntry

EXAMPLE = "cleanplate demo"
BATCH = "demo"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("--photos", metavar="DIR", help="folder of pictures (default: examples/photos of the checkout)")
    parser.add_argument("--warehouse", default="demo-warehouse", metavar="W", help="default: %(default)s")
    add_config(parser)


def run(options: argparse.Namespace) -> int:
    """Runs the verb."""
    config = config_of(options)
    if stop_for_config(options, config):
        return 0
    started = time.perf_counter()
    photos, notes = find_photos(options.photos)
    from cleanplate.batch.history import history
    from cleanplate.batch.ingest import ingest_source
    from cleanplate.batch.probe import Probing
    from cleanplate.batch.run import RunOptions, clean_batch
    from cleanplate.rollout.gather import gather
    from cleanplate.rollout.page import PageSummary, render_page
    from cleanplate.spark.session import get_session
    from cleanplate.warehouse.tables import Warehouse

    warehouse = Warehouse(get_session(), options.warehouse).create()
    taken = ingest_source(warehouse, BATCH, str(photos), notes=notes, rights="owned", probing=Probing(config.source))
    print(f"ingested {taken.total} pictures of {photos} ({taken.added} new) as batch {BATCH!r}")
    with progress_bar() as bar:
        report = clean_batch(warehouse, BATCH, config, RunOptions(who=who(), note="demo"), bar)
    print("nothing to do: every picture is published already" if report.nothing_to_do else "")
    entries = gather(warehouse, BATCH, config.source)
    counts = show_results(entries)
    events = history(warehouse, BATCH)
    print_events(events)
    facts = {"warehouse": str(warehouse.location), "configuration": config.digest()}
    page = render_page(
        entries, PageSummary("Cleanplate demo", counts, facts, events), Path(options.warehouse) / "demo.html"
    )
    print(f"\nbefore, after, mask and diff of every picture: {page.resolve()}")
    _show_next(options.warehouse)
    print(f"\n{time.perf_counter() - started:.0f} seconds in all")
    return 0


def find_photos(folder: str | None) -> tuple[Path, str | None]:
    """The folder of pictures and the notes beside it.

    Raises:
        StorageError: the package was installed without a checkout, and no folder was named.
    """
    photos = Path(folder) if folder else Path(__file__).resolve().parents[3] / "examples" / "photos"
    if not photos.is_dir():
        raise StorageError(f"{photos} is no folder; run the demo from a checkout, or name pictures with --photos DIR")
    notes = photos.parent / "manifest.csv"
    return photos, str(notes) if notes.exists() and folder is None else None


def show_results(entries: Sequence[PageEntry]) -> dict[str, int]:
    """Prints a row per image, then the counts; returns the counts."""
    columns = ("image", "status", "regions", "engine", "confidence", "seconds", "why")
    print_table(columns, [_result_line(entry) for entry in sorted(entries, key=lambda entry: entry.image_id)])
    counts = dict(Counter(entry.status for entry in entries))
    print(f"\n{counts_text(counts)}\n")
    return counts


def _result_line(entry: PageEntry) -> Sequence[Any]:
    engines = "+".join(sorted({region["engine"] for region in entry.regions if region["decision"] == "filled"}))
    seconds = sum(entry.timings.values())
    why = (entry.error or "")[:72]
    return entry.image_id, entry.status, len(entry.regions), engines, entry.confidence, seconds, why


def _show_next(warehouse: str) -> None:
    sql = "SELECT kind, engine, count(*) AS regions FROM masks_current GROUP BY kind, engine"
    print("\ntry next (in .venv/bin):")
    print(f'  cleanplate query --warehouse {warehouse} "{sql}"')
    print(f"  cleanplate export --warehouse {warehouse} --batch {BATCH} --out exported")
    print(f"  cleanplate rollback --warehouse {warehouse} --batch {BATCH}")
