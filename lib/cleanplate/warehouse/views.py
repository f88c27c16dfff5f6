"""The views of `current.sql`: which rows count now, which are still a preview."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from importlib import resources

from cleanplate.errors import ContractError

TABLES_READ = ("ledger", "results", "masks", "diffs", "metrics")


@functools.cache
def _sections() -> dict[str, str]:
    text = resources.files("cleanplate.warehouse").joinpath("current.sql").read_text(encoding="utf-8")
    parts = re.split(r"^-- view: (\w+)$", text, flags=re.MULTILINE)
    return {name: body.strip().rstrip(";") for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def names() -> list[str]:
    """Names of all views, each after those that it is made of."""
    return list(_sections())


def select(view: str, relations: Mapping[str, str]) -> str:
    """The SELECT statement of a view.

    Args:
        view: its name.
        relations: what stands in a FROM clause for each of TABLES_READ: an identifier, a path, a subquery.

    Returns:
        One statement in plain SQL; other views that it needs are written into it, so it depends on no view.

    Raises:
        ContractError: no such view.
    """
    if view not in _sections():
        raise ContractError(f"there is no view {view!r}; there are: {', '.join(names())}")
    nested = re.findall(r"\{(\w+)\}", _sections()[view])
    places = {name: f"({select(name, relations)})" if name in _sections() else relations[name] for name in nested}
    return re.sub(r"\{(\w+)\}", lambda match: places[match.group(1)], _sections()[view])
