"""Writes the current pictures of a batch as files."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from cleanplate.cli.common import add_batch, add_config, add_warehouse, config_of, open_warehouse, stop_for_config
from cleanplate.errors import StorageError

EXAMPLE = "cleanplate export --batch spring --warehouse wh --out exported"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    add_batch(parser)
    add_warehouse(parser)
    parser.add_argument("--out", required=True, metavar="DIR", help="where the files go")
    add_config(parser)


def run(options: argparse.Namespace) -> int:
    """Runs the verb."""
    config = config_of(options)
    if stop_for_config(options, config):
        return 0
    from cleanplate.batch.export import export

    report = export(open_warehouse(options), options.batch, Path(options.out), config.source)
    for problem in report.missing:
        print(problem, file=sys.stderr)
    print(f"{report.written} files in {options.out}; outcomes.jsonl lists them")
    if report.missing:
        raise StorageError(f"{len(report.missing)} files could not be read; they are named above")
    return 0
