"""Lists the registered weights with their licences, and verifies them."""

from __future__ import annotations

import argparse

from cleanplate.cli.common import add_config, config_of, print_json, print_table, stop_for_config
from cleanplate.errors import ModelError
from cleanplate.models.registry import Registry

EXAMPLE = "cleanplate models --set models.require_commercial=true"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    add_config(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Runs the verb."""
    config = config_of(options)
    if stop_for_config(options, config):
        return 0
    registry = Registry.load(config.models)
    rows, failures = [], []
    for entry in registry.entries:
        state = "verified"
        try:
            registry.path(entry.id)
        except ModelError as error:
            state = "unusable"
            failures.append(str(error))
        rows.append((entry.id, entry.uri, entry.sha256[:16], entry.licence, "yes" if entry.commercial else "no", state))
    columns = ("id", "uri", "sha256", "licence", "commercial", "state")
    if options.json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        print_table(columns, rows)
    if failures:
        raise ModelError("; ".join(failures))
    return 0
