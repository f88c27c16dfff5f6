"""Lists the picture files of a folder or a bucket, with their masks and side notes."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from cleanplate.errors import ContractError, StorageError

EXTENSIONS = frozenset(
    # The last few cannot be edited: they end as rows that say so.
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".tif", ".tiff", ".bmp", ".dib",
     ".gif", ".ico", ".avif", ".heic", ".jp2")
)  # fmt: skip


def list_pictures(source: str) -> list[str]:
    """URIs of all picture files under a folder or s3:// prefix, sorted; hidden files are left out.

    Args:
        source: a local folder, file:// or s3://bucket/prefix.

    Raises:
        StorageError: the place does not exist or cannot be listed.
        ContractError: it holds no picture.
    """
    names = _list_s3(source) if source.startswith(("s3://", "s3a://")) else _list_folder(source)
    found = sorted(name for name in names if PurePosixPath(name).suffix.lower() in EXTENSIONS)
    if not found:
        raise ContractError(f"no picture file under {source}; files count by extension: {' '.join(sorted(EXTENSIONS))}")
    return found


def match_masks(pictures: list[str], masks: str) -> dict[str, str]:
    """Picture URI -> mask URI, matched by file stem.

    Raises:
        ContractError: two masks have the same stem, or a mask fits no picture.
    """
    by_stem: dict[str, str] = {}
    for uri in list_pictures(masks):
        stem = PurePosixPath(uri).stem.removesuffix(".mask")
        if stem in by_stem:
            raise ContractError(f"masks {by_stem[stem]} and {uri} have the same stem; one picture takes one mask")
        by_stem[stem] = uri
    matched = {uri: by_stem[PurePosixPath(uri).stem] for uri in pictures if PurePosixPath(uri).stem in by_stem}
    orphans = set(by_stem.values()) - set(matched.values())
    if orphans:
        raise ContractError(f"mask {min(orphans)} fits no picture: masks are matched by file stem")
    return matched


def read_notes(path: str) -> dict[str, dict[str, Any]]:
    """Side notes by relative path, from a .json, .jsonl or .csv file.

    JSON: {"photo.jpg": {"regions": [{"box": [left, top, right, bottom], "kind": "object"}], "rights": "owned"}} or a
    list of objects with "path"; CSV: a column `path` beside others, `regions` as JSON. Other columns become manifest
    columns, or strata where the manifest has none of that name.

    Raises:
        ContractError: the file cannot be understood.
        StorageError: it cannot be read.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    try:
        rows = _parse_notes(Path(path).suffix.lower(), text)
        return {row.pop("path"): row for row in rows}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ContractError(
            f"{path} is not understood ({error}); write JSON, JSON lines or CSV with a `path` in each row"
        ) from error


def _parse_notes(suffix: str, text: str) -> list[dict[str, Any]]:
    if suffix == ".csv":
        rows: list[dict[str, Any]] = [
            {name: value for name, value in row.items() if value} for row in csv.DictReader(text.splitlines())
        ]
        for row in rows:
            if "regions" in row:
                row["regions"] = json.loads(row["regions"])
            if "remove" in row:
                row["remove"] = row["remove"].replace(";", " ").split()
        return rows
    if suffix == ".jsonl":
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    values = json.loads(text)
    if isinstance(values, Mapping):
        return [{"path": path, **_as_note(note)} for path, note in values.items()]
    return [dict(row) for row in values]


def _as_note(note: Any) -> dict[str, Any]:
    return dict(note) if isinstance(note, Mapping) else {"regions": note}


def _list_folder(source: str) -> Iterator[str]:
    root = Path(source.removeprefix("file://")).absolute()
    if not root.is_dir():
        raise StorageError(f"{source} is no folder that can be listed")
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        yield from (str(Path(folder) / name) for name in files if not name.startswith("."))


def _list_s3(source: str) -> Iterator[str]:
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, _, prefix = source.split("://", 1)[1].partition("/")
    try:
        pages = boto3.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        for page in pages:
            yield from (f"s3://{bucket}/{entry['Key']}" for entry in page.get("Contents", ()))
    except (BotoCoreError, ClientError) as error:
        raise StorageError(f"cannot list {source}: {error}") from error
