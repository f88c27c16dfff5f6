"""Fills with the package's own network: a mixture of cheap fills plus what they miss."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cleanplate import windows
from cleanplate.config import Config
from cleanplate.fill.base import EngineSpec, FillRequest
from cleanplate.fill.pde import diffuse
from cleanplate.models.cache import load_once
from cleanplate.models.fill_net import MULTIPLE, load_fill_net
from cleanplate.models.registry import Registry
from cleanplate.records import Box

MODEL_ID = "fill"
_TILE_PX = 320
_MARGIN_PX = 32  # of a tile's rim that is looked at but not used, where the hole goes on
_STEP_PX = 2 * MULTIPLE  # sizes are rounded up to it, so that more tiles are of one size
_BATCH_PIXELS = 600_000  # bounds the network's memory to about 0.5 GB


class NetworkEngine:
    """The fill network (`models/fill_net.py`), run in tiles over the places that hold a hole."""

    spec = EngineSpec(
        "network", "Apache-2.0", cost_units_per_mpx=60.0, size_multiple=MULTIPLE, batchable=True, generative=True
    )

    def __init__(self, network: nn.Module, device: str = "cpu") -> None:
        """Keeps a network (shared by the process)."""
        self._network = network
        self._device = device

    @classmethod
    def build(cls, config: Config, registry: Registry, device: str) -> NetworkEngine:
        """Loads the network, once per process.

        Raises:
            ModelError: its weights are missing, tampered with or not permitted.
        """
        return cls(load_once(registry, MODEL_ID, device, lambda path: load_fill_net(path, device)), device)

    def fill(self, requests: Sequence[FillRequest]) -> list[NDArray[np.uint8]]:
        """See `Engine.fill`."""
        holes = [request.hole for request in requests]
        fills = [base_fills(request.crop, hole) for request, hole in zip(requests, holes, strict=True)]
        # Where the crop is all hole nothing is known: the grey of the diffusion fills is left as it is.
        filled = [stack[0].copy() for stack in fills]
        buckets: dict[tuple[int, int], list[_Tile]] = defaultdict(list)
        for index, hole in enumerate(holes):
            for tile in _tiles(index, hole) if not hole.all() else ():
                buckets[_ceiling(tile.seen.height), _ceiling(tile.seen.width)].append(tile)
        for (height, width), members in buckets.items():
            size = max(1, _BATCH_PIXELS // (height * width))
            for start in range(0, len(members), size):
                self._run(members[start : start + size], fills, holes, filled)
        return filled

    def _run(
        self,
        members: Sequence[_Tile],
        fills: Sequence[NDArray[np.uint8]],
        holes: Sequence[NDArray[np.uint8]],
        filled: Sequence[NDArray[np.uint8]],
    ) -> None:
        """Runs tiles of one size and writes their results into `filled`."""
        parts = [fills[tile.index][(slice(None), *tile.seen.slices)] for tile in members]
        stacks = np.stack([windows.mirrored(np.moveaxis(part, 0, 2), _STEP_PX) for part in parts])
        masks = np.stack([windows.mirrored(holes[tile.index][tile.seen.slices], _STEP_PX) for tile in members])
        given = torch.from_numpy(stacks).to(self._device).permute(0, 3, 4, 1, 2).float().div(255)
        with torch.inference_mode():
            found = self._network(given, torch.from_numpy(masks).to(self._device)[:, None].float())
        pixels = found.float().clamp(0, 1).mul(255).round().permute(0, 2, 3, 1).to(torch.uint8).cpu().numpy()
        for tile, values in zip(members, pixels, strict=True):
            inside = holes[tile.index][tile.used.slices] > 0
            filled[tile.index][tile.used.slices][inside] = values[tile.used_in_seen][inside]


def base_fills(crop: NDArray[np.uint8], hole: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The fills that the network mixes: Telea's, Navier-Stokes, biharmonic.

    Args:
        crop: uint8 (H, W, 3), RGB.
        hole: uint8 (H, W), 0 or 1.

    Returns:
        uint8 (3, H, W, 3), RGB.
    """
    return np.stack([diffuse(crop, hole, method) for method in ("telea", "navier_stokes", "biharmonic")])


@dataclass(frozen=True)
class _Tile:
    """A part of a crop: what the network sees, and what of it is used."""

    index: int
    seen: Box
    used: Box

    @property
    def used_in_seen(self) -> tuple[slice, slice]:
        """Slices of the used part within what is seen."""
        top, left = self.used.top - self.seen.top, self.used.left - self.seen.left
        return slice(top, top + self.used.height), slice(left, left + self.used.width)


def _tiles(index: int, hole: NDArray[np.uint8]) -> Iterator[_Tile]:
    """Tiles over the place of a hole; those that would use none of its pixels are left out."""
    height, width = hole.shape
    rows, columns = np.flatnonzero(hole.any(axis=1)), np.flatnonzero(hole.any(axis=0))
    if not len(rows):
        return
    tight = Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    whole = tight.expand(_MARGIN_PX, width, height)
    for seen in windows.tiles(whole, _TILE_PX, 2 * _MARGIN_PX):
        used = windows.without_rim(seen, whole, _MARGIN_PX)
        if hole[used.slices].any():
            yield _Tile(index, seen, used)


def _ceiling(length: int) -> int:
    return -(-length // _STEP_PX) * _STEP_PX
