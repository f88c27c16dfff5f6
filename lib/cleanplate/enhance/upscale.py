"""Upscales a picture: with a generative network of the user's (Real-ESRGAN), or plainly with Lanczos' kernel."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from cleanplate.config import Config
from cleanplate.enhance.tiling import tiled
from cleanplate.errors import ModelError
from cleanplate.models.cache import load_once
from cleanplate.models.foreign import load_by_spandrel
from cleanplate.models.registry import Registry
from cleanplate.records import Box

if TYPE_CHECKING:
    from cleanplate.enhance.analyse import Analysis

MODEL_ID = "realesrgan"
_TILE_PX = 256
# Real-ESRGAN's receptive radius is some 350 px. What a halo cuts off of it moved pixels by 108 grey levels at 8 px, by
# half as much for each 8 px more, and by 1 at 56 (docs/results.md). A core of 128 px costs four times its area.
_HALO_PX = 64


class GenerativeUpscaler:
    """A super-resolution network that spandrel loads, over tiles; x2 is its x4, averaged down.

    Real-ESRGAN (Wang et al., ICCV workshops 2021) and its kin invent texture, which is why the result is synthetic.
    """

    name = "generative"
    synthetic = True

    def __init__(
        self,
        registry: Registry,
        device: str,
        scale: int,
        model_id: str = MODEL_ID,
        tile_px: int = _TILE_PX,
        halo_px: int = _HALO_PX,
    ) -> None:
        """Checks that the registry permits the weights; they are read when the first picture comes.

        Args:
            registry: where the weights are.
            device: "cpu", "cuda:0", ...
            scale: 2 or 4.
            model_id: id in the registry.
            tile_px: side of a tile with its halo, in pixels of the source.
            halo_px: of the source.

        Raises:
            ModelError: the registry has no such entry, or its licence is not permitted.
        """
        registry.entry(model_id)
        self.scale = scale
        self._registry, self._device, self._model_id = registry, device, model_id
        self._tile_px, self._halo_px = tile_px, halo_px

    @classmethod
    def build(cls, config: Config, registry: Registry, device: str, scale: int) -> GenerativeUpscaler:
        """Uses the registry's entry "realesrgan".

        Raises:
            ModelError: see the constructor.
        """
        return cls(registry, device, scale)

    def apply(self, rgb: NDArray[np.uint8], analysis: Analysis) -> NDArray[np.uint8]:
        """See `Enhancer.apply`.

        Raises:
            ModelError: the weights are missing, tampered with, or not those of an upscaler that reaches the factor.
        """
        loaded = load_once(
            self._registry, self._model_id, self._device, lambda path: load_upscaling(path, self._device)
        )
        if loaded.scale % self.scale:
            raise ModelError(f"model {self._model_id!r} upscales by {loaded.scale}, no multiple of {self.scale}")

        def enlarge(tile: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
            return _run(loaded, tile, self.scale, self._device)

        return tiled(rgb, enlarge, self._tile_px, self._halo_px, self.scale)


class LanczosUpscaler:
    """Interpolation with Lanczos' kernel of eight taps: no network, invents nothing, sharpens nothing."""

    name = "lanczos"
    synthetic = False

    def __init__(self, scale: int) -> None:
        """Takes the factor."""
        self.scale = scale

    @classmethod
    def build(cls, config: Config, registry: Registry, device: str, scale: int) -> LanczosUpscaler:
        """Needs nothing."""
        return cls(scale)

    def apply(self, rgb: NDArray[np.uint8], analysis: Analysis) -> NDArray[np.uint8]:
        """See `Enhancer.apply`."""
        return enlarge(rgb, self.scale)


def enlarge(samples: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """Interpolates samples, uint8 (H, W) or (H, W, C), to `scale` times their size with Lanczos' kernel."""
    size = (samples.shape[1] * scale, samples.shape[0] * scale)
    return np.asarray(cv2.resize(samples, size, interpolation=cv2.INTER_LANCZOS4), np.uint8)


def load_upscaling(path: Path, device: str = "cpu") -> Any:
    """Reads the weights of an upscaler.

    Args:
        path: of the weights, safetensors or a plain state dict of torch.
        device: "cpu", "cuda:0", ...

    Returns:
        A spandrel.ImageModelDescriptor, float32, ready for inference.

    Raises:
        ModelError: spandrel is not installed, or the file does not hold a network that enlarges RGB pictures.
    """
    loaded = load_by_spandrel(path, "the upscaler 'generative'")
    if loaded.purpose != "SR" or loaded.scale < 2 or (loaded.input_channels, loaded.output_channels) != (3, 3):
        raise ModelError(
            f"{path} holds {loaded.architecture.name} for {loaded.purpose}, scale {loaded.scale}, "
            f"{loaded.input_channels} to {loaded.output_channels} channels: no upscaler of RGB pictures"
        )
    return loaded.float().eval().to(device)


def _run(loaded: Any, tile: NDArray[np.uint8], scale: int, device: str) -> NDArray[np.uint8]:
    """The descriptor pads small tiles and clamps; averaging down to a smaller factor is done before rounding."""
    given = torch.from_numpy(np.array(tile)).to(device).permute(2, 0, 1)[None].float().div(255)
    with torch.inference_mode():
        found = loaded(given)
        if loaded.scale != scale:
            found = torch.nn.functional.avg_pool2d(found, loaded.scale // scale)
    return np.asarray(found[0].clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).cpu().numpy())
