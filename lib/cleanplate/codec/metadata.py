"""Reads orientation and resolution out of an EXIF block without trusting it."""

from __future__ import annotations

import struct
from dataclasses import dataclass

ORIENTATION, X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 0x0112, 0x011A, 0x011B, 0x0128
CM_PER_INCH = 2.54
_MAX_ENTRIES = 1000  # a real IFD has some dozens; more is damage


@dataclass(frozen=True)
class ExifSummary:
    """Orientation 1..8 (1 where none or nonsense) and dots per inch, if stated."""

    orientation: int = 1
    dpi: tuple[float, float] | None = None


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
    orientation = int(values.get(ORIENTATION, 1))
    return ExifSummary(orientation if 1 <= orientation <= 8 else 1, _dpi(values))




def _dpi(values: dict[int, float]) -> tuple[float, float] | None:
    if X_RESOLUTION not in values or Y_RESOLUTION not in values:
        return None
    unit = values.get(RESOLUTION_UNIT, 2)
    if unit not in (2, 3):
        return None
    scale = CM_PER_INCH if unit == 3 else 1.0
    return values[X_RESOLUTION] * scale, values[Y_RESOLUTION] * scale


def _read_ifd0(exif: bytes) -> dict[int, float]:
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return {}
    (offset,) = struct.unpack_from(order + "I", exif, 4)
    (count,) = struct.unpack_from(order + "H", exif, offset)
    values = {}
    for index in range(min(count, _MAX_ENTRIES)):
        entry = offset + 2 + 12 * index
        tag, kind, _ = struct.unpack_from(order + "HHI", exif, entry)
        if tag in (ORIENTATION, X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT):
            values[tag] = _value(exif, order, kind, entry + 8)
    return values


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
