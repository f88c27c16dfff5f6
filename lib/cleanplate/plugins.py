"""Turns a name of a registry (detectors, engines) into the class that it stands for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from cleanplate.errors import ConfigError


def load_class(name: str, table: Mapping[str, str], what: str) -> Any:
    """Imports the class that a registry names.

    Args:
        name: key of the table.
        table: name -> "module:Class".
        what: the kind of thing, for the error message: "detector", "engine".

    Raises:
        ConfigError: the table has no such name.
    """
    if name not in table:
        raise ConfigError(f"unknown {what} {name!r}; there are: {', '.join(sorted(table))}")
    module, _, attribute = table[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
