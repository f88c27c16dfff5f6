"""WebP: results are written lossless, so that no pixel outside an edit moves; metadata chunks stay as they are."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from cleanplate.codec.base import Header
from cleanplate.codec.metadata import summarise_exif
from cleanplate.codec.samples import paint, resized
from cleanplate.errors import DecodeError, RefusedError
from cleanplate.image import Carried, Image

FORMAT = "WEBP"
MEDIA_TYPE = "image/webp"

_PIXEL_CHUNKS = (b"VP8 ", b"VP8L", b"ALPH", b"VP8X")
_ICC_FLAG, _ALPHA_FLAG, _EXIF_FLAG, _XMP_FLAG, _ANIMATION_FLAG = 0x20, 0x10, 0x08, 0x04, 0x02
_FLAGS = {b"ICCP": _ICC_FLAG, b"EXIF": _EXIF_FLAG, b"XMP ": _XMP_FLAG}
_LONGEST_SIDE = 16_383
_EFFORT = 20  # 0..100 in lossless coding: 75 takes four times as long for files 0.1 % smaller


def read_header(data: bytes) -> Header:
    """See `base.Container`."""
    chunks = _chunks(data)
    _check_still(chunks)
    width, height = _size(chunks)
    return Header(width, height, summarise_exif(_exif(chunks)).orientation)


def decode(data: bytes) -> tuple[NDArray[np.uint8], Carried]:
    """See `base.Container`."""
    chunks = _chunks(data)
    _check_still(chunks)
    native = _decode_pixels(data)
    exif = _exif(chunks)
    summary = summarise_exif(exif)
    is_lossless = b"VP8L" in chunks
    details: dict[str, object] = {
        "lossless": is_lossless,
        "chunks": tuple(name.decode("latin-1") for name in chunks),
        "when_edited": "" if is_lossless else "written as lossless WebP: lossy coding would move pixels everywhere",
    }
    carried = Carried(
        format=FORMAT,
        media_type=MEDIA_TYPE,
        mode="RGBA" if native.shape[2] == 4 else "RGB",
        orientation=summary.orientation,
        icc=chunks.get(b"ICCP"),
        exif=exif,
        xmp=chunks.get(b"XMP "),
        dpi=summary.dpi,
        details=details,
    )
    return native, carried


def encode(image: Image, rgb: NDArray[np.uint8], changed: NDArray[np.bool_]) -> bytes:
    """See `base.Container`."""
    native = paint(image.native, rgb, changed)
    buffer = io.BytesIO()
    PillowImage.fromarray(native).save(buffer, "WEBP", lossless=True, exact=True, quality=_EFFORT)
    if b"VP8L" not in _chunks(buffer.getvalue()):
        raise RefusedError("libwebp wrote no lossless picture: the WebP is not edited")
    return _assemble(native, buffer.getvalue(), image.data)


def is_lossy(image: Image) -> bool:
    """See `base.Container`."""
    return not image.carried.details["lossless"]


def rewrite(image: Image, rgb: NDArray[np.uint8], jpeg_quality: int) -> bytes:
    """See `base.Container`."""
    if max(rgb.shape[:2]) > _LONGEST_SIDE:
        raise RefusedError(f"WebP holds no picture of {rgb.shape[1]} x {rgb.shape[0]} pixels: ask for a smaller factor")
    samples = resized(image.native, rgb)
    coding = {"quality": jpeg_quality} if is_lossy(image) else {"lossless": True, "exact": True, "quality": _EFFORT}
    buffer = io.BytesIO()
    PillowImage.fromarray(np.ascontiguousarray(samples)).save(buffer, "WEBP", **coding)
    return _assemble(samples, buffer.getvalue(), image.data)


def _assemble(native: NDArray[np.uint8], written: bytes, source: bytes) -> bytes:
    """The container (RFC 9649, 2.7): VP8X and ICCP first, then the picture, EXIF, XMP and unknown chunks."""
    height, width = native.shape[:2]
    pixels = {name: content for name, content in _chunks(written).items() if name in _PIXEL_CHUNKS[:3]}
    carried = {name: content for name, content in _chunks(source).items() if name not in _PIXEL_CHUNKS}
    flags = sum(bit for name, bit in _FLAGS.items() if name in carried)
    flags |= _ALPHA_FLAG if native.shape[2] == 4 else 0
    body = b""
    if carried or b"ALPH" in pixels:
        body = _chunk(b"VP8X", struct.pack("<I", flags) + _three(width - 1) + _three(height - 1))
    if b"ICCP" in carried:
        body += _chunk(b"ICCP", carried[b"ICCP"])
    body += b"".join(_chunk(name, pixels[name]) for name in (b"ALPH", b"VP8 ", b"VP8L") if name in pixels)
    body += b"".join(_chunk(name, content) for name, content in carried.items() if name != b"ICCP")
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def _three(value: int) -> bytes:
    return value.to_bytes(3, "little")


def _chunks(data: bytes) -> dict[bytes, bytes]:
    return dict(_iterate(data))


def _iterate(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    end = min(len(data), 8 + int.from_bytes(data[4:8], "little"))
    if 8 + int.from_bytes(data[4:8], "little") > len(data):
        raise DecodeError(f"the WebP is cut off: it has {len(data)} bytes, its header says more")
    position = 12
    while position + 8 <= end:
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        if position + 8 + length > len(data):
            raise DecodeError(f"the WebP is cut off or damaged: the chunk at byte {position} reaches past its end")
        yield data[position : position + 4], data[position + 8 : position + 8 + length]
        position += 8 + length + length % 2


def _check_still(chunks: dict[bytes, bytes]) -> None:
    flags = chunks.get(b"VP8X", b"\0")[:1]
    if b"ANIM" in chunks or b"ANMF" in chunks or (flags and flags[0] & _ANIMATION_FLAG):
        raise RefusedError("the WebP is an animation; only still pictures are edited")


def _size(chunks: dict[bytes, bytes]) -> tuple[int, int]:
    """Width and height of the picture chunk, from its own header (RFC 6386, 9.1; RFC 9649, 3.4)."""
    lossless, lossy = chunks.get(b"VP8L", b""), chunks.get(b"VP8 ", b"")
    if len(lossless) >= 5 and lossless[0] == 0x2F:
        bits = int.from_bytes(lossless[1:5], "little")
        return _at_least_canvas(chunks, (bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1)
    if len(lossy) >= 10 and lossy[3:6] == b"\x9d\x01\x2a":
        width, height = struct.unpack("<HH", lossy[6:10])
        return _at_least_canvas(chunks, width & 0x3FFF, height & 0x3FFF)
    raise DecodeError("the WebP holds no picture (VP8 or VP8L chunk), or its header is damaged")


def _at_least_canvas(chunks: dict[bytes, bytes], width: int, height: int) -> tuple[int, int]:
    """A decoder allocates the canvas that VP8X declares, however small the picture is."""
    extended = chunks.get(b"VP8X", b"")
    if len(extended) < 10 or not width or not height:
        return width, height
    canvas = int.from_bytes(extended[4:7], "little") + 1, int.from_bytes(extended[7:10], "little") + 1
    return max(width, canvas[0]), max(height, canvas[1])


def _exif(chunks: dict[bytes, bytes]) -> bytes | None:
    raw = chunks.get(b"EXIF")
    return raw.removeprefix(b"Exif\0\0") if raw else None


def _decode_pixels(data: bytes) -> NDArray[np.uint8]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with PillowImage.open(io.BytesIO(data), formats=["WEBP"]) as picture:
                return np.array(picture if picture.mode in ("RGB", "RGBA") else picture.convert("RGB"))
        except (OSError, ValueError, SyntaxError) as error:
            raise DecodeError(f"the WebP cannot be decoded: {error}") from error
