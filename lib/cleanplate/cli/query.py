"""Runs SQL over the current and preview views."""

from __future__ import annotations

import argparse

from cleanplate.cli.common import add_warehouse, open_warehouse, print_json, print_table
from cleanplate.errors import ContractError

EXAMPLE = "cleanplate query --warehouse wh 'SELECT status, count(*) AS images FROM results_current GROUP BY status'"
MOST_ROWS = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    add_warehouse(parser)
    parser.add_argument("sql", metavar="SQL", help="a SELECT; views: results_current, masks_current, …")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Runs the verb."""
    from cleanplate.spark.session import SPARK_ERRORS

    warehouse = open_warehouse(options)
    if not options.sql.lstrip().lower().startswith(("select", "with")):
        raise ContractError("query only reads: give a SELECT; tables change through the other verbs")
    warehouse.register_views()
    try:
        frame = warehouse.spark.sql(options.sql)
        rows = [row.asDict(recursive=True) for row in frame.limit(MOST_ROWS).collect()]
    except SPARK_ERRORS as error:
        raise ContractError(f"the query failed: {str(error).splitlines()[0]}") from error
    if options.json:
        print_json(rows)
    else:
        print_table(frame.columns, [list(row.values()) for row in rows])
    return 0
