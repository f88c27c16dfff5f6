"""Takes single images back to their originals, by their diffs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from cleanplate.cli.common import add_note, add_warehouse, open_warehouse, who
from cleanplate.errors import ConfigError, ContractError, StorageError

EXAMPLE = "cleanplate undo --image caption-1f0e4a7b22c3 --image stamp-77d0c2a91b34 --warehouse wh"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("--image", action="append", default=[], metavar="ID", help="image_id; repeats")
    parser.add_argument(
        "--images", metavar="FILE", help="text file with one image_id a line ('-': standard input; # starts a remark)"
    )
    add_warehouse(parser)
    add_note(parser)


def run(options: argparse.Namespace) -> int:
    """Runs the verb."""
    wanted = [*options.image, *(read_ids(options.images) if options.images else ())]
    if not wanted:
        raise ConfigError("name the images to undo: --image ID (repeats), or --images FILE")
    from cleanplate.batch.undo import undo

    for event in undo(open_warehouse(options), wanted, who=who(), note=options.note):
        images = event.counts["restored"]
        shown = "the originals are" if images > 1 else "the original is"
        print(f"batch {event.batch_id}: layer {event.run_id} {event.state}; {shown} shown again ({images:,} images)")
    return 0


def read_ids(path: str) -> list[str]:
    """The image_ids of a text file, each once; empty lines and remarks are left out.

    Raises:
        StorageError: it cannot be read.
        ContractError: it names no image.
    """
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"cannot read the list of images {path}: {error}") from error
    lines = (line.strip() for line in text.splitlines())
    ids = list(dict.fromkeys(line for line in lines if line and not line.startswith("#")))
    if not ids:
        raise ContractError(f"{path} names no image: write one image_id a line")
    return ids
