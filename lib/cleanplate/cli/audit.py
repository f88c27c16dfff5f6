"""Writes the audit report of a batch: what was touched, how well, at what cost."""

from __future__ import annotations

import argparse
from pathlib import Path

from cleanplate.cli.common import add_batch, add_warehouse, counts_text, open_warehouse

EXAMPLE = "cleanplate audit --batch spring --warehouse wh --out spring.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    add_batch(parser)
    add_warehouse(parser)
    parser.add_argument("--out", required=True, metavar="FILE.html", help="the report; one file that needs no other")


def run(options: argparse.Namespace) -> int:
    """Runs the verb."""
    from cleanplate.rollout.audit_gather import gather_audit
    from cleanplate.rollout.audit_page import render_audit

    warehouse = open_warehouse(options)
    audit = gather_audit(warehouse, options.batch)
    page = render_audit(audit, str(warehouse.location), Path(options.out))
    print(f"batch {audit.batch_id}, {audit.standing}: {counts_text(audit.statuses)} of {audit.images:,} images")
    print(f"the report: {page.resolve()}")
    return 0
