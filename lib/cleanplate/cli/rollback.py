"""Takes the published run of a batch back, in one commit."""

from __future__ import annotations

import argparse

from cleanplate.cli.common import add_batch, add_note, add_warehouse, open_warehouse, who

EXAMPLE = "cleanplate rollback --batch spring --warehouse wh"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    add_batch(parser)
    add_warehouse(parser)
    parser.add_argument("--to", metavar="RUN|SEQ", help="an earlier run or event (default: the run before)")
    parser.add_argument("--originals", action="store_true", help="take every run of the batch back")
    parser.add_argument("--purge", action="store_true", help="also delete all rows and files of what is taken back")
    add_note(parser)


def run(options: argparse.Namespace) -> int:
    """Runs the verb."""
    from cleanplate.batch.purge import purge
    from cleanplate.batch.rollback import roll_back
    from cleanplate.warehouse.ledger import Ledger

    warehouse = open_warehouse(options)
    before = Ledger(warehouse).last(options.batch)
    event = roll_back(
        warehouse, options.batch, to=options.to, originals=options.originals, who=who(), note=options.note
    )
    shown = ", ".join(run.run_id for run in event.active_runs) or "the originals"
    print(f"batch {options.batch} rolled back: it now shows {shown}")
    gone = [run.run_id for run in before.active_runs if run not in event.active_runs] if before else []
    for run_id in reversed(gone) if options.purge else ():
        event = purge(warehouse, options.batch, run_id=run_id, who=who())
        print(f"run {event.run_id} purged: {event.note}")
    return 0
