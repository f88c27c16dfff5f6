"""The few named errors; each message says what was wrong, where, and what to do."""

from __future__ import annotations


class CleanplateError(Exception):
    """Base of every error a user may meet; `exit_code` is what the command line returns for it."""

    exit_code = 1


class ConfigError(CleanplateError):
    """A configuration value or a command line argument is unusable."""

    exit_code = 2


class HeldError(CleanplateError):
    """A gate failed or an approval is missing: the run is held, nothing was published."""

    exit_code = 3


class ContractError(CleanplateError):
    """The input breaks the contract of the tables: duplicates, unknown batch, a run that cannot go on."""

    exit_code = 4


class StorageError(CleanplateError):
    """A file, an object or a table is out of reach."""

    exit_code = 5


class ModelError(CleanplateError):
    """Weights are missing, tampered with, or not permitted."""

    exit_code = 5


class DecodeError(CleanplateError):
    """The bytes are no picture that can be read."""

    exit_code = 4


class RefusedError(CleanplateError):
    """The picture can be read but not edited faithfully (or must not be edited): it keeps its bytes."""

    exit_code = 4
