"""Shows the batches of a warehouse: what is published, what is open."""

from __future__ import annotations

import argparse

from cleanplate.cli.common import add_warehouse, counts_text, open_warehouse, print_json, print_table

EXAMPLE = "cleanplate status --warehouse wh"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    add_warehouse(parser)
    parser.add_argument("--batch", metavar="B", help="only this batch")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Runs the verb."""
    from cleanplate.batch.history import status

    rows = status(open_warehouse(options), options.batch)
    if options.json:
        print_json(rows)
        return 0
    table = [
        (
            row["batch_id"],
            row["images"],
            row["run_id"],
            row["state"],
            ", ".join(row["active_runs"]) or "originals",
            counts_text(row["counts"]),
        )
        for row in rows
    ]
    print_table(("batch", "images", "last run", "state", "shown", "counts"), table)
    return 0
