"""Shrinks the coefficients of overlapping 8x8 DCTs: what JPEG's rounding leaves of them, at every other place."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

SIDE = 8
_STRIDE = 2
_MARGIN = SIDE - _STRIDE  # blocks begin so far outside the picture, so that every pixel lies in 16 of them
_LEAST = 1e-6  # of the grey scale, squared: a block without any detail has no gain to compute


class SlidingDct(nn.Module):
    """Empirical Wiener shrinkage in a sliding DCT (Yaroslavsky et al., SPIE 2001), averaged over 16 grids.

    A block's coefficient c becomes c * c^2 / (c^2 + s^2), where s is the size that the noise has at that frequency; the
    shrunk blocks are laid over each other. Blocks lie at every other pixel, so most of them straddle JPEG's own grid.
    """

    basis: Tensor

    def __init__(self) -> None:
        """Makes the transform; it has no weights."""
        super().__init__()
        self.register_buffer("basis", _dct_basis(), persistent=False)

    def analyse(self, planes: Tensor) -> Tensor:
        """Coefficients of the blocks.

        Args:
            planes: float (N, C, H, W); H and W are even, at least 8.

        Returns:
            float (N * C, 64, H / 2 + 3, W / 2 + 3): vertical frequency times 8 plus horizontal frequency; the first
            block begins 6 pixels outside, where the picture is mirrored.
        """
        padded = functional.pad(planes, (_MARGIN,) * 4, mode="reflect")
        return functional.conv2d(padded.flatten(0, 1)[:, None], self.basis, stride=_STRIDE)

    def forward(self, planes: Tensor, spread: Tensor) -> Tensor:
        """Shrinks.

        Args:
            planes: float (N, C, H, W); H and W are even, at least 8.
            spread: float (N, C, 64): the noise's standard deviation of each coefficient (of the orthonormal DCT).

        Returns:
            float (N, C, H, W).
        """
        found = self.analyse(planes)
        power = found.square()
        noise = spread.flatten(0, 1)[:, :, None, None].square() + _LEAST
        return self.synthesise(found * (power / (power + noise))).reshape(planes.shape)

    def synthesise(self, coefficients: Tensor) -> Tensor:
        """The mean of the blocks that lie over each pixel: the inverse of `analyse`, float (N * C, H, W)."""
        height, width = (2 * _MARGIN + _STRIDE * (length - 3) for length in coefficients.shape[2:])
        # conv_transpose2d would do the same in four times the time.
        blocks = self.basis.reshape(SIDE * SIDE, -1).t() @ coefficients.flatten(2)
        laid = functional.fold(blocks, (height, width), SIDE, stride=_STRIDE)[:, 0]
        return laid[:, _MARGIN:-_MARGIN, _MARGIN:-_MARGIN] / (SIDE // _STRIDE) ** 2


def _dct_basis() -> Tensor:
    """The orthonormal DCT-II of 8x8 blocks as kernels, float (64, 1, 8, 8)."""
    place = torch.arange(SIDE, dtype=torch.float64)
    waves = torch.cos(torch.pi * (2 * place[None] + 1) * place[:, None] / (2 * SIDE)) * (2 / SIDE) ** 0.5
    waves[0] /= 2**0.5
    kernels = torch.einsum("ai,bj->abij", waves, waves)
    return kernels.reshape(SIDE * SIDE, 1, SIDE, SIDE).float()
