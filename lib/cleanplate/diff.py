"""Lossless patches between the samples of two pictures: forth and back, bit for bit."""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cleanplate.errors import ContractError
from cleanplate.image import Image
from cleanplate.records import Box, WholeDiff

_MAGIC = b"CPDF"
_VERSION = 1
_PREFIX = struct.Struct("<4sBI")  # magic, version, length of the packed header
PICTURE_SIDE_PX = 320
PICTURE_GAIN = 4
PICTURE_QUALITY = 80
_TILE_PX = 32
_LEVEL = 6


@dataclass(frozen=True)
class _Patch:
    """A patch, unpacked: boxes and the modular differences within them, one after the other."""

    shape: tuple[int, ...]
    dtype: str
    before: str
    after: str
    boxes: tuple[Box, ...]
    payload: bytes


def make_diff(before: NDArray[Any], after: NDArray[Any]) -> bytes:
    """Makes the patch that turns one picture's samples into another's.

    Format, version 1: "CPDF", a version byte, the length of the header; the header, JSON packed by zlib (shape,
    dtype, sha256 of both sample arrays, boxes); then, packed by zlib, for every box the differences modulo 2**bits,
    channel after channel, the bytes of 16-bit samples as one plane of high and one of low bytes.

    Args:
        before: uint8 or uint16, (H, W) or (H, W, C): `Image.native` as `codec.decode` returns it. Two files are
            compared by these arrays, whatever their modes (a palette file is RGB here, 1-bit grey is 0 and 255).
        after: of the same shape and dtype.

    Returns:
        The patch. Equal arrays give one without boxes.

    Raises:
        ContractError: shapes or dtypes differ, or are not as above.
    """
    _check_pair(before, after)
    delta = after - before  # unsigned: wraps modulo 2**bits
    boxes = _find_boxes(delta)
    parts = []
    for box in boxes:
        parts.append(_to_planes(delta[box.slices]))
        delta[box.slices] = 0  # boxes may overlap: what one of them holds is zero in the next
    header = {
        "shape": before.shape,
        "dtype": before.dtype.name,
        "before": _digest(before),
        "after": _digest(after),
        "boxes": [[box.left, box.top, box.right, box.bottom] for box in boxes],
    }
    packed = zlib.compress(json.dumps(header, separators=(",", ":")).encode(), _LEVEL)
    return _PREFIX.pack(_MAGIC, _VERSION, len(packed)) + packed + zlib.compress(b"".join(parts), _LEVEL)


