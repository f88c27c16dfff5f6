"""The deartifact network: takes away what JPEG's rounding added, told how strong it was and where its blocks lie."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from cleanplate.models.sliding_dct import SIDE, SlidingDct
from cleanplate.models.weights import load_weights

MULTIPLE = 8
WIDTHS = (40, 64, 96)
KNOTS = (5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 55.0, 70.0, 82.0, 91.0, 98.0)  # qualities; between them linear
BLIND = -1.0
_SPREAD = 0.25  # of the grey scale: what the network sees lies about between -1 and 1
_CONDITION = 32
_GUIDED_PX, _GUIDED_NOISE = 4, 1e-4  # radius, and variance of luma (0..1) below which it says little of chroma
_TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))  # JFIF, BT.601


class DeartifactNet(nn.Module):
    """A residual U-Net over a picture that a sliding DCT has cleaned already.

    The sliding DCT's noise levels, one per frequency, channel and quality, can be measured in one pass over photographs
    (`training/train_deartifact.py` does); the U-Net's last layer starts at zero, so training starts from there.
    Strides are 2, 4 and 8; quality enters every block by a scale and a shift of its features (FiLM: Perez et al., AAAI
    2018; for JPEG: Jiang et al., FBCNN, ICCV 2021), the place in JPEG's grid as four more planes. The head writes four
    sub-pixels per position (Shi et al., CVPR 2016). At the end luma, of which JPEG keeps more, guides chroma, by
    a share per quality that is fitted after the training.
    """

    to_ycc: Tensor
    to_rgb: Tensor
    guidance: Tensor

    def __init__(self, widths: Sequence[int] = WIDTHS) -> None:
        """Makes the layers.

        Args:
            widths: channels at strides 2, 4 and 8.
        """
        super().__init__()
        first, second, third = widths
        self.condition = Condition()
        self.sliding = SlidingDct()
        self.log_noise = nn.Parameter(torch.full((len(KNOTS) + 1, 3, SIDE * SIDE), -4.0))
        self.stem = nn.Conv2d(4 * 6 + 4, first, 3, padding=1)
        self.fine = nn.ModuleList([Block(first), Block(first)])
        self.down4 = nn.Conv2d(first, second, 2, stride=2)
        self.middle = nn.ModuleList([Block(second), Block(second)])
        self.down8 = nn.Conv2d(second, third, 2, stride=2)
        self.bottom = nn.ModuleList([Block(third), Block(third), Block(third)])
        self.up4 = nn.Conv2d(third, 4 * second, 1)
        self.middle_again = nn.ModuleList([Block(second), Block(second)])
        self.up2 = nn.Conv2d(second, 4 * first, 1)
        self.fine_again = nn.ModuleList([Block(first), Block(first)])
        self.head = nn.Conv2d(first, 12, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(cast(Tensor, self.head.bias))
        self.register_buffer("guidance", torch.zeros(len(KNOTS) + 1))
        matrix = torch.tensor(_TO_YCC)
        self.register_buffer("to_ycc", matrix[:, :, None, None], persistent=False)
        self.register_buffer("to_rgb", torch.linalg.inv(matrix)[:, :, None, None], persistent=False)

    def forward(self, picture: Tensor, quality: Tensor, grid: Tensor) -> Tensor:
        """Cleans a batch.

        Args:
            picture: float (N, 3, H, W), 0..1, RGB, as decoded; H and W are multiples of 8.
            quality: float (N,): JPEG quality of the Independent JPEG Group, 1..100; BLIND where it is not known.
            grid: float (N, 2): row and column, 0..7, of the first pixel within its 8x8 block; -1 where not known.

        Returns:
            float (N, 3, H, W), RGB, not clipped.
        """
        planes = self.restore(picture, quality, grid)
        luma, chroma = planes[:, :1], planes[:, 1:]
        share = (knot_weights(quality) @ self.guidance)[:, None, None, None]
        planes = torch.cat([luma, chroma + share * (guided(luma, chroma) - chroma)], dim=1)
        return functional.conv2d(planes, self.to_rgb) + 0.5

    def restore(self, picture: Tensor, quality: Tensor, grid: Tensor) -> Tensor:
        """Luma and chroma, float (N, 3, H, W), around 0, before luma guides chroma; see `forward`."""
        planes = functional.conv2d(picture - 0.5, self.to_ycc)
        cleaned = self.presmooth(planes, quality)
        features = functional.pixel_unshuffle(torch.cat([planes, cleaned], dim=1) / _SPREAD, 2)
        features = torch.cat([features, _phases(grid, features.shape[2], features.shape[3])], dim=1)
        told = self.condition(quality)
        half = _through(self.fine, self.stem(features), told)
        quarter = _through(self.middle, self.down4(half), told)
        found = _through(self.bottom, self.down8(quarter), told)
        found = _through(self.middle_again, functional.pixel_shuffle(self.up4(found), 2) + quarter, told)
        found = _through(self.fine_again, functional.pixel_shuffle(self.up2(found), 2) + half, told)
        return cleaned + _SPREAD * functional.pixel_shuffle(self.head(found), 2)

    def presmooth(self, planes: Tensor, quality: Tensor) -> Tensor:
        """Luma and chroma, float (N, 3, H, W), after the sliding DCT alone."""
        levels = torch.einsum("nk,kcf->ncf", knot_weights(quality), self.log_noise)
        return cast(Tensor, self.sliding(planes, levels.exp()))


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


class Block(nn.Module):
    """A residual block that the condition scales and shifts; its second convolution starts at zero."""

    def __init__(self, channels: int) -> None:
        """Makes the layers."""
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.modulate = nn.Linear(_CONDITION, 2 * channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        for layer in (self.modulate, self.second):
            nn.init.zeros_(cast(Tensor, layer.weight))
            nn.init.zeros_(cast(Tensor, layer.bias))

    def forward(self, features: Tensor, told: Tensor) -> Tensor:
        """Adds what the convolutions find."""
        scale, shift = self.modulate(told)[:, :, None, None].chunk(2, dim=1)
        found = functional.relu(self.first(functional.relu(features)) * (1 + scale) + shift)
        return features + cast(Tensor, self.second(found))


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


def guided(luma: Tensor, chroma: Tensor) -> Tensor:
    """Chroma as a local linear function of luma: the guided filter (He, Sun and Tang, PAMI 35(6), 2013).

    Args:
        luma: float (N, 1, H, W).
        chroma: float (N, C, H, W).

    Returns:
        float (N, C, H, W).
    """
    mean_luma, mean_chroma = _box(luma), _box(chroma)
    slope = (_box(luma * chroma) - mean_luma * mean_chroma) / (_box(luma * luma) - mean_luma.square() + _GUIDED_NOISE)
    return _box(slope) * luma + _box(mean_chroma - slope * mean_luma)


def _box(planes: Tensor) -> Tensor:
    padded = functional.pad(planes, (_GUIDED_PX,) * 4, mode="reflect")
    return functional.avg_pool2d(padded, 2 * _GUIDED_PX + 1, stride=1)


def _through(blocks: nn.ModuleList, features: Tensor, told: Tensor) -> Tensor:
    for block in blocks:
        features = block(features, told)
    return features


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
