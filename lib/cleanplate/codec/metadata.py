"""Reads orientation, resolution and maker out of an EXIF block without trusting it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

ORIENTATION, X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 0x0112, 0x011A, 0x011B, 0x0128
MAKE, MODEL, SOFTWARE = 0x010F, 0x0110, 0x0131
_EXIF_IFD, _PIXEL_WIDTH, _PIXEL_HEIGHT = 0x8769, 0xA002, 0xA003
CM_PER_INCH = 2.54
_MAX_ENTRIES = 1000  # a real IFD has some dozens; more is damage
_MAX_TEXT = 200


@dataclass(frozen=True)
class ExifSummary:
    """Orientation 1..8 (1 where none or nonsense), dots per inch, and the device and software, if stated."""

    orientation: int = 1
    dpi: tuple[float, float] | None = None
    device: str = ""
    software: str = ""


def summarise_exif(exif: bytes | None) -> ExifSummary:
    """Reads IFD0 of a raw EXIF block (a TIFF header first, no "Exif" prefix).

    A damaged block counts as none: metadata must not cost the picture.
    """
    if not exif:
        return ExifSummary()
    try:
        values = _read_ifd0(exif)
    except (struct.error, ZeroDivisionError):
        return ExifSummary()
    orientation = int(_number(values, ORIENTATION, 1))
    device = " ".join(text for text in (_text(values, MAKE), _text(values, MODEL)) if text)
    return ExifSummary(orientation if 1 <= orientation <= 8 else 1, _dpi(values), device, _text(values, SOFTWARE))


def with_size(exif: bytes, width: int, height: int) -> bytes:
    """An EXIF block whose tags of the picture's size, where it has them, say another one; else as it is.

    Args:
        exif: a raw block (a TIFF header first), which may be damaged.
        width: as stored, not rotated.
        height: as stored.
    """
    changed = bytearray(exif)
    try:
        order = {b"II": "<", b"MM": ">"}[exif[:2]]
        (start,) = struct.unpack_from(order + "I", exif, 4)
        for _, _, at in (entry for entry in _entries(exif, order, start) if entry[0] == _EXIF_IFD):
            (inner,) = struct.unpack_from(order + "I", exif, at)
            for tag, kind, place in _entries(exif, order, inner):
                if tag in (_PIXEL_WIDTH, _PIXEL_HEIGHT) and kind in (3, 4):
                    value = width if tag == _PIXEL_WIDTH else height
                    struct.pack_into(order + ("H" if kind == 3 else "I"), changed, place, value)
    except (struct.error, KeyError):
        return exif
    return bytes(changed)


def _entries(exif: bytes, order: str, start: int) -> Iterator[tuple[int, int, int]]:
    """Tag, type and place of the value of each entry of a directory."""
    (count,) = struct.unpack_from(order + "H", exif, start)
    for index in range(min(count, _MAX_ENTRIES)):
        tag, kind = struct.unpack_from(order + "HH", exif, start + 2 + 12 * index)
        yield tag, kind, start + 2 + 12 * index + 8


def _dpi(values: dict[int, float | str]) -> tuple[float, float] | None:
    x, y = _number(values, X_RESOLUTION), _number(values, Y_RESOLUTION)
    unit = _number(values, RESOLUTION_UNIT, 2)
    if X_RESOLUTION not in values or Y_RESOLUTION not in values or unit not in (2, 3):
        return None
    scale = CM_PER_INCH if unit == 3 else 1.0
    return x * scale, y * scale


def _number(values: dict[int, float | str], tag: int, default: float = 0.0) -> float:
    value = values.get(tag, default)
    return default if isinstance(value, str) else value


def _text(values: dict[int, float | str], tag: int) -> str:
    value = values.get(tag, "")
    return value if isinstance(value, str) else ""


def _read_ifd0(exif: bytes) -> dict[int, float | str]:
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return {}
    (offset,) = struct.unpack_from(order + "I", exif, 4)
    (count,) = struct.unpack_from(order + "H", exif, offset)
    values: dict[int, float | str] = {}
    for index in range(min(count, _MAX_ENTRIES)):
        entry = offset + 2 + 12 * index
        tag, kind, length = struct.unpack_from(order + "HHI", exif, entry)
        if tag in (ORIENTATION, X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT):
            values[tag] = _value(exif, order, kind, entry + 8)
        elif tag in (MAKE, MODEL, SOFTWARE) and kind == 2:
            values[tag] = _string(exif, order, length, entry + 8)
    return values


def _string(exif: bytes, order: str, length: int, at: int) -> str:
    where = at if length <= 4 else struct.unpack_from(order + "I", exif, at)[0]
    return exif[where : where + min(length, _MAX_TEXT)].split(b"\0")[0].decode("latin-1").strip()


def _value(exif: bytes, order: str, kind: int, at: int) -> float:
    if kind == 3:
        return float(struct.unpack_from(order + "H", exif, at)[0])
    if kind == 4:
        return float(struct.unpack_from(order + "I", exif, at)[0])
    if kind == 5:
        (where,) = struct.unpack_from(order + "I", exif, at)
        numerator, denominator = struct.unpack_from(order + "II", exif, where)
        return float(numerator / denominator)
    return 0.0
