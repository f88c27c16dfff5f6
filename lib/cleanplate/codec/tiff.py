"""TIFF: only the strips that an edit reaches are packed anew; every other byte and tag of the file stays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cleanplate.codec import tiff_structure as tags
from cleanplate.codec.base import Header
from cleanplate.codec.metadata import CM_PER_INCH
from cleanplate.codec.samples import paint, resized, scale_to_eight, to_eight_bit, unpack_bits
from cleanplate.codec.tiff_layout import BLACK_IS_ZERO, PALETTE, RGB, WHITE_IS_ZERO, Cell, Layout, read_layout
from cleanplate.codec.tiff_segments import (
    DEFLATE,
    NAMES,
    apply_predictor,
    pack,
    undo_predictor,
    unpack,
)
from cleanplate.errors import DecodeError
from cleanplate.image import Carried, Image

FORMAT = "TIFF"
MEDIA_TYPE = "image/tiff"

_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_ROWS_PER_STRIP = 64
_MEANINGLESS_AFTER_REWRITE = (
    tags.COLOUR_MAP, tags.FILL_ORDER, tags.T4_OPTIONS, tags.T6_OPTIONS,
    tags.TILE_WIDTH, tags.TILE_HEIGHT, tags.TILE_OFFSETS, tags.TILE_BYTES,
)  # fmt: skip


def read_header(data: bytes) -> Header:
    """See `base.Container`."""
    directory = tags.read_directory(data)
    layout = read_layout(directory)
    return Header(layout.width, layout.height, _orientation(directory))


def decode(data: bytes) -> tuple[NDArray[Any], Carried]:
    """See `base.Container`."""
    directory = tags.read_directory(data)
    layout = read_layout(directory)
    native = _to_native(_read_samples(data, layout), layout, directory)
    mode = "P" if layout.photometric == PALETTE else _MODES[layout.channels]
    is_rewritten = layout.photometric == PALETTE or layout.bits < 8
    details: dict[str, object] = {
        "compression": NAMES[layout.packing.compression],
        "predictor": layout.packing.predictor,
        "photometric": layout.photometric,
        "planar": layout.is_planar,
        "tiled": layout.is_tiled,
        "tags": tuple(sorted(directory.entries)),
        "when_edited": "written as 8-bit grey or RGB with deflate" if is_rewritten else "",
    }
    carried = Carried(
        format=FORMAT,
        media_type=MEDIA_TYPE,
        mode="I;16" if (layout.bits, layout.channels) == (16, 1) else mode,
        bit_depth=layout.bits,
        orientation=_orientation(directory),
        icc=directory.content(tags.ICC),
        xmp=directory.content(tags.XMP),
        dpi=_dpi(directory),
        details=details,
    )
    return native, carried


def encode(image: Image, rgb: NDArray[np.uint8], changed: NDArray[np.bool_]) -> bytes:
    """See `base.Container`."""
    directory = tags.read_directory(image.data)
    layout = read_layout(directory)
    native = paint(image.native, rgb, changed)
    if layout.photometric == PALETTE or layout.bits < 8:
        return _rewrite(image.data, directory, layout, native)
    samples = native if native.ndim == 3 else native[..., None]
    stored = _invert(samples) if layout.photometric == WHITE_IS_ZERO else samples
    return _patch(image.data, directory, layout, stored, changed)


def is_lossy(image: Image) -> bool:
    """See `base.Container`."""
    return False


def rewrite(image: Image, rgb: NDArray[np.uint8], jpeg_quality: int) -> bytes:
    """See `base.Container`; samples become 8 bits, packed with deflate."""
    directory = tags.read_directory(image.data)
    samples = to_eight_bit(resized(image.native, rgb))
    return _rewrite(image.data, directory, read_layout(directory), samples)


def _orientation(directory: tags.Directory) -> int:
    value = directory.number(tags.ORIENTATION, 1)
    return value if 1 <= value <= 8 else 1


def _dpi(directory: tags.Directory) -> tuple[float, float] | None:
    horizontal, vertical = directory.ratio(tags.X_RESOLUTION), directory.ratio(tags.Y_RESOLUTION)
    unit = directory.number(tags.RESOLUTION_UNIT, 2)
    if horizontal is None or vertical is None or unit not in (2, 3):
        return None
    scale = CM_PER_INCH if unit == 3 else 1.0
    return horizontal * scale, vertical * scale


def _read_samples(data: bytes, layout: Layout) -> NDArray[Any]:
    """Samples as stored: (H, W, C)."""
    dtype = np.uint16 if layout.bits == 16 else np.uint8
    samples = np.zeros((layout.height, layout.width, layout.channels), dtype)
    for cell in layout.cells():
        part = _read_cell(data, layout, cell)
        area = samples[cell.top : cell.top + cell.rows, cell.left : cell.left + cell.columns]
        target = area[..., cell.plane : cell.plane + 1] if layout.is_planar else area
        target[:] = part[: area.shape[0], : area.shape[1]]
    return samples


def _read_cell(data: bytes, layout: Layout, cell: Cell) -> NDArray[Any]:
    offset, size = layout.offsets[cell.index], layout.sizes[cell.index]
    if offset + size > len(data):
        raise DecodeError(f"the TIFF is cut off: strip {cell.index} at byte {offset} reaches past its end")
    channels = 1 if layout.is_planar else layout.channels
    raw = unpack(data[offset : offset + size], cell.rows, cell.columns * channels * layout.bits, layout.packing)
    if layout.bits < 8:
        return unpack_bits(raw, cell.columns, layout.bits)[..., None]
    wide = raw.view(layout.packing.order + "u2").astype(np.uint16) if layout.bits == 16 else raw
    return undo_predictor(wide.reshape(cell.rows, cell.columns, channels), layout.packing)


def _to_native(samples: NDArray[Any], layout: Layout, directory: tags.Directory) -> NDArray[Any]:
    if layout.photometric == PALETTE:
        return _colours(directory, layout)[samples[..., 0]]
    if layout.bits < 8:
        samples = scale_to_eight(samples, 2**layout.bits - 1)
    if layout.photometric == WHITE_IS_ZERO:
        samples = _invert(samples)
    return samples[..., 0] if layout.channels == 1 else samples


def _invert(samples: NDArray[Any]) -> NDArray[Any]:
    inverted = samples.copy()
    inverted[..., 0] = np.iinfo(samples.dtype).max - samples[..., 0]
    return inverted


def _colours(directory: tags.Directory, layout: Layout) -> NDArray[np.uint8]:
    values = np.array(directory.numbers(tags.COLOUR_MAP), dtype=np.uint16)
    if len(values) != 3 * 2**layout.bits:
        raise DecodeError(f"the TIFF is damaged: its palette has {len(values)} values, not {3 * 2**layout.bits}")
    # TIFF 6.0 states 16-bit entries; writers that put 8-bit ones there are common enough to be told by their size.
    eight = values if values.max() < 256 else values >> 8
    return np.ascontiguousarray(eight.astype(np.uint8).reshape(3, -1).T)


def _patch(
    data: bytes, directory: tags.Directory, layout: Layout, stored: NDArray[Any], changed: NDArray[np.bool_]
) -> bytes:
    """Packs the touched strips anew: in place where they fit, else at the end; what they held before is erased."""
    result = bytearray(data)
    offsets, sizes = list(layout.offsets), list(layout.sizes)
    for cell in layout.cells():
        if not changed[cell.top : cell.top + cell.rows, cell.left : cell.left + cell.columns].any():
            continue
        packed = _pack_cell(data, layout, cell, stored)
        start, size = offsets[cell.index], sizes[cell.index]
        result[start : start + size] = b"\0" * size
        if len(packed) > size:
            result += b"\0" * (len(result) % 2)
            offsets[cell.index] = start = len(result)
        result[start : start + len(packed)] = packed
        sizes[cell.index] = len(packed)
    if (tuple(offsets), tuple(sizes)) != (layout.offsets, layout.sizes):
        tag_offsets, tag_sizes = (
            (tags.TILE_OFFSETS, tags.TILE_BYTES) if layout.is_tiled else (tags.STRIP_OFFSETS, tags.STRIP_BYTES)
        )
        kind = 16 if directory.is_big else tags.LONG
        changes = {tag: directory.make(tag, kind, tuple(v)) for tag, v in ((tag_offsets, offsets), (tag_sizes, sizes))}
        tags.append_directory(result, directory, dict(changes))
    return bytes(result)


def _pack_cell(data: bytes, layout: Layout, cell: Cell, stored: NDArray[Any]) -> bytes:
    part = stored[cell.top : cell.top + cell.rows, cell.left : cell.left + cell.columns]
    if layout.is_planar:
        part = part[..., cell.plane : cell.plane + 1]
    if part.shape[:2] != (cell.rows, cell.columns):  # a tile at the edge keeps its padding
        whole = _read_cell(data, layout, cell).copy()
        whole[: part.shape[0], : part.shape[1]] = part
        part = whole
    coded = apply_predictor(part, layout.packing)
    if layout.bits == 16:
        coded = coded.astype(layout.packing.order + "u2")
    return pack(np.ascontiguousarray(coded).view(np.uint8).reshape(cell.rows, -1), layout.packing)


def _rewrite(data: bytes, directory: tags.Directory, layout: Layout, native: NDArray[np.uint8]) -> bytes:
    """A file of 8-bit RGB or grey with deflate, of the samples' size; all other tags stay."""
    result = bytearray(data)
    for offset, size in zip(layout.offsets, layout.sizes, strict=False):
        result[offset : offset + size] = b"\0" * size
    packing = replace(layout.packing, compression=DEFLATE, predictor=2, is_reversed=False)
    samples = native if native.ndim == 3 else native[..., None]
    offsets, sizes = [], []
    for top in range(0, len(samples), _ROWS_PER_STRIP):
        coded = apply_predictor(samples[top : top + _ROWS_PER_STRIP], packing)
        packed = pack(np.ascontiguousarray(coded).reshape(coded.shape[0], -1), packing)
        result += b"\0" * (len(result) % 2)
        offsets.append(len(result))
        sizes.append(len(packed))
        result += packed
    channels = samples.shape[2]
    kind = 16 if directory.is_big else tags.LONG
    make = directory.make
    changes: dict[int, tags.Entry | None] = dict.fromkeys(_MEANINGLESS_AFTER_REWRITE)
    changes |= {
        tags.WIDTH: make(tags.WIDTH, tags.LONG, (samples.shape[1],)),
        tags.HEIGHT: make(tags.HEIGHT, tags.LONG, (samples.shape[0],)),
        tags.BITS: make(tags.BITS, tags.SHORT, (8,) * channels),
        tags.COMPRESSION: make(tags.COMPRESSION, tags.SHORT, (DEFLATE,)),
        tags.PHOTOMETRIC: make(tags.PHOTOMETRIC, tags.SHORT, (RGB if channels >= 3 else BLACK_IS_ZERO,)),
        tags.CHANNELS: make(tags.CHANNELS, tags.SHORT, (channels,)),
        tags.PREDICTOR: make(tags.PREDICTOR, tags.SHORT, (2,)),
        tags.PLANAR: make(tags.PLANAR, tags.SHORT, (1,)),
        tags.ROWS_PER_STRIP: make(tags.ROWS_PER_STRIP, tags.LONG, (_ROWS_PER_STRIP,)),
        tags.STRIP_OFFSETS: make(tags.STRIP_OFFSETS, kind, tuple(offsets)),
        tags.STRIP_BYTES: make(tags.STRIP_BYTES, kind, tuple(sizes)),
    }
    tags.append_directory(result, directory, changes)
    return bytes(result)
