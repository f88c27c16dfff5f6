"""Adds pictures to the manifest of a batch."""

from __future__ import annotations

import argparse

from cleanplate.cli.common import add_batch, add_config, add_warehouse, config_of, open_warehouse, stop_for_config
from cleanplate.errors import ConfigError

EXAMPLE = "cleanplate ingest --source photos/ --batch spring --warehouse wh --rights owned"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--source", metavar="DIR|s3://…", help="folder or bucket prefix with pictures")
    where.add_argument("--manifest", metavar="TABLE|PATH", help="a Delta table that lists pictures")
    parser.add_argument("--columns", default="", metavar="uri=path,…", help="our column=yours, with --manifest")
    parser.add_argument("--masks", metavar="DIR", help="mask files, matched by file stem")
    parser.add_argument("--regions", metavar="FILE", help="boxes and other columns by path: JSON, JSONL or CSV")
    parser.add_argument("--rights", choices=["owned", "licensed", "public_domain", "unknown"])
    parser.add_argument(
        "--probe-text", action="store_true", help="look for text coarsely, as a stratum of `clean --staged`"
    )
    add_batch(parser)
    add_warehouse(parser)
    add_config(parser)


def run(options: argparse.Namespace) -> int:
    """Runs the verb."""
    config = config_of(options)
    if stop_for_config(options, config):
        return 0
    from cleanplate.batch.ingest import ingest_source, ingest_table
    from cleanplate.batch.probe import Probing

    probing = Probing(config.source, config.model_dump(mode="json") if options.probe_text else None)
    warehouse = open_warehouse(options, create=True)
    if options.manifest:
        report = ingest_table(
            warehouse,
            options.batch,
            options.manifest,
            parse_columns(options.columns),
            rights=options.rights,
            probing=probing,
        )
    else:
        report = ingest_source(
            warehouse,
            options.batch,
            options.source,
            masks=options.masks,
            notes=options.regions,
            rights=options.rights,
            probing=probing,
        )
    print(f"batch {options.batch}: {report.added} images added, {report.known} known, {report.total} in all")
    return 0


def parse_columns(text: str) -> dict[str, str]:
    """Turns "uri=path,rights=licence" into a mapping.

    Raises:
        ConfigError: a part has no "=".
    """
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if any(not sign or not ours.strip() or not theirs.strip() for ours, sign, theirs in pairs):
        raise ConfigError(f"--columns {text!r}: write it as uri=path,rights=licence")
    return {ours.strip(): theirs.strip() for ours, _, theirs in pairs}
