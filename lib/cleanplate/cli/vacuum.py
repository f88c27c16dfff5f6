"""Removes files that no run owns and that the rollback window no longer needs."""

from __future__ import annotations

import argparse

from cleanplate.cli.common import add_warehouse, open_warehouse

EXAMPLE = "cleanplate vacuum --warehouse wh --dry-run"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    add_warehouse(parser)
    parser.add_argument("--retention-days", type=float, metavar="D", help="not less than the rollback window (30)")
    parser.add_argument("--dry-run", action="store_true", help="only say what would go")


def run(options: argparse.Namespace) -> int:
    """Runs the verb."""
    from cleanplate.batch.vacuum import vacuum

    report = vacuum(open_warehouse(options), retention_days=options.retention_days, dry_run=options.dry_run)
    verb = "would remove" if options.dry_run else "removed"
    print(f"{verb} {len(report.objects)} objects; tables vacuumed: {', '.join(report.tables) or 'none'}")
    return 0
