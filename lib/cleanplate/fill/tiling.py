"""Tiles over the place of a hole, for engines whose network must not see the whole crop at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cleanplate import windows
from cleanplate.records import Box


@dataclass(frozen=True)
class Grid:
    """How crops are cut.

    Attributes:
        tile_px: longest side of a tile.
        margin_px: of a tile's rim that is looked at but not used, where the hole goes on.
        step_px: sizes are rounded up to a multiple, so that more tiles are of one size.
        batch_pixels: of the tiles that run together; bounds the memory.
    """

    tile_px: int
    margin_px: int
    step_px: int
    batch_pixels: int

    def batches(self, holes: Sequence[NDArray[np.uint8]]) -> Iterator[list[Tile]]:
        """Tiles of one size together, over all holes; a crop that is all hole has none, since nothing is known.

        Args:
            holes: uint8 (H, W), 0 or 1, one per crop.
        """
        buckets: dict[tuple[int, int], list[Tile]] = defaultdict(list)
        for index, hole in enumerate(holes):
            for tile in self._tiles(index, hole) if not hole.all() else ():
                buckets[self._ceiling(tile.seen.height), self._ceiling(tile.seen.width)].append(tile)
        for (height, width), members in buckets.items():
            size = max(1, self.batch_pixels // (height * width))
            for start in range(0, len(members), size):
                yield members[start : start + size]

    def _tiles(self, index: int, hole: NDArray[np.uint8]) -> Iterator[Tile]:
        """Tiles over the place of a hole; those that would use none of its pixels are left out."""
        height, width = hole.shape
        tight = Box.around(hole)
        if not tight.area_px:
            return
        whole = tight.expand(self.margin_px, width, height)
        for seen in windows.tiles(whole, self.tile_px, 2 * self.margin_px):
            used = windows.without_rim(seen, whole, self.margin_px)
            if hole[used.slices].any():
                yield Tile(index, seen, used)

    def _ceiling(self, length: int) -> int:
        return -(-length // self.step_px) * self.step_px


@dataclass(frozen=True)
class Tile:
    """A part of a crop: which crop, what the network sees of it, and what of that is used."""

    index: int
    seen: Box
    used: Box

    @property
    def used_in_seen(self) -> tuple[slice, slice]:
        """Slices of the used part within what is seen."""
        top, left = self.used.top - self.seen.top, self.used.left - self.seen.left
        return slice(top, top + self.used.height), slice(left, left + self.used.width)
