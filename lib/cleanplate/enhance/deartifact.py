"""Takes JPEG's artefacts out of a picture with the deartifact network, told the quality and the grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from cleanplate import windows
from cleanplate.config import Config
from cleanplate.enhance.blocks import TO_YCC
from cleanplate.enhance.tiling import tiled
from cleanplate.models.cache import load_once
from cleanplate.models.deartifact_net import BLIND, MULTIPLE, RECEPTIVE_PX, DeartifactNet, load_deartifact_net
from cleanplate.models.registry import Registry
from cleanplate.records import Box

if TYPE_CHECKING:
    from cleanplate.enhance.analyse import Analysis

MODEL_ID = "deartifact"
_TILE_PX = 512
_BLOCK_PX = 8
# How far to go: all the way has the least squared error, but takes grain with the artefacts. Grain is in the luma's
# quick waves, the artefacts that are seen are in its slow ones and in the chroma, so of the quick ones less is taken,
# by quality (docs/results.md, "Deartifact"; chosen on held-out training photographs by PSNR and LPIPS).
_QUALITIES, _QUICK_SHARES = (10.0, 20.0, 40.0), (0.55, 0.5, 0.37)
_SLOW_SHARE, _BLIND_QUICK_SHARE = 0.9, 0.5
_SLOW_PX = 1.2  # deviation of the Gaussian that parts them
_SLOW_REACH_PX = 5
_HALO_PX = RECEPTIVE_PX + MULTIPLE * -(-_SLOW_REACH_PX // MULTIPLE)


class Deartifact:
    """The deartifact network (`models/deartifact_net.py`) over tiles."""

    name = "deartifact"
    scale = 1
    synthetic = False

    def __init__(self, network: DeartifactNet, device: str = "cpu", tile_px: int = _TILE_PX) -> None:
        """Keeps a network (shared by the process).

        Args:
            network: ready for inference.
            device: of the network.
            tile_px: side of a tile with its halo.
        """
        self._network = network
        self._device = device
        self._tile_px = tile_px

    @classmethod
    def build(cls, config: Config, registry: Registry, device: str) -> Deartifact:
        """Loads the network, once per process.

        Raises:
            ModelError: its weights are missing, tampered with or not permitted.
        """
        return cls(load_once(registry, MODEL_ID, device, lambda path: load_deartifact_net(path, device)), device)

    def apply(self, rgb: NDArray[np.uint8], analysis: Analysis) -> NDArray[np.uint8]:
        """See `Enhancer.apply`; a picture whose quality is not known is cleaned blindly.

        Of two compressions the coarser one counts; where that was the first one, its grid is not known.
        """
        first, last = analysis.jpeg_first_quality, analysis.jpeg_quality
        if last is None:
            return self.clean(rgb, BLIND, None)
        if first is not None and first < last:
            return self.clean(rgb, first, None)
        return self.clean(rgb, last, analysis.grid_offset)

    def clean(
        self, rgb: NDArray[np.uint8], quality: float, offset: tuple[int, int] | None, share: float | None = None
    ) -> NDArray[np.uint8]:
        """Cleans a picture.

        Args:
            rgb: uint8 (H, W, 3), RGB.
            quality: JPEG quality, 1..100; BLIND where it is not known.
            offset: column and row of the first whole 8x8 block, each 0..7; None where it is not known.
            share: how far to go from the picture to what the network makes of it, 0..1; None: as suits the quality, and
                less far in the luma's quick waves.

        Returns:
            uint8 (H, W, 3), RGB.
        """

        def run(tile: NDArray[np.uint8], place: Box) -> NDArray[np.uint8]:
            return self._run(tile, quality, _first_phase(offset, place), share)

        return tiled(rgb, run, self._tile_px, _HALO_PX, align_px=MULTIPLE)

    def _run(
        self, tile: NDArray[np.uint8], quality: float, phase: tuple[int, int], share: float | None
    ) -> NDArray[np.uint8]:
        height, width = tile.shape[:2]
        padded = torch.from_numpy(windows.mirrored(tile, MULTIPLE)).to(self._device)
        given = padded.permute(2, 0, 1)[None].float().div(255)
        told = torch.tensor([quality], device=self._device), torch.tensor([phase], device=self._device).float()
        with torch.inference_mode():
            found = self._network(given, *told).clamp(0, 1)
        change = (found - given)[0, :, :height, :width].mul(255).permute(1, 2, 0).cpu().numpy()
        change = damped(change, quick_share(quality)) if share is None else share * change
        return np.clip(np.rint(tile + change), 0, 255).astype(np.uint8)


def quick_share(quality: float) -> float:
    """How far to go in the luma's quick waves at a JPEG quality, 0..1; less where there is less to mend."""
    return _BLIND_QUICK_SHARE if quality == BLIND else float(np.interp(quality, _QUALITIES, _QUICK_SHARES))


def damped(change: NDArray[np.float32], quick: float) -> NDArray[np.float32]:
    """A change of a picture of which a share is taken: all of the chroma, less of the luma, least of its quick waves.

    Args:
        change: float32 (H, W, 3), RGB, grey levels.
        quick: share of the luma's quick waves, 0..1.
    """
    luma = (change @ TO_YCC[0]).astype(np.float32)
    side = 2 * _SLOW_REACH_PX + 1
    slow = cv2.GaussianBlur(luma, (side, side), _SLOW_PX)
    wanted = _SLOW_SHARE * slow + quick * (luma - slow)
    return np.asarray(change - luma[:, :, None] + wanted[:, :, None], dtype=np.float32)


def _first_phase(offset: tuple[int, int] | None, place: Box) -> tuple[int, int]:
    """Row and column, 0..7, of a tile's first pixel within its block; -1 where the grid is not known."""
    if offset is None:
        return -1, -1
    column, row = offset
    return (place.top - row) % _BLOCK_PX, (place.left - column) % _BLOCK_PX
