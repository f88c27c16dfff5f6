"""Writes a text file so that readers see the old one or the whole new one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from cleanplate.errors import StorageError


def write_whole(path: Path, text: str) -> None:
    """Writes beside the file, then puts it in its place; its folder is made.

    Args:
        path: the file.
        text: its contents; written as UTF-8 (lone surrogates, which hostile file names bring, as escapes).

    Raises:
        StorageError: the folder cannot be written.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", delete=False) as file:
            temporary = Path(file.name)
            file.write(text.encode("utf-8", errors="backslashreplace"))
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)  # a temporary file is its owner's only
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error
