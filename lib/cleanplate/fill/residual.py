"""Fills with the network first, then lets a small diffusion model redraw the fill's high frequencies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cleanplate import windows
from cleanplate.config import Config
from cleanplate.fill.base import Engine, EngineSpec, FillRequest
from cleanplate.fill.network import NetworkEngine
from cleanplate.fill.tiling import Grid, Tile
from cleanplate.models.cache import load_once
from cleanplate.models.registry import Registry
from cleanplate.models.residual_net import MULTIPLE, load_residual_net, sample

MODEL_ID = "residual"
_STEP_UNITS = 27.0  # of cost per megapixel
_GRID = Grid(tile_px=320, margin_px=32, step_px=2 * MULTIPLE, batch_pixels=400_000)


class ResidualEngine:
    """Pre-fill, then detail drawn by DDIM (`models/residual_net.py`); colours and shading stay the pre-fill's.

    It redraws texture and no things, at a fixed small cost for each step: so it does not count against the share of the
    regions that may go to a diffusion model.
    """

    def __init__(self, prefill: Engine, network: nn.Module, steps: int = 6, device: str = "cpu") -> None:
        """Keeps the parts.

        Args:
            prefill: fills first.
            network: a `ResidualNet` (shared by the process).
            steps: of the sampling.
            device: where the network is.
        """
        self.spec = EngineSpec(
            "residual", "Apache-2.0", cost_units_per_mpx=prefill.spec.cost_units_per_mpx + _STEP_UNITS * steps,
            size_multiple=MULTIPLE, batchable=True, generative=True,
        )  # fmt: skip
        self._prefill = prefill
        self._network = network
        self._steps = steps
        self._device = device

    @classmethod
    def build(cls, config: Config, registry: Registry, device: str) -> ResidualEngine:
        """Loads both networks, once per process.

        Raises:
            ModelError: weights are missing, tampered with or not permitted.
        """
        network = load_once(registry, MODEL_ID, device, lambda path: load_residual_net(path, device))
        return cls(NetworkEngine.build(config, registry, device), network, config.fill.residual_steps, device)

    def changed(self, prefill: Engine, steps: int) -> ResidualEngine:
        """The same network over another pre-fill, in another number of steps."""
        return ResidualEngine(prefill, self._network, steps, self._device)

    def fill(self, requests: Sequence[FillRequest]) -> list[NDArray[np.uint8]]:
        """See `Engine.fill`; the same seed draws the same detail."""
        holes = [request.hole for request in requests]
        prefills = [
            np.where(hole[..., None] > 0, filled, request.crop)
            for request, hole, filled in zip(requests, holes, self._prefill.fill(requests), strict=True)
        ]
        # Noise is drawn over the whole crop, so that tiles that overlap start from the same.
        noises = [_noise(request) for request in requests]
        filled = [prefill.copy() for prefill in prefills]
        for tiles in _GRID.batches(holes):
            for tile, values in zip(tiles, self._drawn(tiles, prefills, holes, noises), strict=True):
                inside = holes[tile.index][tile.used.slices] > 0
                filled[tile.index][tile.used.slices][inside] = values[tile.used_in_seen][inside]
        return filled

    def _drawn(
        self,
        tiles: Sequence[Tile],
        prefills: Sequence[NDArray[np.uint8]],
        holes: Sequence[NDArray[np.uint8]],
        noises: Sequence[NDArray[np.float32]],
    ) -> NDArray[np.uint8]:
        """uint8 (N, H, W, 3): tiles of one size with new detail."""

        def stacked(arrays: Sequence[NDArray[np.generic]]) -> torch.Tensor:
            parts = [windows.mirrored(arrays[tile.index][tile.seen.slices], _GRID.step_px) for tile in tiles]
            return torch.from_numpy(np.stack(parts)).to(self._device)

        given = stacked(prefills).permute(0, 3, 1, 2).float().div(255)  # type: ignore[arg-type]
        hole = stacked(holes)[:, None].float()  # type: ignore[arg-type]
        noise = stacked(noises).permute(0, 3, 1, 2)  # type: ignore[arg-type]
        with torch.inference_mode():
            drawn = sample(self._network, given, hole, noise, self._steps)
        pixels = drawn.float().clamp(0, 1).mul(255).round().to(torch.uint8)
        return np.asarray(pixels.permute(0, 2, 3, 1).cpu().numpy())


def _noise(request: FillRequest) -> NDArray[np.float32]:
    rng = np.random.default_rng(request.seed % 2**64)
    return rng.standard_normal(request.crop.shape, dtype=np.float32)
