"""Which pixels are strokes, and of what, by the package's own network; marks that are no text included."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from cleanplate import windows
from cleanplate.config import Config, DetectConfig
from cleanplate.detect.ppocr import Sight
from cleanplate.models.cache import load_once
from cleanplate.models.folding import fold
from cleanplate.models.registry import Registry
from cleanplate.models.stroke_net import CHANNELS, FEATURE_STRIDES, MULTIPLE, load_stroke_net
from cleanplate.records import Box

MODEL_ID = "strokes"
_TILE_PX = 1024
_MARGIN_PX = 48  # of a tile's rim that is looked at but not used, where the picture goes on
_BATCH_PIXELS = 1_500_000  # bounds the network's memory to about 0.5 GB
_SMALLEST_PX = 8  # a picture of fewer rows or columns holds no letter


@dataclass(frozen=True)
class _Seen:
    """A picture with its line map, uint8 (H, W, 4), as large as the network sees it, and PP-OCR's features of it."""

    picture: NDArray[np.uint8]
    features: Sequence[Tensor]


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
        network = load_once(registry, MODEL_ID, device, lambda path: fold(load_stroke_net(path, device)))
        return cls(network, config.detect, device)

    def probability_maps(
        self, images_rgb: Sequence[NDArray[np.uint8]], sights: Sequence[Sight]
    ) -> list[NDArray[np.float32]]:
        """How sure the network is, per pixel.

        Pictures longer than `detect.strokes_long_side_px` are scaled down to it, and their maps up again.

        Args:
            images_rgb: uint8 (H, W, 3), RGB, of any sizes.
            sights: what PP-OCR makes of each.

        Returns:
            float32 (7, H, W), 0..1, one per image, in the order of stroke_net.CHANNELS.
        """
        seen = [
            _Seen(self._scaled(_with_lines(image, sight.confidence)), sight.features)
            for image, sight in zip(images_rgb, sights, strict=True)
        ]
        maps = [np.zeros((len(CHANNELS), *each.picture.shape[:2]), np.float32) for each in seen]
        buckets: dict[tuple[int, int], list[tuple[int, Box]]] = defaultdict(list)
        for index, each in enumerate(seen):
            for tile in tiles(*each.picture.shape[:2]):
                buckets[tile.height, tile.width].append((index, tile))
        for (height, width), members in buckets.items():
            size = max(1, _BATCH_PIXELS // (height * width))
            for start in range(0, len(members), size):
                self._run(seen, maps, members[start : start + size])
        return [_resized(found, image.shape[:2]) for found, image in zip(maps, images_rgb, strict=True)]

    def _scaled(self, image_rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        height, width = image_rgb.shape[:2]
        scale = self._config.strokes_long_side_px / max(height, width)
        if scale >= 1:
            return image_rgb
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        return np.asarray(cv2.resize(image_rgb, size, interpolation=cv2.INTER_AREA), np.uint8)

    def _run(
        self, seen: Sequence[_Seen], maps: Sequence[NDArray[np.float32]], members: list[tuple[int, Box]]
    ) -> None:
        """Runs tiles of one size and writes their results into `maps`."""
        padded = np.stack([windows.mirrored(seen[index].picture[tile.slices], MULTIPLE) for index, tile in members])
        batch = torch.from_numpy(padded).to(self._device).permute(0, 3, 1, 2).float().div(255)
        with torch.inference_mode():
            each = [features_in(seen[index].features, tile, seen[index].picture.shape) for index, tile in members]
            features = [torch.cat(level).to(self._device) for level in zip(*each, strict=True)]
            logits = self._network(batch.contiguous(memory_format=torch.channels_last), features)
            found = torch.sigmoid(logits.float()).cpu().numpy()
        for (index, tile), probability in zip(members, found, strict=True):
            _paste(maps[index], tile, probability[:, : tile.height, : tile.width])


def tiles(height: int, width: int) -> Iterator[Box]:
    """Tiles that cover a picture of height x width, overlapping by twice the unused margin; none for a tiny one."""
    if min(height, width) < _SMALLEST_PX:
        return
    yield from windows.tiles(Box(0, 0, width, height), _TILE_PX, 2 * _MARGIN_PX)


def features_in(features: Sequence[Tensor], tile: Box, shape: tuple[int, ...]) -> list[Tensor]:
    """PP-OCR's features of a part of a picture, on the grids on which the stroke network takes them in.

    Args:
        features: float32 (1, c, h, w), each spread evenly over the picture.
        tile: the part; its sides are rounded up to multiples of 16, beyond the picture its rim goes on.
        shape: height and width of the picture in the tile's pixels.

    Returns:
        float32 (1, c, H / s, W / s) for a tile of H x W and each s of FEATURE_STRIDES, interpolated bilinearly.
    """
    found = []
    for level, stride in zip(features, FEATURE_STRIDES, strict=True):
        rows, columns = (-(-side // MULTIPLE) * MULTIPLE // stride for side in (tile.height, tile.width))
        # grid_sample counts from -1 to 1 between a picture's edges
        down, across = (
            2 * (start + stride * (torch.arange(count, device=level.device) + 0.5)) / length - 1
            for start, count, length in ((tile.top, rows, shape[0]), (tile.left, columns, shape[1]))
        )
        grid = torch.stack([across.expand(rows, -1), down[:, None].expand(-1, columns)], dim=-1)[None]
        found.append(functional.grid_sample(level, grid.float(), padding_mode="border", align_corners=False))
    return found


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
