"""Reads the headers of a Windows or OS/2 bitmap (BITMAPCOREHEADER to BITMAPV5HEADER)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from cleanplate.errors import DecodeError, RefusedError

RGB, RLE8, RLE4, BITFIELDS, ALPHA_BITFIELDS = 0, 1, 2, 3, 6
_FILE_HEADER = 14
_CORE, _INFO, _V2, _V3, _V4, _V5, _OS2_SHORT, _OS2 = 12, 40, 52, 56, 108, 124, 16, 64
_FIVE_BITS = (0x7C00, 0x03E0, 0x001F, 0)
_EIGHT_BITS = (0xFF0000, 0x00FF00, 0x0000FF, 0)


@dataclass(frozen=True)
class BmpHeader:
    """What the headers say.

    Attributes:
        size: bytes of the information header.
        width: pixels.
        height: pixels.
        is_top_down: whether the first row is the top one.
        bits: of a pixel.
        compression: 0 none, 1 RLE8, 2 RLE4, 3 or 6 bit masks.
        colours: entries of the palette, 0 where there is none.
        palette_at: offset of the palette.
        entry_bytes: bytes of a palette entry: 3 or 4.
        pixels_at: offset of the pixels.
        masks: red, green, blue, alpha of 16 and 32 bits; 0 for no alpha.
        pixels_per_metre: horizontal and vertical, 0 where unknown.
    """

    size: int
    width: int
    height: int
    is_top_down: bool
    bits: int
    compression: int
    colours: int
    palette_at: int
    entry_bytes: int
    pixels_at: int
    masks: tuple[int, int, int, int]
    pixels_per_metre: tuple[int, int]

    @property
    def row_bytes(self) -> int:
        """Bytes of an uncompressed row, padded to 4."""
        return (self.width * self.bits + 31) // 32 * 4


def parse(data: bytes) -> BmpHeader:
    """Reads the headers.

    Raises:
        DecodeError: they are damaged, or state what does not exist.
        RefusedError: an embedded JPEG or PNG, or an OS/2 compression.
    """
    try:
        return _parse(data)
    except struct.error:
        raise DecodeError(f"the BMP is cut off: it has {len(data)} bytes, less than its headers") from None


def _parse(data: bytes) -> BmpHeader:
    pixels_at, size = struct.unpack_from("<II", data, 10)
    if size not in (_CORE, _INFO, _V2, _V3, _V4, _V5, _OS2_SHORT, _OS2):
        raise DecodeError(f"the BMP is invalid: there is no information header of {size} bytes")
    if size == _CORE:
        width, height, planes, bits = struct.unpack_from("<HHHH", data, 18)
        compression, used, per_metre = RGB, 0, (0, 0)
    else:
        width, height, planes, bits = struct.unpack_from("<iiHH", data, 18)
        compression, used, per_metre = RGB, 0, (0, 0)
        if size != _OS2_SHORT:
            compression, _, horizontal, vertical, used = struct.unpack_from("<IIiiI", data, 30)
            per_metre = (horizontal, vertical)
    _check(width, planes, bits, compression, height, size)
    masks, masks_bytes = _masks(data, size, bits, compression)
    entry_bytes = 3 if size == _CORE else 4
    palette_at = _FILE_HEADER + size + masks_bytes
    colours = 0
    if bits <= 8:
        room = max(0, (pixels_at if palette_at < pixels_at <= len(data) else len(data)) - palette_at) // entry_bytes
        colours = min(used if 0 < used <= 256 else 2**bits, 256, room)
    return BmpHeader(
        size, width, abs(height), height < 0, bits, compression, colours, palette_at, entry_bytes, pixels_at, masks,
        per_metre,
    )  # fmt: skip


def _check(width: int, planes: int, bits: int, compression: int, height: int, size: int) -> None:
    if width < 0:
        raise DecodeError(f"the BMP is invalid: its width is {width}")
    if planes != 1:
        raise DecodeError(f"the BMP is invalid: it states {planes} planes, there is only 1")
    if compression in (4, 5) or (size == _OS2 and compression > RLE4):
        raise RefusedError(f"the BMP uses compression {compression} (embedded JPEG or PNG, or OS/2); not edited")
    allowed = {RGB: (1, 2, 4, 8, 16, 24, 32), RLE8: (8,), RLE4: (4,), BITFIELDS: (16, 32), ALPHA_BITFIELDS: (16, 32)}
    if bits not in allowed.get(compression, ()):
        raise DecodeError(f"the BMP is invalid: {bits} bits of a pixel with compression {compression}")
    if compression in (RLE8, RLE4) and height < 0:
        raise DecodeError("the BMP is invalid: run-length coding is not allowed from the top down")


def _masks(data: bytes, size: int, bits: int, compression: int) -> tuple[tuple[int, int, int, int], int]:
    """The four masks, and the bytes they take between header and palette."""
    if compression not in (BITFIELDS, ALPHA_BITFIELDS):
        return (_FIVE_BITS if bits == 16 else _EIGHT_BITS), 0
    has_alpha = size >= _V3 or compression == ALPHA_BITFIELDS
    found = struct.unpack_from("<IIII" if has_alpha else "<III", data, _FILE_HEADER + _INFO)
    masks = (found[0], found[1], found[2], found[3] if has_alpha else 0)
    if not all(masks[:3]) or any(mask and not _is_run(mask, bits) for mask in masks):
        raise DecodeError(f"the BMP is invalid: its bit masks {[hex(m) for m in masks]} are no runs of bits")
    between = (16 if compression == ALPHA_BITFIELDS else 12) if size == _INFO else 0
    return masks, between


def _is_run(mask: int, bits: int) -> bool:
    lowest = mask & -mask
    return mask < 1 << bits and (mask // lowest) & (mask // lowest + 1) == 0
