"""Turns a PNG's IDAT stream into samples and back, at all depths."""

from __future__ import annotations

import io
import warnings
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageFile

from cleanplate.codec.png_chunks import CHANNELS, SIGNATURE, Chunk, PngHeader, split_chunks
from cleanplate.codec.samples import pack_bits
from cleanplate.errors import DecodeError

# How Pillow's unfiltering is read out, per bits of a pixel: mode, raw modes, and the place of each raw mode's
# channels among the bytes of a pixel. Raw modes that end in B take the first byte of every pair, L the second:
# so 48 and 64 bits are read in two passes that together give every byte.
_READERS: dict[int, tuple[str, tuple[str, ...]]] = {
    1: ("1", ("1",)),
    2: ("P", ("P;2",)),
    4: ("P", ("P;4",)),
    8: ("L", ("L",)),
    16: ("LA", ("LA",)),
    24: ("RGB", ("RGB",)),
    32: ("RGBA", ("RGBA",)),
    48: ("RGB", ("RGB;16B", "RGB;16L")),
    64: ("RGBA", ("RGBA;16B", "RGBA;16L")),
}
# x start, y start, x step, y step of the passes (PNG specification 8.2).
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_COMPRESSION_LEVEL = 5  # 6 takes twice as long for files 1 to 2 % smaller
_PALETTE = 3


def read_samples(header: PngHeader, stream: bytes) -> NDArray[Any]:
    """Decodes the pixels.

    Args:
        header: of the file.
        stream: content of all IDAT chunks, joined.

    Returns:
        uint8 or (16 bits) uint16, (H, W) for one channel, else (H, W, C); samples below 8 bits as stored
        (0..2**depth - 1), palette indices likewise.

    Raises:
        DecodeError: the stream is damaged or ends early.
    """
    mode, raw_modes = _READERS[header.bits_per_pixel]
    passes = [_read_pass(header, stream, mode, raw) for raw in raw_modes]
    if len(passes) == 2:  # high bytes, low bytes
        return (passes[0].astype(np.uint16) << 8) | passes[1]
    samples = passes[0].astype(np.uint8)
    if header.depth < 16:
        return samples
    pairs = samples.reshape(header.height, header.width, CHANNELS[header.colour_type], 2)
    wide = (pairs[..., 0].astype(np.uint16) << 8) | pairs[..., 1]
    return wide[..., 0] if wide.shape[2] == 1 else wide


def _read_pass(header: PngHeader, stream: bytes, mode: str, raw_mode: str) -> NDArray[Any]:
    end = Chunk(b"IEND", b"").to_bytes()
    bare = SIGNATURE + header.to_chunk().to_bytes() + Chunk(b"IDAT", stream).to_bytes() + end
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with PillowImage.open(io.BytesIO(bare), formats=["PNG"]) as picture:
                picture._mode = mode
                tile = picture.tile[0]  # type: ignore[attr-defined]
                picture.tile = [ImageFile._Tile(tile.codec_name, tile.extents, tile.offset, raw_mode)]  # type: ignore[attr-defined]
                return np.array(picture)
        except (OSError, ValueError, SyntaxError, zlib.error) as error:
            raise DecodeError(f"the PNG's pixels cannot be decoded: {error}") from error


def write_samples(header: PngHeader, samples: NDArray[Any]) -> bytes:
    """The inverse of `read_samples`: filters and compresses.

    Args:
        header: of the file to write; decides on depth and interlacing.
        samples: as `read_samples` returns them.

    Returns:
        The zlib stream for IDAT.
    """
    if header.depth == 8 and header.colour_type != _PALETTE and not header.interlaced:
        return _write_by_pillow(samples)
    packer = zlib.compressobj(_COMPRESSION_LEVEL)
    packed = [packer.compress(_filter(part, header).tobytes()) for part in _passes(header, samples)]
    return b"".join([*packed, packer.flush()])


def _write_by_pillow(samples: NDArray[Any]) -> bytes:
    """The common kind in C: several times faster than filtering here."""
    buffer = io.BytesIO()
    PillowImage.fromarray(samples).save(buffer, "PNG", compress_level=_COMPRESSION_LEVEL)
    return b"".join(chunk.content for chunk in split_chunks(buffer.getvalue()) if chunk.name == b"IDAT")


def _passes(header: PngHeader, samples: NDArray[Any]) -> Iterator[NDArray[Any]]:
    if not header.interlaced:
        yield samples
        return
    for x_start, y_start, x_step, y_step in ADAM7:
        part = samples[y_start::y_step, x_start::x_step]
        if part.size:
            yield part


def _filter(samples: NDArray[Any], header: PngHeader) -> NDArray[np.uint8]:
    """Scanlines, each with its filter byte; the filter with the least sum of absolute differences wins."""
    rows = _to_bytes(samples, header)
    if header.depth < 8 or header.colour_type == _PALETTE:  # the specification advises against filters here (12.7)
        return np.pad(rows, ((0, 0), (1, 0)))
    above = np.zeros_like(rows)
    above[1:] = rows[:-1]
    distance = header.bits_per_pixel // 8
    left, corner = _shift(rows, distance), _shift(above, distance)
    best = np.pad(rows, ((0, 0), (1, 0)))
    best_cost = _cost(rows)
    for kind in (1, 2, 3, 4):
        filtered = rows - _predict(kind, left, above, corner)
        cost = _cost(filtered)
        better = cost < best_cost
        best[better, 0], best[better, 1:] = kind, filtered[better]
        best_cost = np.minimum(cost, best_cost)
    return best


def _predict(
    kind: int, left: NDArray[np.uint8], above: NDArray[np.uint8], corner: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    if kind == 1:
        return left
    if kind == 2:
        return above
    if kind == 3:
        return ((left.astype(np.uint16) + above) >> 1).astype(np.uint8)
    return _paeth(left.astype(np.int16), above.astype(np.int16), corner.astype(np.int16))


def _paeth(left: NDArray[np.int16], above: NDArray[np.int16], corner: NDArray[np.int16]) -> NDArray[np.uint8]:
    to_left, to_above = np.abs(above - corner), np.abs(left - corner)
    to_corner = np.abs(left + above - 2 * corner)
    take_left = (to_left <= to_above) & (to_left <= to_corner)
    return np.where(take_left, left, np.where(to_above <= to_corner, above, corner)).astype(np.uint8)


def _cost(filtered: NDArray[np.uint8]) -> NDArray[np.int64]:
    return np.abs(filtered.view(np.int8).astype(np.int16)).sum(axis=1, dtype=np.int64)


def _shift(rows: NDArray[np.uint8], distance: int) -> NDArray[np.uint8]:
    shifted = np.zeros_like(rows)
    shifted[:, distance:] = rows[:, :-distance]
    return shifted


def _to_bytes(samples: NDArray[Any], header: PngHeader) -> NDArray[np.uint8]:
    if header.depth < 8:
        return pack_bits(samples, header.depth)
    wide = samples.astype(">u2") if header.depth == 16 else samples
    return np.ascontiguousarray(wide).view(np.uint8).reshape(samples.shape[0], -1)


