"""Arguments and helpers that several verbs share."""

from __future__ import annotations

import argparse
import getpass
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cleanplate.config import Config, load_config
from cleanplate.errors import ContractError

if TYPE_CHECKING:
    from cleanplate.warehouse.tables import Warehouse


def add_warehouse(parser: argparse.ArgumentParser) -> None:
    """--warehouse."""
    parser.add_argument(
        "--warehouse",
        required=True,
        metavar="W",
        help="folder or URI of the tables (DIR, s3a://…, abfss://…, /Volumes/…), or catalog.schema",
    )


def add_batch(parser: argparse.ArgumentParser) -> None:
    """--batch."""
    parser.add_argument("--batch", required=True, metavar="B", help="name of the batch")


def add_config(parser: argparse.ArgumentParser) -> None:
    """--profile, --config, --set and --print-config."""
    parser.add_argument("--profile", help="a profile of conf/profiles: preview, final, forensic")
    parser.add_argument("--config", action="append", default=[], metavar="FILE", help="YAML file of settings; repeats")
    parser.add_argument("--set", action="append", default=[], metavar="a.b=c", dest="overrides", help="one setting")
    parser.add_argument("--print-config", action="store_true", help="print the merged configuration and stop")


def add_note(parser: argparse.ArgumentParser) -> None:
    """--note."""
    parser.add_argument("--note", default="", help="a word for the ledger")


def config_of(options: argparse.Namespace) -> Config:
    """The merged configuration of the command line.

    Raises:
        ConfigError: an unknown key, a bad value, an unreadable file.
    """
    return load_config(options.profile, options.config, options.overrides)


def open_warehouse(options: argparse.Namespace, create: bool = False) -> Warehouse:
    """Starts or joins a Spark session and opens the warehouse.

    Raises:
        ContractError: there is no warehouse at that place and `create` is not asked for.
        StorageError: no Java, or the place is out of reach.
    """
    from cleanplate.spark.session import get_session
    from cleanplate.warehouse.tables import Warehouse

    warehouse = Warehouse(get_session(), options.warehouse)
    if create:
        warehouse.create()
    elif not warehouse.exists():
        raise ContractError(f"there is no warehouse at {options.warehouse}; `cleanplate ingest` creates one")
    return warehouse


def who() -> str:
    """Name of the user who acts, for the ledger."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a user entry
        return "unknown"


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Prints left-aligned columns."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max([len(name), *(len(row[index]) for row in cells)]) for index, name in enumerate(columns)]
    print("  ".join(name.ljust(width) for name, width in zip(columns, widths, strict=True)).rstrip())
    print("  ".join("-" * width for width in widths))
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def print_json(value: Any) -> None:
    """Prints JSON, times in ISO 8601."""
    print(json.dumps(value, indent=2, default=str, ensure_ascii=False))


def counts_text(counts: Mapping[str, int]) -> str:
    """Counts in words, such as "10 cleaned, 1 unchanged", in a fixed order."""
    order = ("cleaned", "unchanged", "restored", "review", "refused", "failed")
    names = [name for name in order if counts.get(name)] + sorted(set(counts) - set(order))
    return ", ".join(f"{counts[name]} {name}" for name in names if counts[name]) or "nothing"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.2f}"
    return str(value)


def stop_for_config(options: argparse.Namespace, config: Config) -> bool:
    """Prints the merged configuration where that is all that was asked for."""
    if options.print_config:
        print(config.to_yaml(), end="")
    return bool(options.print_config)
