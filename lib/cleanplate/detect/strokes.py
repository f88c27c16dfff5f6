"""Which pixels are strokes, and of what, by the package's own network; marks that are no text included."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cleanplate import windows
from cleanplate.config import Config, DetectConfig
from cleanplate.models.cache import load_once
from cleanplate.models.registry import Registry
from cleanplate.models.stroke_net import CHANNELS, MULTIPLE, load_stroke_net
from cleanplate.records import Box

MODEL_ID = "strokes"
_TILE_PX = 512
_MARGIN_PX = 48  # of a tile's rim that is looked at but not used, where the picture goes on
_BATCH_PIXELS = 1_500_000  # bounds the network's memory to about 0.5 GB
_SMALLEST_PX = 8  # a picture of fewer rows or columns holds no letter


class StrokeMapper:
    """The stroke network (`models/stroke_net.py`), run in tiles."""

    def __init__(self, network: nn.Module, config: DetectConfig, device: str = "cpu") -> None:
        """Keeps a network (shared by the process) and the settings."""
        self._network = network
        self._config = config
        self._device = device

    @classmethod
    def build(cls, config: Config, registry: Registry, device: str) -> StrokeMapper:
        """Loads the network, once per process.

        Raises:
            ModelError: its weights are missing, tampered with or not permitted.
        """
        network = load_once(registry, MODEL_ID, device, lambda path: load_stroke_net(path, device))
        return cls(network, config.detect, device)

    def probability_maps(
        self, images_rgb: Sequence[NDArray[np.uint8]], line_maps: Sequence[NDArray[np.float32]]
    ) -> list[NDArray[np.float32]]:
        """How sure the network is, per pixel.

        Pictures longer than `detect.strokes_long_side_px` are scaled down to it, and their maps up again.

        Args:
            images_rgb: uint8 (H, W, 3), RGB, of any sizes.
            line_maps: float32 (H, W), 0..1, PP-OCR's probability of text in each.

        Returns:
            float32 (7, H, W), 0..1, one per image, in the order of stroke_net.CHANNELS.
        """
        scaled = [self._scaled(_with_lines(*both)) for both in zip(images_rgb, line_maps, strict=True)]
        maps = [np.zeros((len(CHANNELS), *image.shape[:2]), np.float32) for image in scaled]
        buckets: dict[tuple[int, int], list[tuple[int, Box]]] = defaultdict(list)
        for index, image in enumerate(scaled):
            for tile in tiles(*image.shape[:2]):
                buckets[tile.height, tile.width].append((index, tile))
        for (height, width), members in buckets.items():
            size = max(1, _BATCH_PIXELS // (height * width))
            for start in range(0, len(members), size):
                self._run(scaled, maps, members[start : start + size])
        return [_resized(found, image.shape[:2]) for found, image in zip(maps, images_rgb, strict=True)]

    def _scaled(self, image_rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        height, width = image_rgb.shape[:2]
        scale = self._config.strokes_long_side_px / max(height, width)
        if scale >= 1:
            return image_rgb
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        return np.asarray(cv2.resize(image_rgb, size, interpolation=cv2.INTER_AREA), np.uint8)

    def _run(
        self, images: Sequence[NDArray[np.uint8]], maps: Sequence[NDArray[np.float32]], members: list[tuple[int, Box]]
    ) -> None:
        """Runs tiles of one size and writes their results into `maps`."""
        padded = np.stack([windows.mirrored(images[index][tile.slices], MULTIPLE) for index, tile in members])
        batch = torch.from_numpy(padded).to(self._device).permute(0, 3, 1, 2).float().div(255)
        with torch.inference_mode():
            logits = self._network(batch.contiguous(memory_format=torch.channels_last))
            found = torch.sigmoid(logits.float()).cpu().numpy()
        for (index, tile), probability in zip(members, found, strict=True):
            _paste(maps[index], tile, probability[:, : tile.height, : tile.width])


def tiles(height: int, width: int) -> Iterator[Box]:
    """Tiles that cover a picture of height x width, overlapping by twice the unused margin; none for a tiny one."""
    if min(height, width) < _SMALLEST_PX:
        return
    yield from windows.tiles(Box(0, 0, width, height), _TILE_PX, 2 * _MARGIN_PX)


def _with_lines(image_rgb: NDArray[np.uint8], line_map: NDArray[np.float32]) -> NDArray[np.uint8]:
    """uint8 (H, W, 4): what the network sees."""
    return np.dstack([image_rgb, np.round(line_map * 255).astype(np.uint8)])


def _paste(target: NDArray[np.float32], tile: Box, probability: NDArray[np.float32]) -> None:
    """Writes what a tile found, but for the margin on the sides where the picture goes on."""
    height, width = target.shape[1:]
    inner = windows.without_rim(tile, Box(0, 0, width, height), _MARGIN_PX)
    top, left = inner.top - tile.top, inner.left - tile.left
    target[(slice(None), *inner.slices)] = probability[:, top : top + inner.height, left : left + inner.width]


def _resized(maps: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    if maps.shape[1:] == tuple(shape):
        return maps
    return np.stack([cv2.resize(layer, shape[::-1], interpolation=cv2.INTER_LINEAR) for layer in maps])
