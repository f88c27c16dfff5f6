"""Fills with the package's own network: a mixture of cheap fills plus what they miss."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cleanplate.config import Config
from cleanplate.fill.base import EngineSpec, FillRequest
from cleanplate.fill.pde import diffuse
from cleanplate.models.cache import load_once
from cleanplate.models.fill_net import MULTIPLE, load_fill_net
from cleanplate.models.registry import Registry
from cleanplate.records import Box

MODEL_ID = "fill"
_TILE_PX = 192
_MARGIN_PX = 32  # of a tile's rim that is looked at but not used, where the crop goes on
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
        buckets: dict[tuple[int, int], list[tuple[int, Box]]] = defaultdict(list)
        for index, hole in enumerate(holes):
            for tile in _tiles(hole) if not hole.all() else ():
                buckets[tile.height, tile.width].append((index, tile))
        for (height, width), members in buckets.items():
            size = max(1, _BATCH_PIXELS // (height * width))
            for start in range(0, len(members), size):
                self._run(members[start : start + size], fills, holes, filled)
        return filled

    def _run(
        self,
        members: Sequence[tuple[int, Box]],
        fills: Sequence[NDArray[np.uint8]],
        holes: Sequence[NDArray[np.uint8]],
        filled: Sequence[NDArray[np.uint8]],
    ) -> None:
        """Runs tiles of one size and writes their results into `filled`."""
        stacks = np.stack([_padded(np.moveaxis(fills[i][(slice(None), *tile.slices)], 0, 2)) for i, tile in members])
        masks = np.stack([_padded(holes[i][tile.slices]) for i, tile in members])
        given = torch.from_numpy(stacks).to(self._device).permute(0, 3, 4, 1, 2).float().div(255)
        with torch.inference_mode():
            found = self._network(given, torch.from_numpy(masks).to(self._device)[:, None].float())
        pixels = found.float().clamp(0, 1).mul(255).round().permute(0, 2, 3, 1).to(torch.uint8).cpu().numpy()
        for (index, tile), values in zip(members, pixels, strict=True):
            _paste(filled[index], holes[index], tile, values[: tile.height, : tile.width])


def base_fills(crop: NDArray[np.uint8], hole: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The fills that the network mixes: Telea's, Navier-Stokes, biharmonic.

    Args:
        crop: uint8 (H, W, 3), RGB.
        hole: uint8 (H, W), 0 or 1.

    Returns:
        uint8 (3, H, W, 3), RGB.
    """
    return np.stack([diffuse(crop, hole, method) for method in ("telea", "navier_stokes", "biharmonic")])


def _tiles(hole: NDArray[np.uint8]) -> Iterator[Box]:
    """Tiles of a crop whose inner part holds a hole."""
    height, width = hole.shape
    for top in _starts(height):
        for left in _starts(width):
            tile = Box(left, top, min(width, left + _TILE_PX), min(height, top + _TILE_PX))
            if hole[_inner(tile, height, width).slices].any():
                yield tile


def _starts(length: int) -> list[int]:
    step, last = _TILE_PX - 2 * _MARGIN_PX, max(0, length - _TILE_PX)
    return sorted({min(start, last) for start in range(0, last + step, step)})


def _inner(tile: Box, height: int, width: int) -> Box:
    """A tile without its margin on the sides where the crop goes on."""
    return Box(
        tile.left + _MARGIN_PX * (tile.left > 0),
        tile.top + _MARGIN_PX * (tile.top > 0),
        tile.right - _MARGIN_PX * (tile.right < width),
        tile.bottom - _MARGIN_PX * (tile.bottom < height),
    )


def _padded(tile: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Rows and columns up to the network's multiple, mirrored."""
    below, right = -tile.shape[0] % MULTIPLE, -tile.shape[1] % MULTIPLE
    return np.pad(tile, [(0, below), (0, right), *[(0, 0)] * (tile.ndim - 2)], mode="symmetric")


def _paste(filled: NDArray[np.uint8], hole: NDArray[np.uint8], tile: Box, values: NDArray[np.uint8]) -> None:
    inner = _inner(tile, *hole.shape)
    cut = values[inner.top - tile.top : inner.bottom - tile.top, inner.left - tile.left : inner.right - tile.left]
    inside = hole[inner.slices] > 0
    filled[inner.slices][inside] = cut[inside]
