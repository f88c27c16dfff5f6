"""The store of result files: objects/{batch}/{run}/{sha256}.{ext}, written once and never overwritten."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Protocol

from cleanplate.errors import ContractError, StorageError
from cleanplate.warehouse import remote

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class StoredObject:
    """A file of the store.

    Attributes:
        uri: its absolute path or URI.
        batch: the batch it was written for.
        run: the run that wrote it.
        size_bytes: its size.
        modified: when it was written, UTC.
    """

    uri: str
    batch: str
    run: str
    size_bytes: int
    modified: datetime


class Backend(Protocol):
    """What a kind of storage must do."""

    def put_new(self, uri: str, data: bytes) -> bool:
        """Writes the bytes unless something is there; whether it wrote."""

    def get(self, uri: str) -> bytes:
        """The bytes at `uri`."""

    def walk(self, prefix: str) -> Iterator[tuple[str, int, datetime]]:
        """URI, size and time of every file under `prefix`."""

    def delete(self, uri: str) -> None:
        """Removes a file; nothing happens where there is none."""


@dataclass(frozen=True)
class ObjectStore:
    """The objects of one warehouse; picklable, and free of Spark, so that executors use it.

    Attributes:
        root: absolute folder or URI of the warehouse; the files lie under its objects/.
    """

    root: str

    def put(self, batch: str, run: str, data: bytes, extension: str) -> str:
        """Stores bytes under their sha256.

        Args:
            batch: the batch.
            run: the run that owns the object: two runs never share one, so a purge of one cannot harm the other.
            data: the bytes of the file.
            extension: of the file, with or without a dot.

        Returns:
            The object's absolute path or URI, the same for the same arguments.

        Raises:
            ContractError: batch, run or extension cannot stand in a path.
            StorageError: it cannot be written, or something else lies at its place.
        """
        name = f"{hashlib.sha256(data).hexdigest()}.{_safe(extension.lstrip('.').lower())}"
        uri = f"{self._folder(batch, run)}/{name}"
        backend = _backend(self.root)
        if not backend.put_new(uri, data) and backend.get(uri) != data:
            raise StorageError(f"{uri} holds other bytes than its name says: remove that file, then run again")
        return uri

    def get(self, uri: str) -> bytes:
        """The bytes of an object of this store.

        Raises:
            StorageError: it is not there, or not of this store.
        """
        if not _inside(uri, f"{self.root}/objects"):
            raise StorageError(f"{uri} is no object of the warehouse {self.root}")
        return _backend(self.root).get(uri)

    def list(self, batch: str | None = None, run: str | None = None) -> list[StoredObject]:
        """The objects of a run, of a batch, or all, in the order of their URIs."""
        folder = f"{self.root}/objects"
        if batch is not None:
            folder = f"{folder}/{_safe(batch)}" if run is None else self._folder(batch, run)
        found = []
        for uri, size_bytes, modified in _backend(self.root).walk(f"{folder}/"):
            parts = uri[len(self.root) + len("/objects/") :].split("/")
            if len(parts) == 3:
                found.append(StoredObject(uri, parts[0], parts[1], size_bytes, modified))
        return sorted(found, key=lambda item: item.uri)

    def delete_run(self, batch: str, run: str) -> int:
        """Deletes every object of a run; returns how many."""
        items = self.list(batch, run)
        for item in items:
            self.delete(item)
        return len(items)

    def delete(self, item: StoredObject) -> None:
        """Deletes one object.

        Raises:
            StorageError: it is not of this store.
        """
        if not _inside(item.uri, f"{self.root}/objects"):
            raise StorageError(f"{item.uri} is no object of the warehouse {self.root}")
        _backend(self.root).delete(item.uri)

    def _folder(self, batch: str, run: str) -> str:
        return f"{self.root}/objects/{_safe(batch)}/{_safe(run)}"


class LocalBackend:
    """Files of a local or mounted folder; a link makes a complete file appear at once and never over another."""

    def put_new(self, uri: str, data: bytes) -> bool:
        """Writes to a temporary file beside, then links it to its name."""
        path = Path(uri)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists():
                return False
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".writing-", delete=False) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            return _link(Path(file.name), path)
        except OSError as error:
            raise StorageError(f"cannot write {uri}: {error.strerror or error}") from error

    def get(self, uri: str) -> bytes:
        """The file's bytes."""
        try:
            return Path(uri).read_bytes()
        except OSError as error:
            raise StorageError(f"cannot read {uri}: {error.strerror or error}") from error

    def walk(self, prefix: str) -> Iterator[tuple[str, int, datetime]]:
        """Every file below the folder."""
        for folder, _, names in os.walk(prefix):
            for name in names:
                status = Path(folder, name).stat()
                modified = datetime.fromtimestamp(status.st_mtime, timezone.utc)
                yield f"{folder.rstrip('/')}/{name}", status.st_size, modified

    def delete(self, uri: str) -> None:
        """Removes the file, then its folders where they are empty."""
        path = Path(uri)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"cannot delete {uri}: {error.strerror or error}") from error
        for folder in (path.parent, path.parent.parent):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def _link(temporary: Path, path: Path) -> bool:
    """Gives a finished file its name; False where the name is taken."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError:
        # Some mounts (Volumes, FUSE) know no links; content-addressed names make a rename over an equal file harmless.
        os.replace(temporary, path)
        return True
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _backend(root: str) -> Backend:
    return remote.backend(root) if "://" in root else LocalBackend()


def _inside(uri: str, folder: str) -> bool:
    if "://" not in uri:
        uri = os.path.normpath(uri)
    return uri.startswith(folder + "/") and "/../" not in uri


def _safe(part: str) -> str:
    if not _SAFE.fullmatch(part):
        raise ContractError(f"{part!r} cannot stand in an object's path: use letters, digits, '.', '_' and '-'")
    return part
