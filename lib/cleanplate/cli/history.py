"""Shows the ledger: every event of a batch, or of all."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cleanplate.cli.common import add_warehouse, counts_text, open_warehouse, print_json, print_table

EXAMPLE = "cleanplate history --batch spring --warehouse wh --audit-log spring.jsonl"
COLUMNS = ("batch", "seq", "action", "run", "state", "shown", "counts", "who", "at", "note")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    add_warehouse(parser)
    parser.add_argument("--batch", metavar="B", help="only this batch")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--audit-log", metavar="FILE", help="write all that the events hold to FILE, as JSON lines")


def run(options: argparse.Namespace) -> int:
    """Runs the verb."""
    from cleanplate.batch.history import history, write_audit_log

    warehouse = open_warehouse(options)
    if options.audit_log:
        events = write_audit_log(warehouse, options.batch, Path(options.audit_log))
        print(f"{events:,} events in {options.audit_log}")
        return 0
    rows = history(warehouse, options.batch)
    if options.json:
        print_json(rows)
    else:
        print_events(rows)
    return 0


def print_events(rows: Sequence[Mapping[str, Any]]) -> None:
    """Prints events as a table."""
    print_table(
        COLUMNS,
        [
            (
                row["batch_id"],
                row["seq"],
                row["action"],
                row["run_id"],
                row["state"],
                ", ".join(run["run_id"] for run in row["active_runs"]) or "originals",
                counts_text(row["counts"]),
                row["who"],
                f"{row['at']:%Y-%m-%d %H:%M:%S}" if row["at"] else "",
                row["note"],
            )
            for row in rows
        ],
    )
