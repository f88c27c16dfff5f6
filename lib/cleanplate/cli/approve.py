"""Moves a run that is held on: to its next step, or to its publication."""

from __future__ import annotations

import argparse

from cleanplate.cli.common import add_batch, add_note, add_warehouse, open_warehouse, who

EXAMPLE = "cleanplate approve --batch spring --warehouse wh --note 'sample looked at'"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    add_batch(parser)
    add_warehouse(parser)
    parser.add_argument("--despite-gates", action="store_true", help="also a run that a gate blocked")
    add_note(parser)


def run(options: argparse.Namespace) -> int:
    """Runs the verb."""
    from cleanplate.batch.apply import apply_verdicts
    from cleanplate.batch.publish import approve, steps_left

    warehouse = open_warehouse(options)
    event = approve(warehouse, options.batch, who=who(), note=options.note, despite_gates=options.despite_gates)
    print(f"run {event.run_id} {event.state}")
    if event.state == "published":
        print(f"reviews: {apply_verdicts(warehouse, options.batch, who()).in_words()}")
    elif steps_left(event):
        print(f"`cleanplate clean --batch {options.batch}` with the same settings goes on with its next step")
    return 0
