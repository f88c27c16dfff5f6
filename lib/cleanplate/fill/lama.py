"""Fills with LaMa (Suvorov et al., WACV 2022), or what else spandrel loads for inpainting, from the user's weights."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from cleanplate import windows
from cleanplate.config import Config
from cleanplate.errors import ModelError
from cleanplate.fill.base import EngineSpec, FillRequest
from cleanplate.models.cache import load_once
from cleanplate.models.foreign import load_by_spandrel
from cleanplate.models.registry import Registry
from cleanplate.models.weights import has_bfloat16
from cleanplate.records import Box

MODEL_ID = "lama"
_LIMIT_PX = 1024  # LaMa was trained on 256 px and holds up to about four times that; memory grows with the area
_COST_UNITS_PER_MPX = 400.0
_NO_SOURCE = 128  # grey level of a crop that is all hole, as in fill/pde.py: the verifier turns it down


class LamaEngine:
    """An inpainting network over whole crops, or over tiles of the large ones.

    A crop with a side beyond the limit is cut into tiles, feathered over a quarter of the limit, as long as its hole
    is nowhere wider than that quarter: then every pixel of the hole has a known one near it in its tile, and a caption
    that runs across a large photograph is filled at full resolution. With a wider hole a tile could be all hole, so the
    whole crop is scaled down to the limit and the fill scaled back.
    """

    def __init__(
        self,
        registry: Registry,
        device: str = "cpu",
        model_id: str = MODEL_ID,
        limit_px: int = _LIMIT_PX,
        autocast: bool | None = None,
    ) -> None:
        """Loads the network, once per process.

        Args:
            registry: where the weights are.
            device: "cpu", "cuda:0", ...
            model_id: id in the registry.
            limit_px: largest height and width that the network is shown, before padding to its multiple.
            autocast: bfloat16 arithmetic around float32 weights; None = on CUDA devices that have it. It costs up to
                a few grey levels.

        Raises:
            ModelError: spandrel is not installed, or the weights are missing, tampered with, not permitted or not those
                of an inpainting network.
        """
        loaded = load_once(registry, model_id, device, lambda path: load_inpainting(path, device))
        self._network = loaded.model
        self._sizes = loaded.size_requirements
        self._device = torch.device(device)
        self._limit_px = limit_px
        self._autocast = has_bfloat16(self._device) if autocast is None else autocast
        self.spec = EngineSpec(
            "lama",
            registry.entry(model_id).licence,
            _COST_UNITS_PER_MPX,
            size_multiple=self._sizes.multiple_of,
            minimum_px=max(1, self._sizes.minimum),
            batchable=True,
            generative=True,
        )

    @classmethod
    def build(cls, config: Config, registry: Registry, device: str) -> LamaEngine:
        """Loads the registry's entry "lama".

        Raises:
            ModelError: see the constructor.
        """
        return cls(registry, device)

    def fill(self, requests: Sequence[FillRequest]) -> list[NDArray[np.uint8]]:
        """See `Engine.fill`; outside the hole (alpha > 0 or invalid) each result is the crop."""
        views = [_view(request, self._limit_px) for request in requests]
        sums = [np.zeros((*view.hole.shape, 4), np.float32) for view in views]
        buckets: dict[tuple[int, int], list[tuple[int, Box]]] = defaultdict(list)
        for index, view in enumerate(views):
            for tile in view.tiles:
                buckets[self._padded_size(tile)].append((index, tile))
        for (height, width), members in buckets.items():
            count = max(1, self._limit_px**2 // (height * width))
            for start in range(0, len(members), count):
                self._run(members[start : start + count], (height, width), views, sums)
        return [_result(*item) for item in zip(requests, views, sums, strict=True)]

    def _padded_size(self, tile: Box) -> tuple[int, int]:
        """Height and width that the network takes for a tile."""
        right, below = self._sizes.get_padding(tile.width, tile.height)
        return tile.height + below, tile.width + right

    def _run(
        self,
        members: Sequence[tuple[int, Box]],
        size: tuple[int, int],
        views: Sequence[_View],
        sums: Sequence[NDArray[np.float32]],
    ) -> None:
        """Fills tiles of one padded size and adds them, weighted, to `sums`."""
        crops = np.stack([_padded(views[index].crop[tile.slices], size) for index, tile in members])
        holes = np.stack([_padded(views[index].hole[tile.slices], size) for index, tile in members])
        given = torch.from_numpy(crops).to(self._device).permute(0, 3, 1, 2).float().div(255)
        mask = torch.from_numpy(holes).to(self._device)[:, None].float()
        with (
            torch.inference_mode(),
            torch.autocast(self._device.type, torch.bfloat16, enabled=self._autocast),
        ):
            found = self._network(given, mask)
        pixels = found.float().clamp(0, 1).mul(255).permute(0, 2, 3, 1).cpu().numpy()
        for (index, tile), values in zip(members, pixels, strict=True):
            weight = _feather(tile, _overlap_px(self._limit_px))[:, :, None]
            inside = values[: tile.height, : tile.width]
            sums[index][tile.slices] += np.concatenate([inside * weight, weight], axis=2)


@dataclass(frozen=True)
class _View:
    """What the network is shown of a request.

    Attributes:
        crop: uint8 (H, W, 3), RGB, black in the hole; smaller than the request's where its hole is wide.
        hole: uint8 (H, W), 0 or 1.
        tiles: parts that hold something to fill; none where nothing is to be filled or nothing is known.
    """

    crop: NDArray[np.uint8]
    hole: NDArray[np.uint8]
    tiles: tuple[Box, ...]


def _view(request: FillRequest, limit_px: int) -> _View:
    hole = request.hole
    crop = np.where(hole[:, :, None] > 0, np.uint8(0), request.crop)
    if max(hole.shape) > limit_px and _width_px(hole) > _overlap_px(limit_px):
        crop, hole = _shrunk(crop, hole, limit_px)
    return _View(crop, hole, tuple(_tiles(hole, limit_px)) if not hole.all() else ())


def _overlap_px(limit_px: int) -> int:
    """How far neighbouring tiles overlap, and how wide a hole may be to be tiled."""
    return max(1, limit_px // 4)


def _width_px(hole: NDArray[np.uint8]) -> float:
    """Width of the widest part of a hole: twice the largest distance to a known pixel."""
    return float(2 * cv2.distanceTransform(hole, cv2.DIST_L2, cv2.DIST_MASK_PRECISE).max())


def _shrunk(
    crop: NDArray[np.uint8], hole: NDArray[np.uint8], limit_px: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Scales a crop down to the limit; a small pixel that covers any of the hole belongs to the hole."""
    height, width = hole.shape
    scale = limit_px / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small_hole = windows.shrink_mask(hole, size)
    small = np.asarray(cv2.resize(crop, size, interpolation=cv2.INTER_AREA), np.uint8)
    return np.where(small_hole[:, :, None] > 0, np.uint8(0), small), small_hole


