"""Splits a PNG into its chunks and checks them (PNG specification, third edition, 5)."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from cleanplate.errors import DecodeError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_MAX_METADATA_BYTES = 64 * 1024 * 1024  # an ICC profile or text chunk may be a decompression bomb


@dataclass(frozen=True)
class Chunk:
    """One chunk: four-letter name and content."""

    name: bytes
    content: bytes

    def to_bytes(self) -> bytes:
        """Length, name, content and CRC."""
        crc = zlib.crc32(self.content, zlib.crc32(self.name))
        return struct.pack(">I", len(self.content)) + self.name + self.content + struct.pack(">I", crc)


@dataclass(frozen=True)
class PngHeader:
    """IHDR: size, bits of a sample, colour type, Adam7 or not."""

    width: int
    height: int
    depth: int
    colour_type: int
    interlaced: bool

    @property
    def bits_per_pixel(self) -> int:
        """Bits of one pixel in the scanlines."""
        return self.depth * CHANNELS[self.colour_type]

    def to_chunk(self) -> Chunk:
        """The IHDR chunk."""
        values = self.width, self.height, self.depth, self.colour_type, 0, 0, int(self.interlaced)
        return Chunk(b"IHDR", struct.pack(">IIBBBBB", *values))


def parse_header(data: bytes) -> PngHeader:
    """Reads IHDR.

    Raises:
        DecodeError: it is missing, damaged or against the specification.
    """
    if len(data) < 33 or data[12:16] != b"IHDR":
        raise DecodeError("the PNG is cut off or damaged: it does not begin with an IHDR chunk")
    width, height, depth, colour, compression, filtering, interlace = struct.unpack(">IIBBBBB", data[16:29])
    if zlib.crc32(data[12:29]) != int.from_bytes(data[29:33], "big"):
        raise DecodeError("the PNG is damaged: the checksum (CRC) of its IHDR chunk is wrong")
    if colour not in DEPTHS or depth not in DEPTHS[colour]:
        raise DecodeError(f"the PNG is invalid: no colour type {colour} with {depth} bits exists")
    if compression or filtering or interlace > 1:
        raise DecodeError("the PNG is invalid: unknown compression, filter or interlace method in IHDR")
    return PngHeader(width, height, depth, colour, interlace == 1)


def split_chunks(data: bytes) -> list[Chunk]:
    """All chunks up to IEND.

    Raises:
        DecodeError: a checksum is wrong, or the file ends before IEND.
    """
    chunks: list[Chunk] = []
    position = len(SIGNATURE)
    while not chunks or chunks[-1].name != b"IEND":
        if position + 12 > len(data):
            raise DecodeError(f"the PNG is cut off: it ends after {len(data)} bytes without an IEND chunk")
        length = int.from_bytes(data[position : position + 4], "big")
        name = data[position + 4 : position + 8]
        end = position + 12 + length
        if not name.isalpha():
            raise DecodeError(f"the PNG is damaged: there is no chunk name at byte {position + 4}")
        if end > len(data):
            raise DecodeError(f"the PNG is cut off: chunk {name.decode()} at byte {position} reaches past its end")
        if zlib.crc32(data[position + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            where = f"chunk {name.decode()} at byte {position}"
            raise DecodeError(f"the PNG is damaged: the checksum (CRC) of {where} is wrong")
        chunks.append(Chunk(name, data[position + 8 : end - 4]))
        position = end
    return chunks


def find(chunks: list[Chunk], name: bytes) -> bytes | None:
    """Content of the first chunk of a name."""
    return next((chunk.content for chunk in chunks if chunk.name == name), None)


def icc_profile(chunks: list[Chunk]) -> bytes | None:
    """The profile in iCCP; None where there is none, or where it does not unpack."""
    content = find(chunks, b"iCCP")
    if content is None:
        return None
    _, _, rest = content.partition(b"\0")
    return inflate(rest[1:])


def xmp_packet(chunks: list[Chunk]) -> bytes | None:
    """The packet in an iTXt chunk with the keyword of the XMP specification, part 3."""
    for chunk in chunks:
        if chunk.name == b"iTXt" and chunk.content.startswith(b"XML:com.adobe.xmp\0"):
            is_compressed = chunk.content[18:19] == b"\1"
            text = chunk.content[20:].split(b"\0", 2)[-1]
            return inflate(text) if is_compressed else text
    return None


def inflate(packed: bytes) -> bytes | None:
    """Unpacks metadata; None where it is damaged or would unpack to more than 64 MiB."""
    worker = zlib.decompressobj()
    try:
        unpacked = worker.decompress(packed, _MAX_METADATA_BYTES)
    except zlib.error:
        return None
    return unpacked if worker.eof else None
