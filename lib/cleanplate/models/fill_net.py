"""The fill network: which of several cheap fills to believe at each pixel, and what they all miss."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from cleanplate.models.unet import PixelUnet
from cleanplate.models.weights import load_weights

FILLS = 3  # Telea, Navier-Stokes, biharmonic under tension: see fill/network.py
WIDTHS = (48, 96, 144)
_SPREAD = 0.25  # of the grey scale: what the network sees lies about between -1 and 1


class FillNet(PixelUnet):
    """A residual U-Net that returns softmax weights over the given fills plus a residual.

    Its last layer starts at zero, so that training starts from the plain mean of the fills. About 2.0 M parameters,
    70 G multiply-adds per megapixel.
    """

    def __init__(self, widths: Sequence[int] = WIDTHS) -> None:
        """Makes the layers.

        Args:
            widths: channels at strides 2, 4 and 8.
        """
        super().__init__(3 * FILLS + 1, 3 + FILLS, widths)

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
        out = self.planes([seen, hole])
        weights = torch.softmax(out[:, 3:], dim=1)
        mixed = (weights[:, :, None] * fills).sum(dim=1) + _SPREAD * out[:, :3]
        return torch.where(hole > 0, mixed, fills[:, 0])


def load_fill_net(path: Path, device: str = "cpu") -> FillNet:
    """Reads weights and makes the network ready for inference.

    Args:
        path: safetensors file as `training/train_fill.py` writes it.
        device: "cpu", "cuda:0", ...

    Raises:
        ModelError: the file is not one of this network.
    """
    return load_weights(FillNet(), path, device, "fill network")
