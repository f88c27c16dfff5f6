"""Packs and unpacks the strips and tiles of a TIFF (TIFF 6.0, sections 3, 9 to 15)."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from cleanplate.errors import DecodeError

NONE, CCITT_RLE, CCITT_3, CCITT_4, LZW, DEFLATE, PACKBITS, OLD_DEFLATE = 1, 2, 3, 4, 5, 8, 32773, 32946
NAMES = {
    NONE: "none", CCITT_RLE: "CCITT RLE", CCITT_3: "CCITT fax 3", CCITT_4: "CCITT fax 4", LZW: "LZW",
    DEFLATE: "deflate", PACKBITS: "PackBits", OLD_DEFLATE: "deflate (old code)",
}  # fmt: skip
_PILLOW_NAMES = {LZW: "tiff_lzw", PACKBITS: "packbits"}
_REVERSED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


@dataclass(frozen=True)
class Packing:
    """How strips and tiles are packed.

    Attributes:
        compression: tag 259.
        predictor: tag 317: 1 none, 2 horizontal differences.
        is_reversed: whether bits within bytes are reversed (tag 266 = 2).
        order: "<" or ">", byte order of 16-bit samples.
        options: T4Options or T6Options of fax files.
    """

    compression: int
    predictor: int
    is_reversed: bool
    order: str
    options: int = 0


def unpack(segment: bytes, rows: int, row_bits: int, packing: Packing) -> NDArray[np.uint8]:
    """Unpacks a strip or tile to bytes.

    Args:
        segment: as stored.
        rows: rows of the strip or tile.
        row_bits: bits of a row without its padding.
        packing: how it is packed.

    Returns:
        uint8 (rows, row_bits / 8 rounded up), before the predictor is undone.

    Raises:
        DecodeError: it is damaged or too short.
    """
    row_bytes = -(-row_bits // 8)
    if packing.is_reversed:
        segment = segment.translate(_REVERSED)
    if packing.compression == NONE:
        raw = segment
    elif packing.compression in (DEFLATE, OLD_DEFLATE):
        raw = _inflate(segment, rows * row_bytes)
    else:
        raw = _unpack_by_pillow(segment, rows, row_bits, packing)
    if len(raw) < rows * row_bytes:
        raise DecodeError(f"the TIFF is cut off or damaged: a strip has {len(raw)} of {rows * row_bytes} bytes")
    return np.frombuffer(raw, np.uint8, rows * row_bytes).reshape(rows, row_bytes)


def pack(raw: NDArray[np.uint8], packing: Packing) -> bytes:
    """The inverse of `unpack`, for every compression but the fax ones."""
    if packing.compression == NONE:
        packed = raw.tobytes()
    elif packing.compression in (DEFLATE, OLD_DEFLATE):
        packed = zlib.compress(raw.tobytes(), 6)
    else:
        packed = _pack_by_pillow(raw, packing.compression)
    return packed.translate(_REVERSED) if packing.is_reversed else packed


def undo_predictor(samples: NDArray[Any], packing: Packing) -> NDArray[Any]:
    """Sums the differences along rows; `samples` is (rows, columns, channels)."""
    if packing.predictor != 2:
        return samples
    return np.cumsum(samples, axis=1, dtype=samples.dtype)


def apply_predictor(samples: NDArray[Any], packing: Packing) -> NDArray[Any]:
    """The inverse of `undo_predictor`."""
    if packing.predictor != 2:
        return samples
    differences = samples.copy()
    differences[:, 1:] -= samples[:, :-1]
    return differences


def _inflate(segment: bytes, size: int) -> bytes:
    try:
        return zlib.decompressobj().decompress(segment, size)
    except zlib.error as error:
        raise DecodeError(f"the TIFF is damaged: a deflate strip does not unpack ({error})") from error


def _unpack_by_pillow(segment: bytes, rows: int, row_bits: int, packing: Packing) -> bytes:
    """Lets libtiff unpack one strip, wrapped into a file of its own: 1 bit for fax, else bytes as grey."""
    is_fax = packing.compression in (CCITT_RLE, CCITT_3, CCITT_4)
    width, bits = (row_bits, 1) if is_fax else (-(-row_bits // 8), 8)
    options = 293 if packing.compression == CCITT_4 else 292
    tags = [
        (256, 4, width), (257, 4, rows), (258, 3, bits), (259, 3, packing.compression), (262, 3, 1), (273, 4, 0),
        (277, 3, 1), (278, 4, rows), (279, 4, len(segment)), (options, 4, packing.options),
    ]  # fmt: skip
    offset = 8 + 2 + 12 * len(tags) + 4
    body = b"".join(
        struct.pack("<HHII", tag, kind, 1, offset if tag == 273 else value) for tag, kind, value in sorted(tags)
    )
    wrapped = b"II*\0" + struct.pack("<IH", 8, len(tags)) + body + b"\0\0\0\0" + segment
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with PillowImage.open(io.BytesIO(wrapped), formats=["TIFF"]) as picture:
                return picture.tobytes()
        except (OSError, ValueError, SyntaxError) as error:
            name = NAMES[packing.compression]
            raise DecodeError(f"the TIFF is damaged: a strip does not unpack ({name}: {error})") from error


def _pack_by_pillow(raw: NDArray[np.uint8], compression: int) -> bytes:
    buffer = io.BytesIO()
    # One strip for all rows: 278 is RowsPerStrip.
    PillowImage.fromarray(raw).save(
        buffer, "TIFF", compression=_PILLOW_NAMES[compression], tiffinfo={278: len(raw)}, strip_size=max(raw.size, 1)
    )
    with PillowImage.open(io.BytesIO(buffer.getvalue()), formats=["TIFF"]) as picture:
        offsets, counts = picture.tag_v2[273], picture.tag_v2[279]  # type: ignore[attr-defined]
    if len(offsets) != 1:
        raise DecodeError(f"a TIFF strip could not be packed as one piece ({NAMES[compression]})")
    return buffer.getvalue()[offsets[0] : offsets[0] + counts[0]]
