"""Makes a batch show again what it showed after an earlier event of its ledger."""

from __future__ import annotations

import argparse

from cleanplate.cli.common import add_batch, add_note, add_warehouse, open_warehouse, who
from cleanplate.cli.rollback import print_consequences, print_warnings

EXAMPLE = "cleanplate restore --batch spring --to 4 --warehouse wh --dry-run"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    add_batch(parser)
    add_warehouse(parser)
    parser.add_argument("--to", required=True, type=int, metavar="SEQ", help="number of the event, see `history`")
    parser.add_argument("--dry-run", action="store_true", help="only say what would vanish and what would come back")
    add_note(parser)


def run(options: argparse.Namespace) -> int:
    """Runs the verb."""
    from cleanplate.batch.restore import foresee_restore, restore_to

    warehouse = open_warehouse(options)
    if options.dry_run:
        print_consequences(foresee_restore(warehouse, options.batch, options.to))
    else:
        event = restore_to(warehouse, options.batch, options.to, who=who(), note=options.note)
        shown = ", ".join(run.run_id for run in event.active_runs) or "the originals"
        print(f"batch {options.batch} restored to event {options.to}: it now shows {shown}")
    print_warnings(warehouse, options.batch)
    return 0
