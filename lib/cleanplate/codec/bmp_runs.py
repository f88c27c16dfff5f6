"""Unpacks the run-length coding of bitmaps (RLE8 and RLE4)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cleanplate.errors import DecodeError

_END_OF_LINE, _END_OF_BITMAP, _DELTA = 0, 1, 2


def unpack_runs(packed: bytes, width: int, height: int, is_four_bits: bool) -> NDArray[np.uint8]:
    """Unpacks palette indices.

    Args:
        packed: the coded pixels.
        width: pixels of a row.
        height: rows.
        is_four_bits: RLE4, else RLE8.

    Returns:
        uint8 (height, width), bottom row first; pixels that are skipped are 0.

    Raises:
        DecodeError: the data ends early or a run lies outside the picture.
    """
    pixels = np.zeros((height, width), np.uint8)
    position, x, y = 0, 0, 0
    while True:
        if position + 2 > len(packed):
            raise DecodeError("the BMP is cut off: its run-length coded pixels end before the end mark")
        count, value = packed[position], packed[position + 1]
        position += 2
        if count:
            x = _put(pixels, x, y, _run(value, count, is_four_bits))
        elif value == _END_OF_LINE:
            x, y = 0, y + 1
        elif value == _END_OF_BITMAP:
            return pixels
        elif value == _DELTA:
            if position + 2 > len(packed):
                raise DecodeError("the BMP is cut off: its run-length coded pixels end within a jump")
            x, y = x + packed[position], y + packed[position + 1]
            position += 2
        else:
            size = (value + 1) // 2 if is_four_bits else value
            x = _put(pixels, x, y, _literal(packed[position : position + size], value, is_four_bits))
            position += size + size % 2


def _run(value: int, count: int, is_four_bits: bool) -> NDArray[np.uint8]:
    if not is_four_bits:
        return np.full(count, value, np.uint8)
    return np.resize(np.array([value >> 4, value & 15], np.uint8), count)


def _literal(raw: bytes, count: int, is_four_bits: bool) -> NDArray[np.uint8]:
    values = np.frombuffer(raw, np.uint8)
    if is_four_bits:
        values = np.stack([values >> 4, values & 15], axis=1).reshape(-1)
    if len(values) < count:
        raise DecodeError("the BMP is cut off: its run-length coded pixels end within a run")
    return values[:count]


def _put(pixels: NDArray[np.uint8], x: int, y: int, values: NDArray[np.uint8]) -> int:
    if y >= pixels.shape[0] or x > pixels.shape[1]:
        raise DecodeError(f"the BMP is damaged: a run lies outside the picture (row {y}, column {x})")
    room = pixels.shape[1] - x
    pixels[y, x : x + len(values)] = values[:room]
    return min(x + len(values), pixels.shape[1])
