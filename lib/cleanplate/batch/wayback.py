"""Checks the way back of one image: its original is there, and its diff leads from either side to the other."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cleanplate.config import SourceConfig
from cleanplate.diff import apply_diff, diff_hashes, invert_diff
from cleanplate.errors import CleanplateError, ContractError
from cleanplate.guard import Codec
from cleanplate.warehouse.objects import ObjectStore
from cleanplate.warehouse.sources import read_source


@dataclass(frozen=True)
class Reference:
    """What the tables say of an image that was cleaned, or that is only in the manifest.

    Attributes:
        run_id: the run that has it, "" where no run has.
        image_id: the image.
        uri: of the original.
        source_sha256: recorded digest of the original, None where it never could be read.
        result_uri: of the result, None where there is none.
        result_sha256: recorded digest of the result.
        diff_kind: "local", "whole", "none", or None where there is no diff.
        before_sha256: recorded digest of the original's samples.
        after_sha256: recorded digest of the result's samples.
        patch: the diff itself.
    """

    run_id: str
    image_id: str
    uri: str
    source_sha256: str | None = None
    result_uri: str | None = None
    result_sha256: str | None = None
    diff_kind: str | None = None
    before_sha256: str | None = None
    after_sha256: str | None = None
    patch: bytes | None = None

    @property
    def is_local(self) -> bool:
        """Whether a patch must lead from the original to the result and back."""
        return self.diff_kind == "local"

    @property
    def has_result(self) -> bool:
        """Whether there is a file besides the original."""
        return self.result_uri is not None and self.result_uri != self.uri


@dataclass(frozen=True)
class Failure:
    """Why an image cannot go back.

    Attributes:
        run_id: the run, "" where no run has the image.
        image_id: the image.
        step: "original", "result", "diff", "back" (result and diff do not give the original) or "forth".
        where: URI of what failed.
        error: in words.
    """

    run_id: str
    image_id: str
    step: str
    where: str
    error: str


def check_way_back(row: Reference, objects: ObjectStore, codec: Codec, limits: SourceConfig) -> list[Failure]:
    """Reads original and result, and inverts the diff bit for bit.

    Args:
        row: the image.
        objects: where results are.
        codec: decodes.
        limits: of the files that are read.

    Returns:
        What failed, in the order of the steps; [] where the way back is open.
    """
    found: list[Failure] = []
    original = result = None
    if row.source_sha256 is not None:  # what never could be read has no way back that could close
        original = _attempt(found, row, "original", row.uri, lambda: _original(row, limits))
    if row.has_result:
        result = _attempt(found, row, "result", str(row.result_uri), lambda: _result(row, objects, limits))
    if row.is_local:
        _attempt(found, row, "diff", str(row.result_uri or row.uri), lambda: _check_hashes(row))
    if row.is_local and original is not None and result is not None and not found:
        found += _invert(row, original, result, codec)
    return found


def _invert(row: Reference, original: bytes, result: bytes, codec: Codec) -> list[Failure]:
    found: list[Failure] = []
    before = _attempt(found, row, "original", row.uri, lambda: codec.decode(original).native)
    after = _attempt(found, row, "result", str(row.result_uri), lambda: codec.decode(result).native)
    patch = row.patch or b""
    if before is not None and after is not None:
        _attempt(found, row, "back", row.uri, lambda: _same(invert_diff(after, patch), before))
        _attempt(found, row, "forth", str(row.result_uri), lambda: _same(apply_diff(before, patch), after))
    return found


def _attempt(found: list[Failure], row: Reference, step: str, where: str, action: Callable[[], Any]) -> Any:
    """The action's value, or None with one more failure."""
    try:
        return action()
    except CleanplateError as error:
        found.append(Failure(row.run_id, row.image_id, step, where, str(error)))
        return None


def _original(row: Reference, limits: SourceConfig) -> bytes:
    data = read_source(row.uri, limits)
    _check_digest("original", data, row.source_sha256)
    return data


def _result(row: Reference, objects: ObjectStore, limits: SourceConfig) -> bytes:
    is_object = str(row.result_uri).startswith(f"{objects.root}/objects/")
    data = objects.get(str(row.result_uri)) if is_object else read_source(str(row.result_uri), limits)
    _check_digest("result", data, row.result_sha256)
    return data


def _check_digest(what: str, data: bytes, recorded: str | None) -> None:
    found = hashlib.sha256(data).hexdigest()
    if recorded is not None and found != recorded:
        raise ContractError(f"the {what} has sha256 {found[:12]}…, recorded is {recorded[:12]}…")


def _check_hashes(row: Reference) -> None:
    """The digests beside a patch are those within it."""
    if row.patch is None:
        raise ContractError("the diff's row holds no patch")
    recorded, held = (row.before_sha256, row.after_sha256), diff_hashes(row.patch)
    if any(known is not None and known != own for known, own in zip(recorded, held, strict=True)):
        raise ContractError("the digests in the diff's row are not those of its patch")


def _same(made: NDArray[Any], wanted: NDArray[Any]) -> bool:
    if made.shape != wanted.shape or made.dtype != wanted.dtype or not np.array_equal(made, wanted):
        raise ContractError("the diff leads to other pixels")
    return True
