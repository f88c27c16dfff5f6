"""What a run was allowed to read."""

from __future__ import annotations

import yaml

from cleanplate.config import SourceConfig, parse_config
from cleanplate.warehouse.events import Event


def limits_of(run: Event | None) -> SourceConfig:
    """The source section of a run's configuration, the defaults where the ledger holds none.

    Raises:
        ConfigError: the text in the ledger is no configuration of this version.
    """
    values = yaml.safe_load(run.config_text) if run and run.config_text else None
    return parse_config({"source": values["source"]}).source if values and "source" in values else SourceConfig()
