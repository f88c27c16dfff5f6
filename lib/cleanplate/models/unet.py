"""The U-Net that the small networks of fills share, and its parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

MULTIPLE = 8


class PixelUnet(nn.Module):
    """A residual U-Net (Ronneberger et al., MICCAI 2015) on pixels unshuffled by two.

    Its last layer starts at zero. Strides are 2, 4 and 8; the head writes four sub-pixels per position (Shi et al.,
    CVPR 2016), so that what it makes has the resolution of what it is given.
    """

    def __init__(self, given: int, made: int, widths: Sequence[int], *, refined: bool = False) -> None:
        """Makes the layers.

        Args:
            given: planes that it sees.
            made: planes that it makes.
            widths: channels at strides 2, 4 and 8.
            refined: one block more at stride 2 on the way down, and one on the way up.
        """
        super().__init__()
        first, second, third = widths
        blocks = [Block(first) for _ in range(2 if refined else 1)]
        self.stem = nn.Sequential(nn.Conv2d(4 * given, first, 3, padding=1), *blocks)
        self.down4 = nn.Sequential(nn.Conv2d(first, second, 3, stride=2, padding=1), Block(second), Block(second, 2))
        self.down8 = nn.Conv2d(second, third, 3, stride=2, padding=1)
        self.bottom = nn.Sequential(Block(third), Block(third, 2), Block(third, 4))
        self.up4 = Up(third, second)
        self.up2 = Up(second, first)
        self.refine: nn.Module = Block(first) if refined else nn.Identity()
        self.head = nn.Conv2d(first, 4 * made, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(cast(Tensor, self.head.bias))

    def planes(self, seen: Sequence[Tensor]) -> Tensor:
        """What it makes of some planes.

        Args:
            seen: float (N, C, H, W) each, `given` channels in all; H and W are multiples of MULTIPLE.

        Returns:
            float (N, made, H, W), of their dtype.
        """
        half = self.stem(functional.pixel_unshuffle(torch.cat(list(seen), dim=1), 2))
        quarter = self.down4(half)
        found = self.refine(self.up2(self.up4(self.bottom(self.down8(quarter)), quarter), half))
        return functional.pixel_shuffle(self.head(found), 2).to(seen[0].dtype)


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
