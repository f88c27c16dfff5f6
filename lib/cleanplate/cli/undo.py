"""Takes single images back to their originals, by their diffs."""

from __future__ import annotations

import argparse

from cleanplate.cli.common import add_note, add_warehouse, open_warehouse, who

EXAMPLE = "cleanplate undo --image caption-1f0e4a7b22c3 --warehouse wh"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("--image", action="append", required=True, metavar="ID", help="image_id; repeats")
    add_warehouse(parser)
    add_note(parser)


def run(options: argparse.Namespace) -> int:
    """Runs the verb."""
    from cleanplate.batch.undo import undo

    for event in undo(open_warehouse(options), options.image, who=who(), note=options.note):
        print(f"batch {event.batch_id}: layer {event.run_id} {event.state}; the originals are shown again")
    return 0
