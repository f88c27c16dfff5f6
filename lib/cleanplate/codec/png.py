"""PNG: all colour types and depths, every ancillary chunk carried byte for byte."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cleanplate.codec import palette as palettes
from cleanplate.codec.base import Header
from cleanplate.codec.metadata import summarise_exif
from cleanplate.codec.png_chunks import (
    SIGNATURE,
    Chunk,
    PngHeader,
    find,
    icc_profile,
    parse_header,
    split_chunks,
    xmp_packet,
)
from cleanplate.codec.png_scanlines import read_samples, write_samples
from cleanplate.codec.samples import paint, resized, scale_to_eight
from cleanplate.errors import DecodeError, RefusedError
from cleanplate.image import Carried, Image

FORMAT = "PNG"
MEDIA_TYPE = "image/png"

GREY, TRUECOLOUR, PALETTE, GREY_ALPHA, TRUECOLOUR_ALPHA = 0, 2, 3, 4, 6
_MODES = {GREY: "L", TRUECOLOUR: "RGB", PALETTE: "P", GREY_ALPHA: "LA", TRUECOLOUR_ALPHA: "RGBA"}
_ON_EDIT = "stays palette where it has room for the new colours, else truecolour"
_INCH_PER_METRE = 0.0254
# Chunks whose content counts palette entries or samples: they mean nothing after a change of colour type.
_BOUND_TO_PALETTE = (b"PLTE", b"tRNS", b"hIST", b"bKGD", b"sBIT")


def read_header(data: bytes) -> Header:
    """See `base.Container`."""
    header = parse_header(data)
    exif = find(split_chunks(data), b"eXIf")
    return Header(header.width, header.height, summarise_exif(exif).orientation)


def decode(data: bytes) -> tuple[NDArray[Any], Carried]:
    """See `base.Container`."""
    header, chunks = parse_header(data), split_chunks(data)
    _check_still(chunks)
    samples = read_samples(header, _stream(chunks))
    native = _expand(samples, header, chunks)
    exif = find(chunks, b"eXIf")
    summary = summarise_exif(exif)
    key = find(chunks, b"tRNS")
    details: dict[str, object] = {
        "colour_type": header.colour_type,
        "interlaced": header.interlaced,
        "chunks": tuple(chunk.name.decode() for chunk in chunks),
        "transparent_colour": key if header.colour_type in (GREY, TRUECOLOUR) else None,
        "when_edited": _ON_EDIT if header.colour_type == PALETTE else "",
    }
    carried = Carried(
        format=FORMAT,
        media_type=MEDIA_TYPE,
        mode="I;16" if (header.colour_type, header.depth) == (GREY, 16) else _MODES[header.colour_type],
        bit_depth=header.depth,
        orientation=summary.orientation,
        icc=icc_profile(chunks),
        exif=exif,
        xmp=xmp_packet(chunks),
        dpi=_dpi(chunks) or summary.dpi,
        details=details,
    )
    return native, carried


def encode(image: Image, rgb: NDArray[np.uint8], changed: NDArray[np.bool_]) -> bytes:
    """See `base.Container`."""
    header, chunks = parse_header(image.data), split_chunks(image.data)
    if header.colour_type == PALETTE:
        return _encode_palette(image, header, chunks, paint(image.native, rgb, changed))
    key = _transparent_key(header, chunks)
    if key is None:
        return _encode_direct(header, chunks, paint(image.native, rgb, changed))
    visible = changed & ~_matches(image.native, key)
    if not visible.any():
        return image.data
    painted = paint(image.native, rgb, visible)
    return _encode_direct(header, chunks, _avoid_key(painted, visible, key))


def is_lossy(image: Image) -> bool:
    """See `base.Container`."""
    return False


def rewrite(image: Image, rgb: NDArray[np.uint8], jpeg_quality: int) -> bytes:
    """See `base.Container`."""
    header, chunks = parse_header(image.data), split_chunks(image.data)
    if _transparent_key(header, chunks) is not None:
        raise RefusedError("the PNG has a transparent colour, which is no colour to interpolate: give it alpha instead")
    header = replace(header, width=rgb.shape[1], height=rgb.shape[0])
    samples = resized(image.native, rgb)
    if header.colour_type == PALETTE:
        return _encode_truecolour(header, chunks, samples)
    return _encode_direct(header, chunks, samples)


def _check_still(chunks: list[Chunk]) -> None:
    control = find(chunks, b"acTL")
    if control is not None and control[:4] != b"\0\0\0\1":
        raise RefusedError("the PNG is an animation (APNG); only still pictures are edited")


def _stream(chunks: list[Chunk]) -> bytes:
    stream = b"".join(chunk.content for chunk in chunks if chunk.name == b"IDAT")
    if not stream:
        raise DecodeError("the PNG holds no pixels: it has no IDAT chunk")
    return stream


def _expand(samples: NDArray[Any], header: PngHeader, chunks: list[Chunk]) -> NDArray[Any]:
    if header.colour_type == PALETTE:
        colours = _palette(chunks)
        if samples.max() >= len(colours):
            raise DecodeError(f"the PNG is invalid: pixel {samples.max()} of a palette with {len(colours)} colours")
        return colours[samples]
    return scale_to_eight(samples, 2**header.depth - 1) if header.depth < 8 else samples


def _palette(chunks: list[Chunk]) -> NDArray[np.uint8]:
    """uint8 (entries, 3), or (entries, 4) where the file gives the entries alpha."""
    content, alpha = find(chunks, b"PLTE"), find(chunks, b"tRNS")
    if not content or len(content) % 3 or len(content) > 768:
        raise DecodeError("the PNG is invalid: it needs a palette (PLTE) of 1 to 256 colours")
    colours = np.frombuffer(content, np.uint8).reshape(-1, 3)
    if alpha is None:
        return colours
    opacity = np.full((len(colours), 1), 255, np.uint8)
    opacity[: len(alpha), 0] = np.frombuffer(alpha, np.uint8)[: len(colours)]
    return np.concatenate([colours, opacity], axis=1)


def _dpi(chunks: list[Chunk]) -> tuple[float, float] | None:
    content = find(chunks, b"pHYs")
    if content is None or len(content) != 9 or content[8] != 1:
        return None
    horizontal, vertical = struct.unpack(">II", content[:8])
    return horizontal * _INCH_PER_METRE, vertical * _INCH_PER_METRE


def _transparent_key(header: PngHeader, chunks: list[Chunk]) -> NDArray[np.uint16] | None:
    content = find(chunks, b"tRNS")
    wanted = {GREY: 2, TRUECOLOUR: 6}.get(header.colour_type)
    if content is None or len(content) != wanted:
        return None
    key = np.frombuffer(content, ">u2").astype(np.uint16)
    return scale_to_eight(key, 2**header.depth - 1).astype(np.uint16) if header.depth < 8 else key


def _matches(native: NDArray[Any], key: NDArray[np.uint16]) -> NDArray[np.bool_]:
    return native == key[0] if native.ndim == 2 else (native == key).all(axis=2)


def _avoid_key(painted: NDArray[Any], visible: NDArray[np.bool_], key: NDArray[np.uint16]) -> NDArray[Any]:
    """An edited pixel must not become transparent by taking the transparent colour: it is moved by one level."""
    clash = visible & _matches(painted, key)
    last = painted if painted.ndim == 2 else painted[..., -1]
    last[clash] = key[-1] - 1 if key[-1] else key[-1] + 1
    return painted


def _encode_direct(header: PngHeader, chunks: list[Chunk], native: NDArray[Any]) -> bytes:
    if header.depth >= 8:
        return _assemble(header, chunks, write_samples(header, native))
    maximum = 2**header.depth - 1
    levels = scale_to_eight(np.arange(maximum + 1), maximum)
    if np.isin(native, levels).all():
        return _assemble(header, chunks, write_samples(header, (native // (255 // maximum)).astype(np.uint8)))
    wider = [_to_eight_bit_chunk(chunk, maximum) for chunk in chunks]
    header = replace(header, depth=8)
    return _assemble(header, wider, write_samples(header, native))


def _to_eight_bit_chunk(chunk: Chunk, maximum: int) -> Chunk:
    if chunk.name in (b"tRNS", b"bKGD") and len(chunk.content) == 2:
        value = int.from_bytes(chunk.content, "big") & maximum
        return Chunk(chunk.name, (value * (255 // maximum)).to_bytes(2, "big"))
    return chunk


def _encode_palette(image: Image, header: PngHeader, chunks: list[Chunk], native: NDArray[np.uint8]) -> bytes:
    colours = _palette(chunks)
    flat = native.reshape(-1, native.shape[2])
    larger = palettes.extend(colours, flat, 2**header.depth)
    if larger is None:
        return _encode_truecolour(header, chunks, native)
    indices = palettes.find_indices(flat, larger)
    if indices is None:
        raise RefusedError("the PNG's colours were not found in its palette: it is not edited")
    # Entries of equal colour: pixels that did not change keep their own index.
    old = read_samples(header, _stream(chunks))
    kept = (native == image.native).all(axis=2)
    samples = np.where(kept, old, indices.reshape(old.shape))
    updated = [_updated_palette(chunk, larger) for chunk in chunks]
    return _assemble(header, updated, write_samples(header, samples))


def _updated_palette(chunk: Chunk, colours: NDArray[np.uint8]) -> Chunk:
    if chunk.name == b"PLTE":
        return Chunk(b"PLTE", colours[:, :3].tobytes())
    if chunk.name == b"tRNS":
        opacity = colours[:, 3].tobytes()
        return Chunk(b"tRNS", opacity.rstrip(b"\xff") if len(opacity) > len(chunk.content) else chunk.content)
    return chunk


def _encode_truecolour(header: PngHeader, chunks: list[Chunk], native: NDArray[np.uint8]) -> bytes:
    kind = TRUECOLOUR if native.shape[2] == 3 else TRUECOLOUR_ALPHA
    header = replace(header, depth=8, colour_type=kind)
    colours = _palette(chunks)
    kept = []
    for chunk in chunks:
        if chunk.name == b"bKGD" and chunk.content and chunk.content[0] < len(colours):
            kept.append(Chunk(b"bKGD", colours[chunk.content[0], :3].astype(">u2").tobytes()))
        elif chunk.name not in _BOUND_TO_PALETTE:
            kept.append(chunk)
    return _assemble(header, kept, write_samples(header, native))


def _assemble(header: PngHeader, chunks: list[Chunk], stream: bytes) -> bytes:
    """All chunks in their order; the pixels take the place of the first IDAT."""
    parts = [SIGNATURE, header.to_chunk().to_bytes()]
    is_written = False
    for chunk in chunks:
        if chunk.name == b"IDAT":
            parts += [] if is_written else [Chunk(b"IDAT", stream).to_bytes()]
            is_written = True
        elif chunk.name != b"IHDR":
            parts.append(chunk.to_bytes())
    return b"".join(parts)
