"""Gives up an open run; nothing of it was ever shown."""

from __future__ import annotations

import argparse

from cleanplate.cli.common import add_batch, add_note, add_warehouse, open_warehouse, who

EXAMPLE = "cleanplate abort --batch spring --warehouse wh"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    add_batch(parser)
    add_warehouse(parser)
    add_note(parser)


def run(options: argparse.Namespace) -> int:
    """Runs the verb."""
    from cleanplate.batch.publish import abort

    event = abort(open_warehouse(options), options.batch, who=who(), note=options.note)
    print(f"run {event.run_id} {event.state}")
    return 0
