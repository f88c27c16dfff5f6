"""Shows the batches of a warehouse: what is published, what is open."""

from __future__ import annotations

import argparse

from cleanplate.cli.common import add_warehouse, counts_text, open_warehouse, print_json, print_table
from cleanplate.cli.rollback import print_warnings

EXAMPLE = "cleanplate status --warehouse wh"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    add_warehouse(parser)
    parser.add_argument("--batch", metavar="B", help="only this batch")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Runs the verb."""
    from cleanplate.batch.history import batch_statuses

    warehouse = open_warehouse(options)
    batches = batch_statuses(warehouse, options.batch)
    if options.json:
        print_json([batch.as_dict() for batch in batches])
        return 0
    rows = [
        (batch.batch_id, batch.images, ", ".join(batch.shows) or "originals", batch.open_run or "") for batch in batches
    ]
    print_table(("batch", "images", "shown", "open run"), rows)
    if options.batch:
        print()
        runs = [
            (run.run_id, run.kind, run.state, "shown" if run.active else "", counts_text(run.counts), run.note)
            for run in batches[0].runs
        ]
        print_table(("run", "kind", "state", "", "counts", "note"), runs)
        print_warnings(warehouse, options.batch)
    return 0
