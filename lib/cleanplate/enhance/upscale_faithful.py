"""Enlarges a picture two or four times with the faithful network, which sharpens edges and invents nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from cleanplate.config import Config
from cleanplate.enhance.tiling import tiled
from cleanplate.errors import ConfigError
from cleanplate.models.cache import load_once
from cleanplate.models.registry import Registry
from cleanplate.models.upscale_net import SCALE, UpscaleNet, load_upscale_net
from cleanplate.records import Box

if TYPE_CHECKING:
    from cleanplate.enhance.analyse import Analysis

MODEL_ID = "upscale"
_TILE_PX = 256
_TIMES = {2: 1, 4: 2}  # how often the network, which doubles, is run


class FaithfulUpscaler:
    """The upscale network (`models/upscale_net.py`) over tiles whose halo is what it sees: no seams at all."""

    name = "faithful"
    synthetic = False

    def __init__(self, network: UpscaleNet, scale: int, device: str = "cpu", tile_px: int = _TILE_PX) -> None:
        """Keeps a network (shared by the process).

        Args:
            network: ready for inference.
            scale: 2 or 4.
            device: of the network.
            tile_px: side of a tile with its halo.

        Raises:
            ConfigError: it enlarges by neither 2 nor 4.
        """
        if scale not in _TIMES:
            raise ConfigError(f"the faithful upscaler enlarges by {sorted(_TIMES)}, not by {scale}")
        self.scale = scale
        self._network = network
        self._device = device
        self._tile_px = tile_px

    @classmethod
    def build(cls, config: Config, registry: Registry, device: str, scale: int) -> FaithfulUpscaler:
        """Loads the network, once per process.

        Raises:
            ConfigError: it enlarges by neither 2 nor 4.
            ModelError: its weights are missing, tampered with or not permitted.
        """
        return cls(load_once(registry, MODEL_ID, device, lambda path: load_upscale_net(path, device)), scale, device)

    def apply(self, rgb: NDArray[np.uint8], analysis: Analysis | None = None) -> NDArray[np.uint8]:
        """See `Enhancer.apply`; the analysis does not count."""
        for _ in range(_TIMES[self.scale]):
            # Bicubic interpolation looks two pixels far, less than the network does.
            rgb = tiled(rgb, self._double, self._tile_px, self._network.radius_px, scale=SCALE)
        return rgb

    def _double(self, tile: NDArray[np.uint8], place: Box) -> NDArray[np.uint8]:
        given = torch.from_numpy(np.array(tile)).to(self._device).permute(2, 0, 1)[None].float().div(255)
        with torch.inference_mode():
            found = self._network(given)[0]
        return np.asarray(found.clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).cpu().numpy())