def _tiles(hole: NDArray[np.uint8], limit_px: int) -> Iterator[Box]:
    """Tiles of at most the limit that hold a hole."""
    height, width = hole.shape
    parts = windows.tiles(Box(0, 0, width, height), limit_px, _overlap_px(limit_px))
    return (tile for tile in parts if hole[tile.slices].any())


def _feather(tile: Box, overlap_px: int) -> NDArray[np.float32]:
    """Weight of a tile's pixels: rises from its edges over the overlap; the sum over all tiles is divided out."""
    ramps = [
        np.minimum(np.minimum(np.arange(1, size + 1), np.arange(size, 0, -1)), overlap_px)
        for size in (tile.height, tile.width)
    ]
    return (np.outer(*ramps) / overlap_px**2).astype(np.float32)


def _padded(tile: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Rows below and columns to the right, mirrored, up to a height and width."""
    missing = [(0, size[0] - tile.shape[0]), (0, size[1] - tile.shape[1])]
    return np.pad(tile, [*missing, *[(0, 0)] * (tile.ndim - 2)], mode="reflect")


def _result(request: FillRequest, view: _View, total: NDArray[np.float32]) -> NDArray[np.uint8]:
    if not view.tiles:
        filled = np.full_like(request.crop, _NO_SOURCE)
    else:
        height, width = request.alpha.shape
        colour = total[:, :, :3] / np.maximum(total[:, :, 3:], np.float32(1e-6))
        if colour.shape[:2] != (height, width):
            colour = np.asarray(cv2.resize(colour, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)
        filled = np.clip(np.rint(colour), 0, 255).astype(np.uint8)
    return np.where(request.hole[:, :, None] > 0, filled, request.crop)


def load_inpainting(path: Path, device: str = "cpu") -> Any:
    """Reads the weights of an inpainting network, as safetensors or as a plain state dict of torch.

    Args:
        path: of the weights; its name may have any suffix.
        device: "cpu", "cuda:0", ...

    Returns:
        A spandrel.MaskedImageModelDescriptor, float32, ready for inference. In spandrel 0.4.2 LaMa is the only such
        architecture.

    Raises:
        ModelError: spandrel is not installed, or the file does not hold what it should.
    """
    loaded = load_by_spandrel(path, "the engine 'lama'")
    if loaded.purpose != "Inpainting":
        raise ModelError(f"{path} holds {loaded.architecture.name} for {loaded.purpose}, which fills no holes")
    loaded.float().eval().to(device)
    _keep_transforms_in_float32(loaded.model)
    return loaded


def _keep_transforms_in_float32(network: torch.nn.Module) -> None:
    """LaMa's Fourier transforms come first in their units; under autocast they would get bfloat16, which has none."""
    for module in network.modules():
        if type(module).__name__ == "FourierUnit":
            module.register_forward_pre_hook(lambda _, given: (given[0].float(),))
