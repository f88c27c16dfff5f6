"""Looks at the files of a manifest: digest, size, type; no pixel is decoded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pandas as pd

from cleanplate.codec import probe
from cleanplate.config import SourceConfig
from cleanplate.errors import CleanplateError
from cleanplate.warehouse.sources import read_source

PROBE_TYPES = "image_id string, sha256 string, bytes long, width int, height int, media_type string"


def probe_frames(frames: Iterator[pd.DataFrame], limits: SourceConfig) -> Iterator[pd.DataFrame]:
    """For `mapInPandas`: image_id and uri in, what `PROBE_TYPES` names out."""
    names = [part.split()[0] for part in PROBE_TYPES.split(", ")]
    for frame in frames:
        rows = [
            probe_file(image_id, uri, limits) for image_id, uri in zip(frame["image_id"], frame["uri"], strict=True)
        ]
        yield pd.DataFrame(rows, columns=names).astype(object)


def probe_file(image_id: str, uri: str, limits: SourceConfig) -> dict[str, Any]:
    """Digest, size and header of one file; what cannot be told is None, and the run says why."""
    row: dict[str, Any] = dict.fromkeys(part.split()[0] for part in PROBE_TYPES.split(", "))
    row["image_id"] = image_id
    try:
        data = read_source(uri, limits)
    except CleanplateError:
        return row
    row.update(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
    try:
        header = probe(data, limits)
    except CleanplateError:
        return row
    row.update(width=header.width, height=header.height, media_type=header.media_type)
    return row
