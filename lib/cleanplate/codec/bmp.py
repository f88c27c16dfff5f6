"""BMP: edited pixels are patched into the file where its layout can hold them, else it is written with 24 bits."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from cleanplate.codec import palette as palettes
from cleanplate.codec.base import Header
from cleanplate.codec.bmp_header import RLE4, RLE8, BmpHeader, parse
from cleanplate.codec.bmp_runs import unpack_runs
from cleanplate.codec.samples import pack_bits, paint, scale_to_eight, unpack_bits
from cleanplate.errors import DecodeError, RefusedError
from cleanplate.image import Carried, Image

FORMAT = "BMP"
MEDIA_TYPE = "image/bmp"

_INCH_PER_METRE = 0.0254
_PROFILE_EMBEDDED = b"DEBM"  # 'MBED', little endian
_FEWEST_LEVELS = 31  # 5 bits
_V5, _PROFILE_AT = 124, 14 + 112


def read_header(data: bytes) -> Header:
    """See `base.Container`."""
    header = parse(data)
    return Header(header.width, header.height)


def decode(data: bytes) -> tuple[NDArray[np.uint8], Carried]:
    """See `base.Container`."""
    header = parse(data)
    native = _native(data, header)
    per_metre = header.pixels_per_metre
    is_runs = header.compression in (RLE8, RLE4)
    details: dict[str, object] = {
        "header_bytes": header.size,
        "compression": header.compression,
        "top_down": header.is_top_down,
        "bits_per_pixel": header.bits,
        "masks": header.masks if header.bits in (16, 32) else None,
        "when_edited": "written with 24 bits" if is_runs or _is_coarse(header) else "",
    }
    carried = Carried(
        format=FORMAT,
        media_type=MEDIA_TYPE,
        mode="P" if header.bits <= 8 else "RGBA" if native.shape[2] == 4 else "RGB",
        bit_depth=min(header.bits, 8),
        icc=_profile(data, header),
        dpi=(per_metre[0] * _INCH_PER_METRE, per_metre[1] * _INCH_PER_METRE) if min(per_metre) > 0 else None,
        details=details,
    )
    return native, carried


def encode(image: Image, rgb: NDArray[np.uint8], changed: NDArray[np.bool_]) -> bytes:
    """See `base.Container`."""
    data, header = image.data, parse(image.data)
    native = paint(image.native, rgb, changed)
    if header.bits > 8 and not _is_coarse(header):
        return _patch(data, header, _pack_pixels(native, header, _rows(data, header)), changed)
    if header.bits <= 8 and header.compression not in (RLE8, RLE4):
        colours = _colours(data, header)
        indices = palettes.find_indices(native[changed], colours)
        if indices is not None:
            samples = _indices(data, header).copy()
            samples[changed] = indices
            return _replace_rows(data, header, pack_bits(samples, header.bits))
    return _rewrite(data, header, native)


def is_lossy(image: Image) -> bool:
    """See `base.Container`."""
    return False


def rewrite(image: Image, rgb: NDArray[np.uint8], jpeg_quality: int) -> bytes:
    """See `base.Container`."""
    header = parse(image.data)
    if header.masks[3]:
        raise RefusedError("the BMP has alpha, which is not written at another size here: use PNG instead")
    return _rewrite(image.data, header, rgb)


def _is_coarse(header: BmpHeader) -> bool:
    """Whether the pixels have so few levels that a fill would show bands; with alpha the file stays as it is."""
    if header.bits <= 8 or header.bits == 24 or header.masks[3]:
        return False
    return any(mask // (mask & -mask) < _FEWEST_LEVELS for mask in header.masks[:3])


def _rows(data: bytes, header: BmpHeader) -> NDArray[np.uint8]:
    """uint8 (H, row bytes), top row first."""
    size = header.row_bytes * header.height
    if header.pixels_at + size > len(data):
        have = max(0, len(data) - header.pixels_at)
        raise DecodeError(f"the BMP is cut off: it has {have} of {size} bytes of pixels")
    rows = np.frombuffer(data, np.uint8, size, header.pixels_at).reshape(header.height, header.row_bytes)
    return rows if header.is_top_down else rows[::-1]


def _indices(data: bytes, header: BmpHeader) -> NDArray[np.uint8]:
    if header.compression in (RLE8, RLE4):
        pixels = unpack_runs(data[header.pixels_at :], header.width, header.height, header.compression == RLE4)
        return pixels[::-1]
    return unpack_bits(_rows(data, header), header.width, header.bits)


def _colours(data: bytes, header: BmpHeader) -> NDArray[np.uint8]:
    if header.colours < 1:
        raise DecodeError("the BMP is invalid: it has no palette")
    raw = np.frombuffer(data, np.uint8, header.colours * header.entry_bytes, header.palette_at)
    return np.ascontiguousarray(raw.reshape(-1, header.entry_bytes)[:, 2::-1])


def _native(data: bytes, header: BmpHeader) -> NDArray[np.uint8]:
    if header.bits <= 8:
        # Viewers show an index beyond the palette as black.
        colours = np.zeros((256, 3), np.uint8)
        colours[: header.colours] = _colours(data, header)
        return colours[_indices(data, header)]
    rows = _rows(data, header)
    if header.bits == 24:
        pixels = rows[:, : header.width * 3].reshape(header.height, header.width, 3)
        return np.ascontiguousarray(pixels[..., ::-1])
    words = _words(rows, header)
    steps = [(mask, mask & -mask) for mask in header.masks if mask]
    return np.stack([scale_to_eight((words & mask) // step, mask // step) for mask, step in steps], axis=2)


def _words(rows: NDArray[np.uint8], header: BmpHeader) -> NDArray[np.uint32]:
    width_bytes = header.width * header.bits // 8
    words = np.ascontiguousarray(rows[:, :width_bytes]).view("<u2" if header.bits == 16 else "<u4")
    return words.astype(np.uint32)


def _pack_pixels(native: NDArray[np.uint8], header: BmpHeader, rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pixels as bytes (H, W, bytes of a pixel); bits that no mask covers stay as in `rows`."""
    if header.bits == 24:
        return native[..., ::-1]
    covered = np.uint32(header.masks[0] | header.masks[1] | header.masks[2])
    words = _words(rows, header) & ~covered
    for channel, mask in enumerate(header.masks[:3]):
        lowest = mask & -mask
        maximum = mask // lowest
        levels = (native[..., channel].astype(np.uint64) * maximum + 127) // 255
        words |= (levels * lowest).astype(np.uint32)
    dtype = "<u2" if header.bits == 16 else "<u4"
    return words.astype(dtype).view(np.uint8).reshape(header.height, header.width, header.bits // 8)


def _patch(data: bytes, header: BmpHeader, pixels: NDArray[np.uint8], changed: NDArray[np.bool_]) -> bytes:
    rows = _rows(data, header).copy()
    step = header.bits // 8
    area = rows[:, : header.width * step].reshape(header.height, header.width, step).copy()
    area[changed] = pixels[changed]
    rows[:, : header.width * step] = area.reshape(header.height, -1)
    return _replace_rows(data, header, rows)


def _replace_rows(data: bytes, header: BmpHeader, rows: NDArray[np.uint8]) -> bytes:
    whole = _rows(data, header).copy()
    whole[:, : rows.shape[1]] = rows
    stored = whole if header.is_top_down else whole[::-1]
    return data[: header.pixels_at] + stored.tobytes() + data[header.pixels_at + stored.size :]


def _rewrite(data: bytes, header: BmpHeader, native: NDArray[np.uint8]) -> bytes:
    """A file with 24 bits, of the samples' size; resolution, colour space fields and profile are kept."""
    information = bytearray(data[14 : 14 + header.size])
    height, width = native.shape[:2]
    rows = native[..., ::-1].reshape(height, -1)
    rows = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4)))
    stored = rows if header.is_top_down else rows[::-1]
    pixels_at = 14 + header.size
    profile = _profile_block(data, header)
    if header.size == 12:
        struct.pack_into("<HHHH", information, 4, width, height, 1, 24)
    else:
        struct.pack_into("<iiHH", information, 4, width, -height if header.is_top_down else height, 1, 24)
    if header.size >= 40:
        struct.pack_into("<II", information, 16, 0, stored.size)
        struct.pack_into("<II", information, 32, 0, 0)
    if profile:
        struct.pack_into("<I", information, 112, header.size + stored.size)
    total = pixels_at + stored.size + len(profile)
    start = b"BM" + struct.pack("<IHHI", total, 0, 0, pixels_at)
    return start + bytes(information) + stored.tobytes() + profile


def _profile_block(data: bytes, header: BmpHeader) -> bytes:
    if header.size != _V5:
        return b""
    offset, size = struct.unpack_from("<II", data, _PROFILE_AT)
    return data[14 + offset : 14 + offset + size] if size and offset else b""


def _profile(data: bytes, header: BmpHeader) -> bytes | None:
    if header.size != _V5 or data[14 + 56 : 14 + 60] != _PROFILE_EMBEDDED:
        return None
    return _profile_block(data, header) or None
