"""The registry of weights: where each file is, its digest, its licence."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cleanplate.config import ModelsConfig, SourceConfig, conf_dir
from cleanplate.errors import ModelError, StorageError

_REMOTE = ("s3://", "s3a://")
_LARGEST_BYTES = 20_000_000_000
_digests: dict[tuple[str, int, int], str] = {}


class ModelEntry(BaseModel):
    """One line of models.yaml.

    Attributes:
        id: name in the registry.
        uri: where the file is.
        sha256: 64 hex digits that it must have.
        licence: SPDX licence of the weights.
        commercial: whether the licence permits commercial use.
        architecture: what the weights are for, in words.
        card: URI of the model card, Markdown.
        options: what the architecture's loader needs to know besides, such as sizes.
        folder: folder of the file that names the entry; relative paths start there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    uri: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    licence: str
    commercial: bool
    architecture: str = ""
    card: str = ""
    options: dict[str, Any] = Field(default_factory=dict)
    folder: str = "."


@dataclass(frozen=True)
class Registry:
    """The weights that a configuration permits, in the order of their id."""

    entries: tuple[ModelEntry, ...]
    require_commercial: bool = False

    @classmethod
    def load(cls, config: ModelsConfig, base_dir: Path | None = None) -> Registry:
        """Reads models.yaml and the files that the configuration adds; later entries replace earlier ones.

        Args:
            config: the section "models".
            base_dir: folder of models.yaml; the shipped one where None.

        Raises:
            ModelError: a file is unreadable or an entry is wrong.
        """
        entries: dict[str, ModelEntry] = {}
        for path in ((base_dir or conf_dir()) / "models.yaml", *map(Path, config.registry_files)):
            entries.update(_read_entries(path))
        return cls(tuple(entries[model_id] for model_id in sorted(entries)), config.require_commercial)

    def entry(self, model_id: str) -> ModelEntry:
        """The entry of a model.

        Raises:
            ModelError: there is none, or its licence does not permit what the configuration requires.
        """
        known = {entry.id: entry for entry in self.entries}
        if model_id not in known:
            names = ", ".join(known)
            raise ModelError(f"no model {model_id!r} in the registry; there are: {names}. Add it to conf/models.yaml")
        entry = known[model_id]
        if self.require_commercial and not entry.commercial:
            raise ModelError(
                f"model {model_id!r} ({entry.licence}) does not permit commercial use, and models.require_commercial "
                "is set: choose another engine or another model"
            )
        return entry

    def path(self, model_id: str) -> Path:
        """Path of a model's file, its digest verified once per process and file state.

        Raises:
            ModelError: the file is missing, has another digest, or is not permitted.
        """
        entry = self.entry(model_id)
        path = _fetch(entry) if entry.uri.startswith(_REMOTE) else _locate(entry.uri, entry)
        if not path.is_file():
            raise ModelError(f"weights of model {model_id!r} are missing: no file {path}. Reinstall, or mend its uri")
        found = _digest(path)
        if found != entry.sha256:
            raise ModelError(
                f"weights of model {model_id!r} were changed: {path} has sha256 {found}, "
                f"the registry says {entry.sha256}. Put the right file back, or correct the entry if it is yours"
            )
        return path

    def card(self, model_id: str) -> str:
        """Text of a model's card (Markdown); empty where the entry names none.

        Raises:
            ModelError: there is no such model, or its card is missing.
        """
        entry = self.entry(model_id)
        path = _locate(entry.card, entry) if entry.card else None
        if path is not None and not path.is_file():
            raise ModelError(f"the card of model {model_id!r} is missing: no file {path}")
        return path.read_text(encoding="utf-8") if path else ""

    def hashes(self, model_ids: Iterable[str] | None = None) -> dict[str, str]:
        """Digests by id, as the registry states them, of all models or of those named."""
        wanted = None if model_ids is None else set(model_ids)
        return {entry.id: entry.sha256 for entry in self.entries if wanted is None or entry.id in wanted}


def _read_entries(path: Path) -> dict[str, ModelEntry]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"cannot read the model registry {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ModelError(f"the model registry {path} is not valid YAML: {error}") from error
    models = values.get("models") if isinstance(values, dict) else None
    if not isinstance(models, dict):
        raise ModelError(f"the model registry {path} must hold a mapping 'models: id: ...'")
    return {str(name): _parse_entry(str(name), entry, path) for name, entry in models.items()}


def _parse_entry(name: str, values: Any, path: Path) -> ModelEntry:
    try:
        return ModelEntry.model_validate({"folder": str(path.parent), **dict(values or {}), "id": name})
    except (ValidationError, TypeError, ValueError) as error:
        details = error.errors() if isinstance(error, ValidationError) else []
        words = "; ".join(f"{'.'.join(map(str, d['loc']))}: {d['msg']}" for d in details) or str(error)
        raise ModelError(f"model {name!r} in {path} is wrong: {words}") from None


def _locate(uri: str, entry: ModelEntry) -> Path:
    scheme, _, rest = uri.partition(":")
    if scheme == "package":
        return Path(str(resources.files("cleanplate"))) / rest
    if scheme == "rapidocr":
        found = find_spec("rapidocr")
        if found is None or found.origin is None:
            raise ModelError(f"model {entry.id!r} comes with rapidocr, which is not installed: pip install rapidocr")
        return Path(found.origin).parent / "models" / rest
    path = Path(rest.removeprefix("//") if scheme == "file" else uri)
    return path if path.is_absolute() else Path(entry.folder) / path


def _fetch(entry: ModelEntry) -> Path:
    """Copies remote weights into a cache that is named by their digest."""
    from cleanplate.warehouse.sources import read_source  # storage is imported only where an entry asks for it

    target = Path(tempfile.gettempdir()) / "cleanplate-models" / entry.sha256
    if target.is_file() and _digest(target) == entry.sha256:
        return target
    try:
        data = read_source(entry.uri, SourceConfig.model_validate({"max_bytes": _LARGEST_BYTES}))
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as file:
            file.write(data)
        Path(file.name).replace(target)
    except (StorageError, OSError) as error:
        raise ModelError(f"cannot fetch weights of model {entry.id!r} from {entry.uri}: {error}") from error
    return target


def _digest(path: Path) -> str:
    state = path.stat()
    key = (str(path), state.st_mtime_ns, state.st_size)
    if key not in _digests:
        hasher = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                hasher.update(block)
        _digests[key] = hasher.hexdigest()
    return _digests[key]
