"""Splits a JPEG into its marker segments (ITU-T T.81, annex B)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from cleanplate.errors import DecodeError, RefusedError

SOI, EOI, SOS, DQT, DRI, COM, APP0, APP1, APP2, APP14 = 0xD8, 0xD9, 0xDA, 0xDB, 0xDD, 0xFE, 0xE0, 0xE1, 0xE2, 0xEE
PROCESSES = {
    0xC0: "baseline", 0xC1: "extended", 0xC2: "progressive", 0xC9: "arithmetic", 0xCA: "arithmetic progressive",
}  # fmt: skip
_UNSUPPORTED = {
    0xC3: "lossless", 0xC5: "hierarchical", 0xC6: "hierarchical", 0xC7: "hierarchical", 0xCB: "lossless arithmetic",
    0xCD: "hierarchical", 0xCE: "hierarchical", 0xCF: "hierarchical", 0xF7: "JPEG-LS",
}  # fmt: skip
_STANDALONE = {0x01, *range(0xD0, 0xD8)}

# Place (row * 8 + column) of the n-th step of a table in the file: along the antidiagonals, turning at every end.
_ZIGZAG = sorted(range(64), key=lambda p: (p // 8 + p % 8, p // 8 if (p // 8 + p % 8) % 2 else p % 8))


@dataclass(frozen=True)
class Segment:
    """One marker segment: marker code, payload after the length field, and where it starts and ends in the file."""

    marker: int
    payload: bytes
    start: int
    end: int

    @property
    def is_metadata(self) -> bool:
        """Whether it is an application segment or a comment."""
        return self.marker == COM or 0xE0 <= self.marker <= 0xEF


@dataclass(frozen=True)
class Component:
    """One colour component of the frame: identifier, sampling factors, quantisation table."""

    identifier: int
    horizontal: int
    vertical: int
    table: int


@dataclass(frozen=True)
class Frame:
    """The start-of-frame segment."""

    process: str
    precision_bits: int
    width: int
    height: int
    components: tuple[Component, ...]


def split_header(data: bytes) -> list[Segment]:
    """Marker segments before the first scan; the last one is its SOS.

    Raises:
        DecodeError: the file is damaged or ends first.
    """
    segments: list[Segment] = []
    position = 2
    while not segments or segments[-1].marker != SOS:
        segment = _next_segment(data, position)
        if segment.marker == EOI:
            raise DecodeError("the JPEG ends (EOI) before its first scan: there are no pixels")
        segments.append(segment)
        position = segment.end
    return segments


def split_scans(data: bytes, position: int) -> tuple[list[Segment], int]:
    """Walks over entropy-coded data from the first scan on.

    Args:
        data: the file.
        position: end of the first SOS segment.

    Returns:
        The segments between scans, and the offset after EOI.

    Raises:
        DecodeError: there is no EOI: the file was cut off.
    """
    between: list[Segment] = []
    while True:
        position = _skip_entropy(data, position)
        segment = _next_segment(data, position)
        if segment.marker == EOI:
            return between, segment.end
        between.append(segment)
        position = segment.end


def read_frame(segments: list[Segment]) -> Frame:
    """Finds the start of frame.

    Raises:
        DecodeError: there is none, or it is damaged.
        RefusedError: a coding process that is not read.
    """
    for segment in segments:
        if segment.marker in _UNSUPPORTED:
            raise RefusedError(f"{_UNSUPPORTED[segment.marker]} JPEG is not supported for editing")
        if segment.marker in PROCESSES:
            return _parse_frame(segment)
    raise DecodeError("the JPEG has no start of frame (SOF) before its first scan")


def read_tables(segments: list[Segment]) -> dict[int, tuple[int, ...]]:
    """Quantisation tables by identifier: 64 steps each, row by row from the DC step on (not in zigzag order).

    A table that is cut off counts as none; of several with one identifier the last counts.
    """
    tables: dict[int, tuple[int, ...]] = {}
    for payload in (segment.payload for segment in segments if segment.marker == DQT):
        position = 0
        while position < len(payload):
            wide, identifier = payload[position] >> 4, payload[position] & 15
            end = position + 1 + (128 if wide else 64)
            if wide > 1 or end > len(payload):
                break
            zigzag = struct.unpack(">64H" if wide else "64B", payload[position + 1 : end])
            tables[identifier] = tuple(zigzag[_ZIGZAG.index(place)] for place in range(64))
            position = end
    return tables


def restart_interval(segments: list[Segment]) -> int:
    """MCUs between restart markers, 0 for none."""
    found = [s.payload for s in segments if s.marker == DRI and len(s.payload) >= 2]
    return int.from_bytes(found[-1][:2], "big") if found else 0


def _parse_frame(segment: Segment) -> Frame:
    try:
        precision, height, width, count = struct.unpack_from(">BHHB", segment.payload)
        raw = [struct.unpack_from(">BBB", segment.payload, 6 + 3 * i) for i in range(count)]
    except struct.error:
        raise DecodeError(f"the JPEG's start of frame at byte {segment.start} is too short") from None
    components = tuple(Component(number, factors >> 4, factors & 15, table) for number, factors, table in raw)
    if not components or any(not 1 <= f <= 4 for c in components for f in (c.horizontal, c.vertical)):
        raise DecodeError(f"the JPEG's start of frame at byte {segment.start} has impossible sampling factors")
    return Frame(PROCESSES[segment.marker], precision, width, height, components)


def _next_segment(data: bytes, position: int) -> Segment:
    start = data.find(b"\xff", position)
    code_at = start
    while 0 <= code_at < len(data) and data[code_at] == 0xFF:  # any number of fill bytes
        code_at += 1
    if start < 0 or code_at >= len(data):
        raise DecodeError(f"the JPEG is cut off: it ends after {len(data)} bytes without an end marker (EOI)")
    marker = data[code_at]
    if marker == EOI or marker in _STANDALONE:
        return Segment(marker, b"", start, code_at + 1)
    length = int.from_bytes(data[code_at + 1 : code_at + 3], "big")
    end = code_at + 1 + length
    if length < 2 or end > len(data):
        raise DecodeError(f"the JPEG is cut off or damaged: marker {marker:02X} at byte {start} reaches past its end")
    return Segment(marker, data[code_at + 3 : end], start, end)


def _skip_entropy(data: bytes, position: int) -> int:
    while True:
        position = data.find(b"\xff", position)
        if position < 0 or position + 1 >= len(data):
            raise DecodeError(f"the JPEG is cut off: it ends after {len(data)} bytes without an end marker (EOI)")
        following = data[position + 1]
        if following == 0 or 0xD0 <= following <= 0xD7:  # a stuffed byte, a restart marker
            position += 2
        elif following == 0xFF:
            position += 1
        else:
            return position
