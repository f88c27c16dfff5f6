"""Takes the published run of a batch back in one commit, or rehearses it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from cleanplate.cli.common import add_batch, add_note, add_warehouse, counts_text, open_warehouse, print_table, who
from cleanplate.errors import ConfigError, ContractError

if TYPE_CHECKING:
    from cleanplate.batch.consequences import Consequences, RunChange
    from cleanplate.batch.rehearse import Rehearsal
    from cleanplate.warehouse.tables import Warehouse

EXAMPLE = "cleanplate rollback --batch spring --warehouse wh --rehearse"
NAMED_FAILURES = 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    add_batch(parser)
    add_warehouse(parser)
    parser.add_argument("--to", metavar="RUN|SEQ", help="an earlier run or event (default: the run before)")
    parser.add_argument("--originals", action="store_true", help="take every run of the batch back")
    parser.add_argument("--purge", action="store_true", help="also delete all rows and files of what is taken back")
    parser.add_argument("--dry-run", action="store_true", help="only say what would vanish and what would come back")
    parser.add_argument(
        "--rehearse", action="store_true", help="read every original and invert every diff; only the event is written"
    )
    add_note(parser)


def run(options: argparse.Namespace) -> int:
    """Runs the verb."""
    if options.rehearse and (options.to or options.originals or options.purge or options.dry_run):
        raise ConfigError("--rehearse tries the way back of all that is shown: leave out --to, --originals, --purge")
    warehouse = open_warehouse(options)
    if options.rehearse:
        return _rehearse(warehouse, options)
    if options.dry_run:
        from cleanplate.batch.rollback import foresee_roll_back

        print_consequences(foresee_roll_back(warehouse, options.batch, options.to, options.originals))
    else:
        _roll_back(warehouse, options)
    print_warnings(warehouse, options.batch)
    return 0


def _roll_back(warehouse: Warehouse, options: argparse.Namespace) -> None:
    from cleanplate.batch.purge import purge
    from cleanplate.batch.rollback import roll_back
    from cleanplate.warehouse.ledger import Ledger

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


def _rehearse(warehouse: Warehouse, options: argparse.Namespace) -> int:
    from cleanplate.batch.rehearse import rehearse

    found = rehearse(warehouse, options.batch, who=who(), note=options.note)
    print(f"batch {found.batch_id}, runs {', '.join(found.runs)}: {found.note()}")
    print_warnings(warehouse, options.batch)
    if found.failed:
        _print_failures(found)
        raise ContractError(
            f"the way back of batch {found.batch_id!r} is closed for {found.failed:,} rows: bring the files that are "
            "named above back, then rehearse again"
        )
    return 0


def _print_failures(found: Rehearsal) -> None:
    rows = [(item.image_id, item.run_id, item.step, item.error, item.where) for item in found.failures[:NAMED_FAILURES]]
    print_table(("image", "run", "fails at", "because", "file"), rows)
    if len(found.failures) > NAMED_FAILURES:
        print(f"and {len(found.failures) - NAMED_FAILURES:,} more")


def print_warnings(warehouse: Warehouse, batch_id: str) -> None:
    """Prints what about the retention endangers the way back of a batch."""
    from cleanplate.batch.retention import retention_warnings
    from cleanplate.warehouse.ledger import Ledger

    for warning in retention_warnings(warehouse, Ledger(warehouse).events(batch_id)):
        print(f"warning: {warning}")


def print_consequences(found: Consequences) -> None:
    """Prints what would vanish and what would come back."""
    shown = ", ".join(run.run_id for run in found.target) or "the originals"
    print(f"batch {found.batch_id} would show {shown}; nothing was written")
    for what, runs in (("vanish", found.vanishing), ("come back", found.returning)):
        for change in runs:
            print(f"would {what}: {_run_text(change)}")
    for run_id in found.purged:
        print(f"cannot come back: run {run_id}, which was purged")
    if found.open_run:
        print(f"run {found.open_run} is open and goes on, whatever is shown")
    changes = ", ".join(f"{count:,} {change}" for change, count in sorted(found.images.items()))
    print(f"images: {changes or 'none change'}")
    if found.named:
        print_table(("image", "now shown by", "then"), [(item.image_id, item.now, item.then) for item in found.named])
    more = sum(found.images.values()) - len(found.named)
    if more > 0:
        print(f"and {more:,} more images")


def _run_text(change: RunChange) -> str:
    return f"{change.kind} run {change.run_id} ({counts_text(change.counts)})"
