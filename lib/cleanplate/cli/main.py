"""The command line: finds the verb, runs it, and turns errors into exit codes."""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
import time
from collections.abc import Sequence

from cleanplate import __version__
from cleanplate.errors import CleanplateError

VERBS = (
    "demo",
    "ingest",
    "clean",
    "preview",
    "approve",
    "abort",
    "rollback",
    "restore",
    "undo",
    "review",
    "status",
    "history",
    "explain",
    "audit",
    "query",
    "export",
    "vacuum",
    "models",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs `cleanplate VERB …`.

    Returns:
        The exit code: 0 done, 1 crash, 2 arguments or configuration, 3 a gate held the run, 4 input contract,
        5 storage or weights out of reach.
    """
    options = build_parser().parse_args(arguments)
    _start_logging(options.verbose)
    try:
        return int(options.run(options))
    except CleanplateError as error:
        print(f"cleanplate {options.verb}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where it stopped", file=sys.stderr)
        return 130


def build_parser() -> argparse.ArgumentParser:
    """The parser with every verb's arguments."""
    parser = argparse.ArgumentParser(prog="cleanplate", description="Cleans photographs by the batch.")
    parser.add_argument("--version", action="version", version=f"cleanplate {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb in VERBS:
        module = importlib.import_module(f"cleanplate.cli.{verb}")
        first_line = (module.__doc__ or "").splitlines()[0]
        sub = verbs.add_parser(
            verb,
            help=first_line,
            description=first_line,
            epilog=f"example:\n  {module.EXAMPLE}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.add_argument("-v", "--verbose", action="store_true", help="log what happens")
        module.add_arguments(sub)
        sub.set_defaults(run=module.run)
    return parser


def _start_logging(verbose: bool) -> None:
    logging.Formatter.converter = time.gmtime
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)sZ %(levelname)s %(name)s %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S",
        stream=sys.stderr,
    )
    for noisy in ("py4j", "RapidOCR", "botocore", "PIL"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


if __name__ == "__main__":
    sys.exit(main())
