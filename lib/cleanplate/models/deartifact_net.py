"""The deartifact network: takes away what JPEG's rounding added, told how strong it was and where its blocks lie."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from cleanplate.models import ffdnet
from cleanplate.models.weights import load_weights

MULTIPLE = 2
RECEPTIVE_PX = ffdnet.RECEPTIVE_PX
KNOTS = (5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 55.0, 70.0, 82.0, 91.0, 98.0)  # qualities; between them linear
BLIND = -1.0
_CONDITION = 32
_GAIN = 0.05  # of scale and shift: 32 numbers that move together must not run ahead of the layers
_SEEN, _PHASES = 13, 4  # planes: FFDNet's four sub-pictures and level; the place in JPEG's grid


class DeartifactNet(nn.Module):
    """The layers of FFDNet, told a JPEG's quality and grid.

    FFDNet (Zhang, Zuo and Zhang, IEEE TIP 27(9), 2018) takes noise away whose level it is told. What JPEG adds is noise
    of another kind, so the training starts from FFDNet's weights. The quality chooses a noise level, and enters every
    layer by a scale and a shift of its features, which start at one and zero (FiLM: Perez et al., AAAI 2018; for JPEG:
    Jiang et al., FBCNN, ICCV 2021). The place in JPEG's grid is four more planes, whose weights start at zero.
    0.93 M parameters, 215 G multiply-adds per megapixel.
    """

    def __init__(self, width: int = ffdnet.WIDTH, layers: int = ffdnet.LAYERS) -> None:
        """Makes the layers.

        Args:
            width: channels between the layers.
            layers: convolutions, at least 2.
        """
        super().__init__()
        self.condition = Condition()
        self.log_level = nn.Parameter(torch.full((len(KNOTS) + 1,), -3.0))
        channels = [_SEEN + _PHASES, *[width] * (layers - 1), 12]
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, 3, padding=1) for before, after in itertools.pairwise(channels)
        )
        self.modulate = nn.ModuleList(nn.Linear(_CONDITION, 2 * width) for _ in range(layers - 1))
        for value in self.modulate.parameters():
            nn.init.zeros_(value)

    @torch.no_grad()
    def start_from(self, denoiser: ffdnet.Ffdnet) -> None:
        """Takes the layers of FFDNet, of the same width and depth."""
        known = [layer for layer in denoiser.model if isinstance(layer, nn.Conv2d)]
        for mine, layer in zip(cast(list[nn.Conv2d], list(self.layers)), known, strict=True):
            mine.weight[:, : layer.in_channels] = layer.weight
            mine.weight[:, layer.in_channels :] = 0
            cast(Tensor, mine.bias).copy_(cast(Tensor, layer.bias))

    def forward(self, picture: Tensor, quality: Tensor, grid: Tensor) -> Tensor:
        """Cleans a batch.

        Args:
            picture: float (N, 3, H, W), 0..1, RGB, as decoded; H and W are multiples of 2.
            quality: float (N,): JPEG quality of the Independent JPEG Group, 1..100; BLIND where it is not known.
            grid: float (N, 2): row and column, 0..7, of the first pixel within its 8x8 block; -1 where not known.

        Returns:
            float (N, 3, H, W), RGB, not clipped.
        """
        seen = functional.pixel_unshuffle(picture, 2)
        height, width = seen.shape[2:]
        level = (knot_weights(quality) @ self.log_level).exp()[:, None, None, None].expand(-1, 1, height, width)
        features = torch.cat([seen, level, _phases(grid, height, width)], dim=1)
        told = self.condition(quality)
        for layer, modulate in zip(self.layers[:-1], self.modulate, strict=True):
            scale, shift = (_GAIN * modulate(told))[:, :, None, None].chunk(2, dim=1)
            features = functional.relu(layer(features) * (1 + scale) + shift)
        with torch.autocast(picture.device.type, enabled=False):  # the picture itself needs more than bfloat16's 8 bits
            found = self.layers[-1](features.float())
        return cast(Tensor, functional.pixel_shuffle(found, 2))


class Condition(nn.Module):
    """What the blocks are told of a quality: a vector per knot, between them linear; one more where it is unknown."""

    def __init__(self) -> None:
        """Makes the vectors: a smooth start, so that neighbouring qualities are alike."""
        super().__init__()
        places = torch.linspace(0, 1, len(KNOTS))[:, None] * torch.arange(1, _CONDITION + 1)[None] * (torch.pi / 8)
        start = torch.cat([torch.cos(places), torch.zeros(1, _CONDITION)])
        self.vectors = nn.Parameter(start)

    def forward(self, quality: Tensor) -> Tensor:
        """A vector for each quality, float (N, 32)."""
        return knot_weights(quality) @ self.vectors


def knot_weights(quality: Tensor) -> Tensor:
    """How much each knot counts for a quality, float (N, knots + 1), rows adding up to 1; the last is "unknown"."""
    knots = torch.tensor(KNOTS, device=quality.device, dtype=quality.dtype)
    inside = quality.clamp(KNOTS[0], KNOTS[-1])
    upper = torch.searchsorted(knots, inside).clamp(1, len(KNOTS) - 1)
    share = (inside - knots[upper - 1]) / (knots[upper] - knots[upper - 1])
    known = functional.one_hot(upper, len(KNOTS) + 1) * share[:, None]
    known = known + functional.one_hot(upper - 1, len(KNOTS) + 1) * (1 - share[:, None])
    blind = torch.zeros_like(known)
    blind[:, -1] = 1
    return torch.where(quality[:, None] >= 0, known, blind)


def _phases(grid: Tensor, height: int, width: int) -> Tensor:
    """Where pixels lie in JPEG's blocks, as waves of period 8: float (N, 4, height, width) at stride 2; else zeros."""

    def waves(start: Tensor, length: int) -> Tensor:
        angle = (start[:, None] + 2 * torch.arange(length, device=grid.device)[None]) * (torch.pi / 4)
        return torch.stack([torch.cos(angle), torch.sin(angle)], dim=1)

    rows = waves(grid[:, 0], height)[:, :, :, None].expand(-1, -1, -1, width)
    columns = waves(grid[:, 1], width)[:, :, None, :].expand(-1, -1, height, -1)
    return torch.cat([rows, columns], dim=1) * (grid >= 0).all(dim=1)[:, None, None, None]


def load_deartifact_net(path: Path, device: str = "cpu") -> DeartifactNet:
    """Reads weights and makes the network ready for inference.

    Args:
        path: safetensors file as `training/train_deartifact.py` writes it.
        device: "cpu", "cuda:0", ...

    Raises:
        ModelError: the file is not one of this network.
    """
    return load_weights(DeartifactNet(), path, device, "deartifact network")