def whole_diff(before: Image, after: Image) -> WholeDiff:
    """What stands for the difference of two pictures where no local patch can: both digests and a look at it.

    Args:
        before: the source.
        after: the result, of the same or another size.

    Returns:
        The sha256 of the samples of both, and |after - before|, four times amplified, as a WebP of at most 320 px.
    """
    height, width = before.height, before.width
    scale = min(1.0, PICTURE_SIDE_PX / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    # The differences are averaged, not the pictures: fine noise that went would cancel out.
    same = np.asarray(cv2.resize(after.rgb, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    delta = cv2.convertScaleAbs(cv2.absdiff(before.rgb, same), alpha=PICTURE_GAIN)
    small = np.asarray(cv2.resize(delta, size, interpolation=cv2.INTER_AREA), np.uint8)
    picture = cv2.imencode(".webp", small[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, PICTURE_QUALITY])[1]
    return WholeDiff(_digest(before.native), _digest(after.native), picture.tobytes())


def apply_diff(samples: NDArray[Any], blob: bytes) -> NDArray[Any]:
    """Turns the samples before into the samples after.

    Args:
        samples: the array that `make_diff` got as `before`; not changed.
        blob: the patch.

    Raises:
        ContractError: the patch is damaged, or was made for other samples.
    """
    patch = _parse(blob)
    return _change(samples, patch, patch.before, patch.after, forth=True)


def invert_diff(samples: NDArray[Any], blob: bytes) -> NDArray[Any]:
    """Turns the samples after into the samples before; else as `apply_diff`."""
    patch = _parse(blob)
    return _change(samples, patch, patch.after, patch.before, forth=False)


def diff_hashes(blob: bytes) -> tuple[str, str]:
    """sha256 of the samples before and after, as hex digits.

    Raises:
        ContractError: the bytes are no diff.
    """
    patch = _parse(blob)
    return patch.before, patch.after


def changed_boxes(blob: bytes) -> list[Box]:
    """The rectangles in which a patch changes samples, in the samples' own (stored, not upright) coordinates.

    Raises:
        ContractError: the patch is damaged.
    """
    return list(_parse(blob).boxes)


def _check_pair(before: NDArray[Any], after: NDArray[Any]) -> None:
    for name, array in (("before", before), ("after", after)):
        if array.dtype not in (np.uint8, np.uint16) or array.ndim not in (2, 3):
            raise ContractError(f"{name}: a diff needs uint8 or uint16 (H, W[, C]), not {array.dtype} {array.shape}")
    if before.shape != after.shape or before.dtype != after.dtype:
        raise ContractError(
            f"a diff needs two arrays of one shape and type, not {before.dtype} {before.shape} and "
            f"{after.dtype} {after.shape}; keep both files instead"
        )


def _find_boxes(delta: NDArray[Any]) -> list[Box]:
    """Tight boxes around connected groups of tiles that hold a change."""
    hit_rows = np.flatnonzero(delta.reshape(len(delta), -1).any(axis=1))
    if not len(hit_rows):
        return []
    first = int(hit_rows[0]) // _TILE_PX * _TILE_PX  # an edit is local as a rule: look at its rows only
    part = delta[first : int(hit_rows[-1]) + 1]
    changed = part != 0 if part.ndim == 2 else np.logical_or.reduce([part[..., c] for c in range(part.shape[2])])
    height, width = changed.shape
    rows = np.add.reduceat(changed, np.arange(0, height, _TILE_PX), axis=0, dtype=np.uint32)
    tiles = np.add.reduceat(rows, np.arange(0, width, _TILE_PX), axis=1) > 0
    labels, _ = ndimage.label(tiles, structure=np.ones((3, 3)))
    return [_tighten(changed, down, across).moved(0, first) for down, across in ndimage.find_objects(labels)]


def _tighten(changed: NDArray[np.bool_], down: slice, across: slice) -> Box:
    top, left = down.start * _TILE_PX, across.start * _TILE_PX
    part = changed[top : down.stop * _TILE_PX, left : across.stop * _TILE_PX]
    return Box.around(part).moved(left, top)


def _to_planes(part: NDArray[Any]) -> bytes:
    """Channel after channel; high bytes before low bytes."""
    channels = part[None] if part.ndim == 2 else np.moveaxis(part, 2, 0)
    if part.dtype == np.uint8:
        return channels.tobytes()
    return (channels >> 8).astype(np.uint8).tobytes() + (channels & 255).astype(np.uint8).tobytes()


def _from_planes(raw: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    planes: NDArray[Any] = np.frombuffer(raw, np.uint8)
    if dtype == np.uint16:
        high, low = planes.reshape(2, -1)
        planes = (high.astype(np.uint16) << 8) | low
    if len(shape) == 2:
        return planes.reshape(shape)
    return np.moveaxis(planes.reshape(shape[2], shape[0], shape[1]), 0, 2)


def _digest(samples: NDArray[Any]) -> str:
    little = np.ascontiguousarray(samples, dtype=samples.dtype.newbyteorder("<"))
    return hashlib.sha256(little.data).hexdigest()


def _parse(blob: bytes) -> _Patch:
    try:
        magic, version, length = _PREFIX.unpack_from(blob)
        if magic != _MAGIC:
            raise ContractError(f"this is no diff: it starts with {blob[:4]!r}, not {_MAGIC!r}")
        if version != _VERSION:
            raise ContractError(f"the diff has version {version}; this program reads version {_VERSION}")
        header = json.loads(zlib.decompress(blob[_PREFIX.size : _PREFIX.size + length]))
        payload = zlib.decompress(blob[_PREFIX.size + length :])
        boxes = tuple(Box(*values) for values in header["boxes"])
        return _Patch(tuple(header["shape"]), header["dtype"], header["before"], header["after"], boxes, payload)
    except (struct.error, zlib.error, ValueError, KeyError, TypeError) as error:
        raise ContractError(f"the diff is damaged ({error}); restore the image from its source file instead") from error


def _change(samples: NDArray[Any], patch: _Patch, wanted: str, result: str, *, forth: bool) -> NDArray[Any]:
    if samples.shape != patch.shape or samples.dtype.name != patch.dtype:
        raise ContractError(
            f"the diff was made for {patch.dtype} {patch.shape}, not for {samples.dtype} {samples.shape}"
        )
    if _digest(samples) != wanted:
        raise ContractError("the diff was made for other samples (sha256 differs): the picture has changed since")
    changed = samples.copy()
    position = 0
    for box, size in zip(patch.boxes, _sizes(patch), strict=True):
        shape = (box.height, box.width, *patch.shape[2:])
        part = _from_planes(patch.payload[position : position + size], shape, samples.dtype)
        area = changed[box.slices]
        changed[box.slices] = area + part if forth else area - part
        position += size
    if _digest(changed) != result:
        raise ContractError("the diff is damaged: what it makes has another sha256 than it should")
    return changed


def _sizes(patch: _Patch) -> Sequence[int]:
    per_pixel = (patch.shape[2] if len(patch.shape) == 3 else 1) * np.dtype(patch.dtype).itemsize
    sizes = [box.area_px * per_pixel for box in patch.boxes]
    if sum(sizes) != len(patch.payload):
        raise ContractError(f"the diff is damaged: it holds {len(patch.payload)} bytes of {sum(sizes)}")
    return sizes
