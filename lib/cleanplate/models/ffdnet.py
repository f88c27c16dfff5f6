"""FFDNet: a denoiser that is told the noise level of every pixel (Zhang, Zuo and Zhang, IEEE TIP 27(9), 2018)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from cleanplate.models.weights import load_weights

LAYERS = 12
WIDTH = 96
MULTIPLE = 2
RECEPTIVE_PX = 2 * LAYERS  # each layer looks one pixel further, at half the resolution
LARGEST_SIGMA = 75.0  # grey levels: what it was trained up to


class Ffdnet(nn.Module):
    """Twelve convolutions over four sub-pictures of half the size, with the map of noise levels as one more channel.

    0.85 M parameters, 213 G multiply-adds per megapixel. The keys are those of the published weights.
    """

    def __init__(self, width: int = WIDTH, layers: int = LAYERS) -> None:
        """Makes the layers.

        Args:
            width: channels between the layers.
            layers: convolutions, at least 2.
        """
        super().__init__()
        parts: list[nn.Module] = [nn.Conv2d(13, width, 3, padding=1), nn.ReLU(inplace=True)]
        for _ in range(layers - 2):
            parts += [nn.Conv2d(width, width, 3, padding=1), nn.ReLU(inplace=True)]
        self.model = nn.Sequential(*parts, nn.Conv2d(width, 12, 3, padding=1))

    def forward(self, noisy: Tensor, sigma: Tensor) -> Tensor:
        """Takes the noise away.

        Args:
            noisy: float (N, 3, H, W), RGB, 0..1 (noise beyond that may stay unclipped); any size.
            sigma: float (N, 1, H, W), the noise's standard deviation in the same scale, 0..75/255.

        Returns:
            float (N, 3, H, W), not clipped.
        """
        height, width = noisy.shape[-2:]
        margin = (0, width % MULTIPLE, 0, height % MULTIPLE)
        seen = functional.pixel_unshuffle(functional.pad(noisy, margin, mode="replicate"), 2)
        level = functional.avg_pool2d(functional.pad(sigma, margin, mode="replicate"), 2)
        found: Tensor = self.model(torch.cat([seen, level], dim=1))
        return functional.pixel_shuffle(found, 2)[..., :height, :width]


def load_ffdnet(path: Path, device: str = "cpu") -> Ffdnet:
    """Reads weights and makes the network ready for inference.

    Args:
        path: safetensors file with the keys of KAIR's ffdnet_color.
        device: "cpu", "cuda:0", ...

    Raises:
        ModelError: the file is not one of this network.
    """
    return load_weights(Ffdnet(), path, device, "denoiser FFDNet")
