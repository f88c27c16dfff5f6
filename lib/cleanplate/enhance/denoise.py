"""Takes noise out of a picture with FFDNet, as much of it at each pixel as was measured there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from cleanplate.config import Config
from cleanplate.enhance.tiling import tiled
from cleanplate.models.cache import load_once
from cleanplate.models.ffdnet import LARGEST_SIGMA, MULTIPLE, RECEPTIVE_PX, load_ffdnet
from cleanplate.models.registry import Registry
from cleanplate.records import Box

if TYPE_CHECKING:
    from cleanplate.enhance.analyse import Analysis

MODEL_ID = "ffdnet"
_TILE_PX = 512
_LIGHT_PX = 4.0  # the light that a pixel's noise depends on is that of its surroundings, else noise steers itself
_LEAST, _MOST = 0.25, 4.0  # of the mean variance: how far the line through it is believed


class Denoise:
    """FFDNet over tiles whose halo is its receptive radius: the same result as the whole picture at once."""

    name = "denoise"
    scale = 1
    synthetic = False

    def __init__(self, registry: Registry, device: str = "cpu", tile_px: int = _TILE_PX) -> None:
        """Loads the network, once per process.

        Args:
            registry: where the weights are.
            device: "cpu", "cuda:0", ...
            tile_px: side of a tile with its halo.

        Raises:
            ModelError: the weights are missing, tampered with or not permitted.
        """
        self._network = load_once(registry, MODEL_ID, device, lambda path: load_ffdnet(path, device))
        self._device = torch.device(device)
        self._tile_px = tile_px

    @classmethod
    def build(cls, config: Config, registry: Registry, device: str) -> Denoise:
        """Loads the registry's entry "ffdnet".

        Raises:
            ModelError: see the constructor.
        """
        return cls(registry, device)

    def apply(self, rgb: NDArray[np.uint8], analysis: Analysis) -> NDArray[np.uint8]:
        """See `Enhancer.apply`."""
        mean_light = float(cv2.mean(rgb)[0] * 0.299 + cv2.mean(rgb)[1] * 0.587 + cv2.mean(rgb)[2] * 0.114)

        def clean(tile: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
            return self.denoise(tile, noise_map(tile, analysis, mean_light))

        # The map looks as far round a pixel as its blur does.
        return tiled(rgb, clean, self._tile_px, RECEPTIVE_PX + int(4 * _LIGHT_PX), align_px=MULTIPLE)

    def denoise(self, rgb: NDArray[np.uint8], sigma: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Denoises a picture at once.

        Args:
            rgb: uint8 (H, W, 3), RGB.
            sigma: float32 (H, W), standard deviation of the noise in grey levels, 0..75.

        Returns:
            uint8 (H, W, 3), RGB.
        """
        noisy = torch.from_numpy(np.array(rgb)).to(self._device).permute(2, 0, 1)[None].float().div(255)
        level = torch.from_numpy(sigma).to(self._device)[None, None].div(255)
        with torch.inference_mode():
            found = self._network(noisy, level)[0]
        return np.asarray(found.clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).cpu().numpy())


def noise_map(rgb: NDArray[np.uint8], analysis: Analysis, mean_light: float) -> NDArray[np.float32]:
    """Standard deviation of the noise at every pixel, by the measured level and its growth with the light.

    The variance follows the line that was measured over the brightness (Foi et al., IEEE TIP 17(10), 2008), through the
    measured level at the picture's mean brightness.

    Args:
        rgb: uint8 (H, W, 3), RGB: the picture or a part of it.
        analysis: noise_rgb, noise_luma and noise_slope count.
        mean_light: mean luma of the whole picture, 0..255.

    Returns:
        float32 (H, W), grey levels, 0..75.
    """
    luma = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    size = 2 * int(4 * _LIGHT_PX) + 1
    light = cv2.GaussianBlur(luma, (size, size), _LIGHT_PX, borderType=cv2.BORDER_REFLECT_101)
    growth = analysis.noise_slope / max(analysis.noise_luma**2, 1e-6)
    variance = np.clip(1 + growth * (light - mean_light), _LEAST, _MOST)
    return np.minimum(analysis.noise_rgb * np.sqrt(variance), LARGEST_SIGMA).astype(np.float32)
