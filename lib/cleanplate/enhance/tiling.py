"""Runs a network over a picture tile by tile, in memory that the tile bounds, without seams."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from cleanplate.records import Box
from cleanplate.windows import tiles, without_rim

Tile = Callable[[NDArray[np.uint8], Box], NDArray[np.uint8]]


def tiled(
    rgb: NDArray[np.uint8], function: Tile, tile_px: int, halo_px: int, scale: int = 1, align_px: int = 1
) -> NDArray[np.uint8]:
    """Applies a function to overlapping tiles and keeps of each what its halo does not reach.

    Where the halo is the network's receptive radius, the result is that of the whole picture at once. Only the result
    in 8 bits is ever held whole; floats live for one tile.

    Args:
        rgb: uint8 (H, W, 3), RGB; not changed.
        function: takes a tile, uint8 (h, w, 3), and its place in the picture; returns uint8 (h * scale, w * scale, 3).
        tile_px: side of a tile with its halo, more than twice the halo.
        halo_px: what is thrown away on each side where the picture goes on.
        scale: factor between the function's result and its tile.
        align_px: tiles start at multiples of this, so that a network with strides sees the phase it would see in the
            whole picture; a tile may grow by so much less one.

    Returns:
        uint8 (H * scale, W * scale, 3), RGB.
    """
    height, width = rgb.shape[:2]
    whole = Box(0, 0, width, height)
    out = np.empty((height * scale, width * scale, 3), np.uint8)
    for tile in tiles(whole, tile_px, 2 * halo_px):
        inner = without_rim(tile, whole, halo_px)
        seen = Box(tile.left - tile.left % align_px, tile.top - tile.top % align_px, tile.right, tile.bottom)
        found = function(rgb[seen.slices], seen)
        out[_scaled(inner, scale).slices] = found[_scaled(_within(inner, seen), scale).slices]
    return out


def _within(inner: Box, outer: Box) -> Box:
    return Box(inner.left - outer.left, inner.top - outer.top, inner.right - outer.left, inner.bottom - outer.top)


def _scaled(box: Box, scale: int) -> Box:
    return Box(box.left * scale, box.top * scale, box.right * scale, box.bottom * scale)
