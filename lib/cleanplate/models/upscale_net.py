"""The faithful upscaler: twice the size, true to what is there; it sharpens edges and invents nothing."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from torch import Tensor, nn
from torch.nn import functional

from cleanplate.models.weights import load_weights

SCALE = 2
_CHANNELS, _BLOCKS = 48, 4
_SPREAD = 0.25  # of the grey scale: what the network sees lies about between -1 and 1


class UpscaleNet(nn.Module):
    """Adds to the bicubic picture what its absolute error says is missing.

    It works at the small size and writes four sub-pixels per position (ESPCN: Shi et al., CVPR 2016) as a residual over
    bicubic interpolation (VDSR: Kim et al., CVPR 2016). Trained without an adversary or a perceptual loss. About 0.2 M
    parameters.
    """

    def __init__(self, channels: int = _CHANNELS, blocks: int = _BLOCKS) -> None:
        """Makes the layers.

        Args:
            channels: of all features.
            blocks: residual blocks of two convolutions.
        """
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 3, padding=1)
        self.body = nn.ModuleList(_Block(channels) for _ in range(blocks))
        self.head = nn.Conv2d(channels, 3 * SCALE * SCALE, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(cast(Tensor, self.head.bias))

    @property
    def radius_px(self) -> int:
        """How far, in pixels of the small picture, it looks."""
        return 2 + 2 * len(self.body)

    def forward(self, picture: Tensor) -> Tensor:
        """Doubles the size of a batch.

        Args:
            picture: float (N, 3, H, W), 0..1, RGB.

        Returns:
            float (N, 3, 2 H, 2 W), RGB, not clipped.
        """
        features = self.stem((picture - 0.5) / _SPREAD)
        for block in self.body:
            features = block(features)
        residual = functional.pixel_shuffle(self.head(features), SCALE)
        return enlarge(picture) + _SPREAD * residual


class _Block(nn.Module):
    """A residual block whose second convolution starts at zero."""

    def __init__(self, channels: int) -> None:
        """Makes the layers."""
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(cast(Tensor, self.second.bias))

    def forward(self, features: Tensor) -> Tensor:
        """Adds what the convolutions find."""
        return features + cast(Tensor, self.second(functional.relu(self.first(features))))


def enlarge(picture: Tensor) -> Tensor:
    """Bicubic interpolation to twice the size (Keys, 1981, a = -0.5), float (N, 3, 2 H, 2 W)."""
    return functional.interpolate(picture, scale_factor=SCALE, mode="bicubic", antialias=True, align_corners=False)


def load_upscale_net(path: Path, device: str = "cpu") -> UpscaleNet:
    """Reads weights and makes the network ready for inference.

    Args:
        path: safetensors file as `training/train_upscale.py` writes it.
        device: "cpu", "cuda:0", ...

    Raises:
        ModelError: the file is not one of this network.
    """
    return load_weights(UpscaleNet(), path, device, "upscale network")
