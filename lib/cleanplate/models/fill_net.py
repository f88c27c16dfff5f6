"""The fill network: which of several cheap fills to believe at each pixel, and what they all miss."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from cleanplate.models.weights import load_weights

FILLS = 3  # Telea, Navier-Stokes, biharmonic under tension: see fill/network.py
MULTIPLE = 8
WIDTHS = (48, 96, 144)
_SPREAD = 0.25  # of the grey scale: what the network sees lies about between -1 and 1


class FillNet(nn.Module):
    """A residual U-Net that returns softmax weights over the given fills plus a residual.

    Its last layer starts at zero, so that training starts from the plain mean of the fills. Strides are 2, 4 and 8; the
    head writes four sub-pixels per position (Shi et al., CVPR 2016). About 2.0 M parameters, 70 G multiply-adds per
    megapixel.
    """

    def __init__(self, widths: Sequence[int] = WIDTHS) -> None:
        """Makes the layers.

        Args:
            widths: channels at strides 2, 4 and 8.
        """
        super().__init__()
        first, second, third = widths
        self.stem = nn.Sequential(nn.Conv2d(4 * (3 * FILLS + 1), first, 3, padding=1), Block(first))
        self.down4 = nn.Sequential(nn.Conv2d(first, second, 3, stride=2, padding=1), Block(second), Block(second, 2))
        self.down8 = nn.Conv2d(second, third, 3, stride=2, padding=1)
        self.bottom = nn.Sequential(Block(third), Block(third, 2), Block(third, 4))
        self.up4 = Up(third, second)
        self.up2 = Up(second, first)
        self.head = nn.Conv2d(first, 4 * (3 + FILLS), 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(cast(Tensor, self.head.bias))

    def forward(self, fills: Tensor, hole: Tensor) -> Tensor:
        """Fills a batch.

        Args:
            fills: float (N, FILLS, 3, H, W), 0..1, RGB: the crop, filled in each way; H and W are multiples of 8.
            hole: float (N, 1, H, W), 1 where it is to be filled.

        Returns:
            float (N, 3, H, W), not clipped; where the hole is 0 it is the first fill, that is the crop.
        """
        count, _, _, height, width = fills.shape
        mean = fills.mean(dim=(1, 3, 4), keepdim=True)
        seen = ((fills - mean) / _SPREAD).reshape(count, 3 * FILLS, height, width)
        half = self.stem(functional.pixel_unshuffle(torch.cat([seen, hole], dim=1), 2))
        quarter = self.down4(half)
        found = self.up2(self.up4(self.bottom(self.down8(quarter)), quarter), half)
        out = functional.pixel_shuffle(self.head(found), 2).to(fills.dtype)
        weights = torch.softmax(out[:, 3:], dim=1)
        mixed = (weights[:, :, None] * fills).sum(dim=1) + _SPREAD * out[:, :3]
        return torch.where(hole > 0, mixed, fills[:, 0])


class Block(nn.Module):
    """A residual block whose second convolution starts at zero."""

    def __init__(self, channels: int, dilation: int = 1) -> None:
        """Makes the layers."""
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(cast(Tensor, self.second.bias))

    def forward(self, features: Tensor) -> Tensor:
        """Adds what the convolutions find."""
        found = functional.relu(self.first(functional.relu(features)))
        return features + cast(Tensor, self.second(found))


class Up(nn.Module):
    """Brings coarse features up by two, adds the finer ones, and refines them."""

    def __init__(self, coarse: int, fine: int) -> None:
        """Makes the layers."""
        super().__init__()
        self.project = nn.Conv2d(coarse, 4 * fine, 1)
        self.refine = Block(fine)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Features of the finer one's size."""
        return cast(Tensor, self.refine(functional.pixel_shuffle(self.project(coarse), 2) + fine))


def load_fill_net(path: Path, device: str = "cpu") -> FillNet:
    """Reads weights and makes the network ready for inference.

    Args:
        path: safetensors file as `training/train_fill.py` writes it.
        device: "cpu", "cuda:0", ...

    Raises:
        ModelError: the file is not one of this network.
    """
    return load_weights(FillNet(), path, device, "fill network")
