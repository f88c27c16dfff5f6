"""The bytes of a source: a local file, an S3 object, or what pyarrow's file systems reach."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from cleanplate.config import SourceConfig
from cleanplate.errors import StorageError
from cleanplate.warehouse import remote

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def read_source(uri: str, config: SourceConfig) -> bytes:
    """Reads a source whole.

    Args:
        uri: a local path, file:…, s3://…, s3a://…, or a URI of another scheme that pyarrow knows.
        config: the largest size in bytes, and the roots a source must lie under.

    Returns:
        The file's bytes.

    Raises:
        StorageError: outside the allowed roots, larger than allowed, or unreadable; names the URI.
    """
    place = resolve(uri, config.allowed_roots)
    if not _SCHEME.match(place):
        return _read_local(place, uri, config.max_bytes)
    backend = remote.backend(place)
    _check_size(uri, backend.size(place), config.max_bytes)
    return backend.get(place)


def resolve(uri: str, allowed_roots: Sequence[str]) -> str:
    """The place a URI means: links followed, dots removed; a plain path for local files.

    Raises:
        StorageError: it lies outside the allowed roots, or no place can be made of it.
    """
    place = _canonical(uri)
    if allowed_roots and not any(_under(place, _canonical(root)) for root in allowed_roots):
        roots = ", ".join(allowed_roots)
        raise StorageError(f"{uri} lies outside the allowed roots ({roots}): move it, or widen source.allowed_roots")
    return place


def _canonical(uri: str) -> str:
    if not uri or "\0" in uri:
        raise StorageError(f"{uri!r} is no path or URI")
    if uri.startswith("file:"):
        uri = unquote(urlsplit(uri).path)
    elif _SCHEME.match(uri):
        return _canonical_remote(uri)
    try:
        return os.path.realpath(Path(uri).expanduser())
    except (OSError, RuntimeError, ValueError) as error:
        raise StorageError(f"{uri!r} is no usable path: {error}") from error


def _canonical_remote(uri: str) -> str:
    scheme, _, rest = uri.partition("://")
    if ".." in unquote(rest).split("/"):
        raise StorageError(f"{uri} climbs with '..': name the object by its full path")
    scheme = "s3" if scheme in ("s3a", "s3n") else scheme.lower()
    return f"{scheme}://{rest}"


def _under(place: str, root: str) -> bool:
    return place == root or place.startswith(root.rstrip("/") + "/")


def _read_local(place: str, uri: str, max_bytes: int) -> bytes:
    try:
        status = os.stat(place)
        if not stat.S_ISREG(status.st_mode):
            raise StorageError(f"cannot read {uri}: not a regular file")
        _check_size(uri, status.st_size, max_bytes)
        with open(place, "rb") as file:
            # One byte more than allowed, so that a file that grew meanwhile cannot fill the memory.
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise StorageError(f"cannot read {uri}: {error.strerror or error}") from error
    _check_size(uri, len(data), max_bytes)
    return data


def _check_size(uri: str, size_bytes: int, max_bytes: int) -> None:
    if size_bytes > max_bytes:
        raise StorageError(f"{uri} has {size_bytes:,} bytes, more than source.max_bytes = {max_bytes:,}")
