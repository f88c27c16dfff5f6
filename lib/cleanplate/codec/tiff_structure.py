"""Reads a TIFF's directory of tags and appends a changed one (TIFF 6.0, section 2; BigTIFF)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

from cleanplate.errors import DecodeError

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER = 256, 257, 258, 259, 262, 266
STRIP_OFFSETS, ORIENTATION, CHANNELS, ROWS_PER_STRIP, STRIP_BYTES = 273, 274, 277, 278, 279
X_RESOLUTION, Y_RESOLUTION, PLANAR, RESOLUTION_UNIT, PREDICTOR, COLOUR_MAP = 282, 283, 284, 296, 317, 320
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_BYTES = 322, 323, 324, 325
T4_OPTIONS, T6_OPTIONS = 292, 293
SUB_DIRECTORIES, EXTRA_SAMPLES, SAMPLE_FORMAT, XMP, ICC = 330, 338, 339, 700, 34675

SHORT, LONG, RATIONAL = 3, 4, 5
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_CODES = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}


@dataclass(frozen=True)
class Entry:
    """One tag: number, type, count and value bytes in the file's byte order; `inline` is the raw value field."""

    tag: int
    kind: int
    count: int
    value: bytes
    inline: bytes


@dataclass(frozen=True)
class Directory:
    """The file's only directory.

    Attributes:
        order: struct prefix of the byte order, "<" or ">".
        is_big: whether it is a BigTIFF.
        entries: by tag number.
        following: offset of the next directory, 0 for none.
        start: offset of the directory.
        end: offset behind it.
    """

    order: str
    is_big: bool
    entries: dict[int, Entry]
    following: int
    start: int
    end: int

    def numbers(self, tag: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """Whole-number values of a tag.

        Raises:
            DecodeError: the tag holds no whole numbers.
        """
        entry = self.entries.get(tag)
        if entry is None:
            return default
        if entry.kind not in _CODES:
            raise DecodeError(f"the TIFF is damaged: tag {tag} has type {entry.kind}, not whole numbers")
        return struct.unpack(f"{self.order}{entry.count}{_CODES[entry.kind]}", entry.value)

    def number(self, tag: int, default: int) -> int:
        """First value of a tag."""
        return (self.numbers(tag) or (default,))[0]

    def ratio(self, tag: int) -> float | None:
        """A RATIONAL's value."""
        entry = self.entries.get(tag)
        if entry is None or entry.kind != RATIONAL or entry.count < 1:
            return None
        numerator, denominator = struct.unpack(self.order + "II", entry.value[:8])
        return numerator / denominator if denominator else None

    def content(self, tag: int) -> bytes | None:
        """Raw value bytes."""
        entry = self.entries.get(tag)
        return entry.value if entry and entry.value else None

    def make(self, tag: int, kind: int, values: tuple[int, ...]) -> Entry:
        """A new entry of whole numbers."""
        value = struct.pack(f"{self.order}{len(values)}{_CODES[kind]}", *values)
        return Entry(tag, kind, len(values), value, b"")


def read_directory(data: bytes) -> Directory:
    """Reads the first directory.

    Raises:
        DecodeError: it is damaged or reaches past the end of the file.
    """
    order = "<" if data[:2] == b"II" else ">"
    try:
        (version,) = struct.unpack_from(order + "H", data, 2)
        return _read(data, order, version == 43)
    except struct.error:
        raise DecodeError("the TIFF is cut off or damaged: its directory reaches past its end") from None


def _read(data: bytes, order: str, is_big: bool) -> Directory:
    (start,) = struct.unpack_from(order + ("Q" if is_big else "I"), data, 8 if is_big else 4)
    count_code, size, field = ("Q", 20, 8) if is_big else ("H", 12, 4)
    (count,) = struct.unpack_from(order + count_code, data, start)
    first = start + struct.calcsize(order + count_code)
    if first + count * size > len(data):
        raise DecodeError("the TIFF is cut off or damaged: its directory reaches past its end")
    entries: dict[int, Entry] = {}
    for index in range(count):
        entry = _read_entry(data, order, first + index * size, field)
        entries.setdefault(entry.tag, entry)
    end = first + count * size
    following = data[end : end + field]  # some writers leave the last pointer out
    return Directory(order, is_big, entries, int.from_bytes(following, _endian(order)), start, end + len(following))


def _read_entry(data: bytes, order: str, at: int, field: int) -> Entry:
    tag, kind, count = struct.unpack_from(order + "HH" + ("Q" if field == 8 else "I"), data, at)
    value_at = at + 4 + field
    inline = data[value_at : value_at + field]
    length = _SIZES.get(kind, 0) * count
    if length <= field:
        return Entry(tag, kind, count, inline[:length], inline)
    offset = int.from_bytes(inline, _endian(order))
    if offset + length > len(data):
        raise DecodeError(f"the TIFF is cut off or damaged: the value of tag {tag} reaches past its end")
    return Entry(tag, kind, count, data[offset : offset + length], inline)


def append_directory(data: bytearray, directory: Directory, changes: dict[int, Entry | None]) -> None:
    """Writes a directory with changed entries at the end of the file and points the header at it.

    All other entries keep their value fields, so that values elsewhere in the file (also those of private tags, and
    directories that they point at) stay where they are.

    Args:
        data: the file; changed in place.
        directory: as read from it.
        changes: new entries by tag; None removes one.
    """
    entries = {**directory.entries, **{tag: entry for tag, entry in changes.items() if entry}}
    for tag in (tag for tag, entry in changes.items() if entry is None):
        entries.pop(tag, None)
    field = 8 if directory.is_big else 4
    raw = []
    for tag in sorted(entries):
        entry = entries[tag]
        inline = entry.inline if tag not in changes else _place(data, entry, field, directory.order)
        header = struct.pack(directory.order + "HH" + ("Q" if field == 8 else "I"), tag, entry.kind, entry.count)
        raw.append(header + inline)
    data += b"\0" * (len(data) % 2)
    start = len(data)
    data += struct.pack(directory.order + ("Q" if directory.is_big else "H"), len(raw)) + b"".join(raw) + b"\0" * field
    data[directory.start : directory.end] = b"\0" * (directory.end - directory.start)
    at = 8 if directory.is_big else 4
    data[at : at + field] = start.to_bytes(field, _endian(directory.order))


def _place(data: bytearray, entry: Entry, field: int, order: str) -> bytes:
    if len(entry.value) <= field:
        return entry.value.ljust(field, b"\0")
    data += b"\0" * (len(data) % 2)
    offset = len(data)
    data += entry.value
    return offset.to_bytes(field, _endian(order))


def _endian(order: str) -> Literal["little", "big"]:
    return "little" if order == "<" else "big"
