"""Cuts a picture into windows of sane proportions, each with the size at which the network sees it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cleanplate.records import Box

_LONGEST_RATIO = 4  # longer windows would shrink the letters out of sight
_LARGEST_SCALE = 1.5  # enlarging further costs more than it finds


@dataclass(frozen=True)
class Window:
    """A part of a picture and the height and width (multiples of the network's) that it is resized to."""

    box: Box
    network_shape: tuple[int, int]


def cut(height: int, width: int, long_side_px: int, multiple: int) -> list[Window]:
    """Windows that cover a picture of height x width.

    A picture up to four times as long as it is wide is one window; a longer one is cut along its long side into windows
    that overlap by half their short side.

    Args:
        height: in pixels.
        width: in pixels.
        long_side_px: the long side of a window is scaled to this (but enlarged by half at most).
        multiple: of the network's input.
    """
    short, long = min(height, width), max(height, width)
    length = min(long, max(_LONGEST_RATIO * short, multiple))
    step = max(1, length - max(short // 2, multiple // 2)) if length < long else length
    starts = [min(start, long - length) for start in range(0, max(1, long - length + step), step)]
    shape = _network_shape(short, length, long_side_px, multiple)
    if width >= height:
        return [Window(Box(start, 0, start + length, height), shape) for start in dict.fromkeys(starts)]
    return [Window(Box(0, start, width, start + length), shape[::-1]) for start in dict.fromkeys(starts)]


def _network_shape(short: int, long: int, long_side_px: int, multiple: int) -> tuple[int, int]:
    scale = min(long_side_px / long, _LARGEST_SCALE)
    return _to_multiple(short * scale, multiple), _to_multiple(long * scale, multiple)


def _to_multiple(side: float, multiple: int) -> int:
    return max(multiple, math.floor(side / multiple + 0.5) * multiple)
