"""The residual network: a small conditional diffusion model of the detail that a smooth fill lacks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from cleanplate.models.unet import Up
from cleanplate.models.weights import load_weights

MULTIPLE = 8
WIDTHS = (40, 80, 112)
SPLIT_SIGMA_PX = 2.0  # what is coarser is the pre-fill's and stays
_EMBEDDED = 64
_NEAR_SIGMA_PX = 24.0  # what is near enough to say how strong detail is
_SPREAD = 0.25  # of the grey scale
_LEAST_DETAIL = 0.01  # of the grey scale: below it there is no detail to continue, only rounding
_OFFSET = 0.008  # of the cosine schedule


class ResidualNet(nn.Module):
    """Predicts the velocity of a noisy detail layer (Salimans and Ho, ICLR 2022) from pre-fill and hole.

    A residual U-Net at strides 2, 4 and 8 on unshuffled pixels; the time enters every block as a scale and a shift per
    channel. About 1.5 M parameters.
    """

    def __init__(self, widths: Sequence[int] = WIDTHS) -> None:
        """Makes the layers.

        Args:
            widths: channels at strides 2, 4 and 8.
        """
        super().__init__()
        first, second, third = widths
        self.time = nn.Sequential(nn.Linear(_EMBEDDED, 2 * _EMBEDDED), nn.SiLU())
        self.stem = nn.Conv2d(4 * (3 + 3 + 1), first, 3, padding=1)
        self.fine = TimedBlock(first)
        self.down4 = nn.Conv2d(first, second, 3, stride=2, padding=1)
        self.middle = nn.ModuleList([TimedBlock(second), TimedBlock(second, 2)])
        self.down8 = nn.Conv2d(second, third, 3, stride=2, padding=1)
        self.bottom = nn.ModuleList([TimedBlock(third), TimedBlock(third, 2), TimedBlock(third)])
        self.up4 = Up(third, second)
        self.after4 = TimedBlock(second)
        self.up2 = Up(second, first)
        self.after2 = TimedBlock(first)
        self.head = nn.Conv2d(first, 4 * 3, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(cast(Tensor, self.head.bias))

    def forward(self, noisy: Tensor, prefill: Tensor, hole: Tensor, share: Tensor) -> Tensor:
        """One prediction.

        Args:
            noisy: float (N, 3, H, W), about unit variance: the noisy detail in the hole, the known one outside.
            prefill: float (N, 3, H, W), 0..1, RGB: the crop, filled; H and W are multiples of 8.
            hole: float (N, 1, H, W), 1 where it is to be filled.
            share: float (N,), 0..1: how far the detail has turned into noise.

        Returns:
            float (N, 3, H, W): the velocity; outside the hole it means nothing.
        """
        mean = prefill.mean(dim=(1, 2, 3), keepdim=True)
        seen = functional.pixel_unshuffle(torch.cat([noisy, (prefill - mean) / _SPREAD, hole], dim=1), 2)
        time = cast(Tensor, self.time(_embedded(share).to(seen.dtype)))
        half = cast(Tensor, self.fine(self.stem(seen), time))
        quarter = cast(Tensor, self.down4(half))
        for block in self.middle:
            quarter = block(quarter, time)
        eighth = cast(Tensor, self.down8(quarter))
        for block in self.bottom:
            eighth = block(eighth, time)
        found = self.after4(self.up4(eighth, quarter), time)
        found = self.after2(self.up2(found, half), time)
        return functional.pixel_shuffle(cast(Tensor, self.head(found)), 2)


class TimedBlock(nn.Module):
    """A residual block that the time scales and shifts; its second convolution starts at zero."""

    def __init__(self, channels: int, dilation: int = 1) -> None:
        """Makes the layers."""
        super().__init__()
        self.norm = nn.GroupNorm(8, channels)
        self.first = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation)
        self.film = nn.Linear(2 * _EMBEDDED, 2 * channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(cast(Tensor, self.second.bias))

    def forward(self, features: Tensor, time: Tensor) -> Tensor:
        """Adds what the convolutions find."""
        scale, shift = self.film(time)[:, :, None, None].chunk(2, dim=1)
        found = self.first(functional.silu(self.norm(features)))
        return features + cast(Tensor, self.second(functional.silu(found * (1 + scale) + shift)))


def _embedded(share: Tensor) -> Tensor:
    """Sines and cosines of the time, (N,) -> (N, 64)."""
    rates = torch.exp(torch.linspace(0, math.log(1000.0), _EMBEDDED // 2, device=share.device))
    phase = share[:, None] * rates
    return torch.cat([phase.sin(), phase.cos()], dim=1)


def mixture(share: Tensor) -> tuple[Tensor, Tensor]:
    """Weights of signal and noise at a time, squares adding to 1 (cosine schedule, Nichol and Dhariwal, ICML 2021)."""
    angle = (share + _OFFSET) / (1 + _OFFSET) * (math.pi / 2)
    return angle.cos(), angle.sin()


def detail_of(picture: Tensor) -> Tensor:
    """What a Gaussian of SPLIT_SIGMA_PX takes away, float (N, 3, H, W)."""
    return picture - _low(picture)


def high_only(detail: Tensor, hole: Tensor) -> Tensor:
    """Takes the low frequencies off a detail layer inside the hole; outside it is 0.

    The mean is taken over the hole's own pixels (normalised convolution), so that thin holes keep none either.
    """
    inside = detail * hole
    return (inside - _low(inside) / _low(hole).clamp_min(1e-4)) * hole


def detail_scale(detail: Tensor, hole: Tensor) -> Tensor:
    """How strong the known detail around each pixel is: root mean square outside the hole, float (N, 1, H, W).

    Near it counts most: a sky over a city has the sky's detail.
    """
    known = 1 - hole
    power = _blurred(detail.square().mean(dim=1, keepdim=True) * known, _NEAR_SIGMA_PX, "constant")
    return (power / _blurred(known, _NEAR_SIGMA_PX, "constant").clamp_min(1e-6) + _LEAST_DETAIL**2).sqrt()


def _low(picture: Tensor) -> Tensor:
    return _blurred(picture, SPLIT_SIGMA_PX, "replicate")


def _blurred(picture: Tensor, sigma_px: float, beyond: str) -> Tensor:
    """A Gaussian blur of each channel; `beyond` says how it is padded."""
    radius = math.ceil(3 * sigma_px)
    place = torch.arange(-radius, radius + 1, device=picture.device, dtype=picture.dtype)
    line = torch.exp(-0.5 * (place / sigma_px).square())
    line = (line / line.sum()).expand(picture.shape[1], 1, -1)
    padded = functional.pad(picture, (radius,) * 4, mode=beyond)
    rows = functional.conv2d(padded, line[:, :, None], groups=picture.shape[1])
    return functional.conv2d(rows, line[:, :, :, None], groups=picture.shape[1])


def sample(network: nn.Module, prefill: Tensor, hole: Tensor, noise: Tensor, steps: int) -> Tensor:
    """Draws detail for a batch of pre-fills by DDIM without added noise (Song, Meng and Ermon, ICLR 2021).

    Args:
        network: a `ResidualNet`.
        prefill: float (N, 3, H, W), 0..1, RGB.
        hole: float (N, 1, H, W), 0 or 1.
        noise: float (N, 3, H, W), standard normal: where the sampling starts.
        steps: evaluations of the network.

    Returns:
        float (N, 3, H, W), not clipped: the pre-fill, whose high frequencies inside the hole are new.
    """
    given = detail_of(prefill)
    scale = detail_scale(given, hole)
    known, layer = given / scale, noise
    times = torch.linspace(1, 0, steps + 1, device=prefill.device)
    for now, then in itertools.pairwise(times):
        seen = torch.where(hole > 0, layer, known)
        velocity = network(seen, prefill, hole, now.expand(len(prefill)))
        signal, sigma = mixture(now)
        clean, pure = signal * layer - sigma * velocity, sigma * layer + signal * velocity
        signal, sigma = mixture(then)
        layer = signal * clean + sigma * pure
    return prefill + high_only(clean * scale - given, hole)


def load_residual_net(path: Path, device: str = "cpu") -> ResidualNet:
    """Reads weights and makes the network ready for inference.

    Args:
        path: safetensors file as `training/train_residual.py` writes it.
        device: "cpu", "cuda:0", ...

    Raises:
        ModelError: the file is not one of this network.
    """
    return load_weights(ResidualNet(), path, device, "residual network")
