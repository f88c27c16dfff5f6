"""Turns a name of a registry (detectors, engines) into the class that it stands for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from cleanplate.errors import ConfigError


def load_class(name: str, table: Mapping[str, str], what: str) -> Any:
    """Imports the class that a registry names.

    Args:
        name: key of the table, or "module:Class" of the user's own, importable wherever the stages run.
        table: name -> "module:Class".
        what: the kind of thing, for the error message: "detector", "engine".

    Raises:
        ConfigError: the table has no such name, or the user's own class cannot be imported.
    """
    if name not in table and ":" not in name:
        known = ", ".join(sorted(table))
        raise ConfigError(f"unknown {what} {name!r}; there are: {known} (or module:Class of your own)")
    module, _, attribute = table.get(name, name).partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"cannot load {what} {name!r}: {error}") from error
