"""The stratified sample: an order of a batch's images of which every beginning stands for the whole."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cleanplate.errors import ConfigError

MOST_VALUES = 20  # a column with more values is a name, not a stratum
_NONE = "none"


@dataclass(frozen=True)
class Design:
    """How a batch is divided into strata; fixed when a run starts.

    Attributes:
        columns: stratum columns of the manifest.
        size_edges_mpx: megapixels between the classes of size.
        compression_edges: bytes per pixel between the classes of compression.
        always_sha256: digest of the labelled images that are always looked at, "" for none.
        first: images that the first step draws.
    """

    columns: tuple[str, ...] = ()
    size_edges_mpx: tuple[float, ...] = ()
    compression_edges: tuple[float, ...] = ()
    always_sha256: str = ""
    first: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Design:
        """The other way."""
        given: dict[str, Any] = {n: tuple(value) if isinstance(value, list) else value for n, value in values.items()}
        return cls(**given)


def usable_columns(notes: Iterable[Mapping[str, str] | None], wanted: Sequence[str] = ()) -> tuple[str, ...]:
    """The stratum columns that divide a batch: those that were asked for, else all with 2 to 20 values.

    Args:
        notes: the manifest's `strata` of every image.
        wanted: names; () = all.
    """
    values: dict[str, set[str]] = {}
    for note in notes:
        for name, value in (note or {}).items():
            if len(values.setdefault(name, set())) <= MOST_VALUES:
                values[name].add(value)
    names = wanted or [name for name, found in sorted(values.items()) if 1 < len(found) <= MOST_VALUES]
    return tuple(name for name in names if name in values)


def strata(images: pd.DataFrame, design: Design) -> pd.DataFrame:
    """The stratum columns of every image: the manifest's own, and two cheap probes of the file.

    Args:
        images: columns strata (mapping or None), width, height, bytes.
        design: which columns, and the classes.

    Returns:
        One text column per dimension: the manifest's columns, size ("under 0.3 MP", …), compression ("under 0.4 bytes
        per pixel", …); "none" where nothing is known.
    """
    notes = [dict(note or {}) for note in images["strata"]]
    found = {name: [str(note.get(name, _NONE)) for note in notes] for name in design.columns}
    pixels = images["width"].to_numpy(float) * images["height"].to_numpy(float)
    if design.size_edges_mpx:
        found["size"] = classes(pixels / 1e6, design.size_edges_mpx, "MP")
    if design.compression_edges:
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = images["bytes"].to_numpy(float) / pixels
        found["compression"] = classes(ratio, design.compression_edges, "bytes per pixel")
    return pd.DataFrame(found, index=images.index, dtype="string")


def classes(values: NDArray[np.float64], edges: Sequence[float], unit: str) -> list[str]:
    """The class of each value, in words; fixed edges, so that batches can be compared.

    Example:
        >>> classes(np.array([0.1, 2.0, np.nan]), [0.3, 1.0], "MP")
        ['under 0.3 MP', '1 MP and more', 'none']
    """
    ordered = sorted(edges)
    names = [f"under {ordered[0]:g} {unit}"]
    names += [f"{low:g} to {high:g} {unit}" for low, high in itertools.pairwise(ordered)]
    names.append(f"{ordered[-1]:g} {unit} and more")
    places = np.searchsorted(np.asarray(ordered), values, side="right")
    return [names[place] if math.isfinite(value) else _NONE for place, value in zip(places, values, strict=True)]


def sample_order(image_ids: Iterable[str], cells: Iterable[str], key: str, first: int) -> NDArray[np.int64]:
    """The rank of every image, from 0: the first n of the order are the sample of n.

    Within a stratum images come by a hash of key and id; over all strata by their share of their stratum that is done,
    so every beginning of the order holds each stratum in proportion to its size (systematic sampling of a list ordered
    by a hash). Before them comes one image of each stratum, of the larger ones first, for at most half of the first
    step: no stratum is missing unless there are more than that.

    Args:
        image_ids: all images, each once.
        cells: the stratum of each.
        key: what fixes the order: the batch's id.
        first: images of the first step.

    Returns:
        int64 (N,).
    """
    table = pd.DataFrame({"image_id": list(image_ids), "cell": list(cells)})
    table["hash"] = [_hash(key, image_id) for image_id in table["image_id"]]
    groups = table.sort_values(["hash", "image_id"]).groupby("cell", sort=False)["hash"]
    table["place"] = groups.cumcount()
    table["size"] = table.groupby("cell")["cell"].transform("size")
    offsets = {cell: _hash(key, cell) for cell in table["cell"].unique()}
    table["done"] = (table["place"] + table["cell"].map(offsets)) / table["size"]
    heads = table[table["place"] == 0].sort_values(["size", "hash", "image_id"], ascending=[False, True, True])
    table["head"] = ~table.index.isin(heads.index[: max(1, first // 2)])
    order = table.sort_values(["head", "done", "hash", "image_id"]).index.to_numpy()
    ranks = np.empty(len(table), np.int64)
    ranks[order] = np.arange(len(table))
    return ranks


def step_sizes(images: int, steps: Sequence[float], min_images: int) -> list[int]:
    """Images that each step and those before it draw; steps that add nothing are left out.

    Example:
        >>> step_sizes(2000, [0.01, 0.1, 1.0], 50), step_sizes(30, [0.01, 0.1, 1.0], 50)
        ([50, 200, 2000], [30])
    """
    sizes = [min(images, max(min_images, math.ceil(share * images - 1e-9))) for share in steps]
    return sorted({*sizes, images})


def always_ids(path: str) -> set[str]:
    """The labelled set, `rollout.always`: ids of a text file, one a line, `#` starts a remark; none without a file.

    Raises:
        ConfigError: it cannot be read.
    """
    if not path:
        return set()
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ConfigError(f"cannot read rollout.always = {path}: {error.strerror}") from error
    return {line.partition("#")[0].strip() for line in lines} - {""}


def digest_of(image_ids: Iterable[str]) -> str:
    """16 hex digits of a set of ids, "" of none."""
    ordered = sorted(set(image_ids))
    return hashlib.sha256("\n".join(ordered).encode()).hexdigest()[:16] if ordered else ""


def _hash(key: str, text: str) -> float:
    """0..1, evenly spread."""
    digest = hashlib.blake2b(f"{key}\n{text}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
