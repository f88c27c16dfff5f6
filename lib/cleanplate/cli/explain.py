"""Explains one image: what was found, masked, tried, measured, decided, and with what."""

from __future__ import annotations

import argparse
from pathlib import Path

from cleanplate.cli.common import add_warehouse, open_warehouse, print_json
from cleanplate.config import SourceConfig

EXAMPLE = "cleanplate explain --image caption-1f0e4a7b22c3 --warehouse wh --out caption.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("--image", required=True, metavar="ID", help="image_id")
    add_warehouse(parser)
    parser.add_argument("--batch", metavar="B", help="only this batch, where several have the image")
    parser.add_argument("--out", metavar="FILE.html", help="also write it as a page with pictures")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Runs the verb."""
    from cleanplate.rollout.chain import chain_text
    from cleanplate.rollout.chain_gather import gather_chain
    from cleanplate.rollout.chain_page import render_chain

    limits = SourceConfig() if options.out else None
    chain = gather_chain(open_warehouse(options), options.image, options.batch, limits)
    if options.json:
        print_json(chain.as_dict())
    else:
        print(chain_text(chain))
    if options.out:
        page = render_chain(chain, Path(options.out))
        if not options.json:
            print(f"\nas a page: {page.resolve()}")
    return 0
