"""Fills with the package's own network: a mixture of cheap fills plus what they miss."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cleanplate import windows
from cleanplate.config import Config
from cleanplate.fill.base import EngineSpec, FillRequest
from cleanplate.fill.pde import diffuse, without_noise
from cleanplate.fill.tiling import Grid, Tile
from cleanplate.models.cache import load_once
from cleanplate.models.fill_net import load_fill_net
from cleanplate.models.registry import Registry
from cleanplate.models.unet import MULTIPLE

MODEL_ID = "fill"
_LEAST_NOISE = 3.0  # grey levels: below it, taking noise away costs as much texture as it gains
_GRID = Grid(tile_px=320, margin_px=32, step_px=2 * MULTIPLE, batch_pixels=600_000)  # about 0.5 GB


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
        calm = [
            without_noise(each.crop, hole, _LEAST_NOISE, each.footprint)
            for each, hole in zip(requests, holes, strict=True)
        ]
        fills = [base_fills(crop, hole) for crop, hole in zip(calm, holes, strict=True)]
        # Where the crop is all hole nothing is known: the grey of the diffusion fills is left as it is.
        filled = [stack[0].copy() for stack in fills]
        for tiles in _GRID.batches(holes):
            self._run(tiles, fills, holes, filled)
        return filled

    def _run(
        self,
        members: Sequence[Tile],
        fills: Sequence[NDArray[np.uint8]],
        holes: Sequence[NDArray[np.uint8]],
        filled: Sequence[NDArray[np.uint8]],
    ) -> None:
        """Runs tiles of one size and writes their results into `filled`."""
        parts = [fills[tile.index][(slice(None), *tile.seen.slices)] for tile in members]
        stacks = np.stack([windows.mirrored(np.moveaxis(part, 0, 2), _GRID.step_px) for part in parts])
        masks = np.stack([windows.mirrored(holes[tile.index][tile.seen.slices], _GRID.step_px) for tile in members])
        given = torch.from_numpy(stacks).to(self._device).permute(0, 3, 4, 1, 2).float().div(255)
        with torch.inference_mode():
            found = self._network(given, torch.from_numpy(masks).to(self._device)[:, None].float())
        pixels = found.float().clamp(0, 1).mul(255).round().permute(0, 2, 3, 1).to(torch.uint8).cpu().numpy()
        for tile, values in zip(members, pixels, strict=True):
            inside = holes[tile.index][tile.used.slices] > 0
            filled[tile.index][tile.used.slices][inside] = values[tile.used_in_seen][inside]


def base_fills(crop: NDArray[np.uint8], hole: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The fills that the network mixes: Telea's, Navier-Stokes, the biharmonic surface under tension.

    Args:
        crop: uint8 (H, W, 3), RGB.
        hole: uint8 (H, W), 0 or 1.

    Returns:
        uint8 (3, H, W, 3), RGB.
    """
    return np.stack([diffuse(crop, hole, method) for method in ("telea", "navier_stokes", "tension")])
