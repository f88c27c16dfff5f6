"""The un-blending network: how opaque a mark is at each pixel, and whether the picture is to be had back there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from cleanplate.models.unet import PixelUnet
from cleanplate.models.weights import load_weights

WIDTHS = (24, 48, 80)
MOST_OPACITY = 0.92  # beyond it rounding alone is amplified more than eleven times
_GIVEN = 3 * 4 + 5
_DAMPING = 1e-3  # keeps the opacity by one pixel finite where mark and guess are alike
_SPREAD = 0.25  # of the grey scale: what the network sees lies about between -1 and 1
_LEAST_OPACITY = 0.01  # of what is given: nothing is ruled out
_FADE = (0.94, 0.98)  # opacities between which the guess takes over, whatever the layers find
_MOST_SHIFT = 0.25  # of the grey scale, by which a colour is corrected
_MOST_ODDS = 8.0  # by which opacity and trust are corrected, logarithm: a sigmoid further out learns nothing any more
_TRUST_SLOPE, _DOUBTFUL = 10.0, 0.7  # of the log odds that training starts from, over `most`


class Uncovered(NamedTuple):
    """What the network makes of a mark.

    Attributes:
        picture: float (N, 3, H, W), 0..1, RGB: without the mark, where it is not believed with the guess in its place.
        under: float (N, 3, H, W), 0..1, RGB: what inverting gives, believed or not.
        opacity: float (N, 1, H, W), 0..1.
        trust: float (N, 1, H, W), 0..1: how much of the picture is the photograph's own, the rest is the guess.
    """

    picture: Tensor
    under: Tensor
    opacity: Tensor
    trust: Tensor


class UnblendNet(PixelUnet):
    """A U-Net that sharpens an estimate of a mark, inverts the compositing by it, and says where that holds.

    It invents nothing: each pixel is a mixture of the guess and of (picture - opacity * colour) / (1 - opacity), whose
    opacity and colour it corrects. Its last layer starts at zero, so that training starts from the estimate as it is.
    About 0.6 M parameters, 30 G multiply-adds per megapixel.
    """

    def __init__(self, widths: Sequence[int] = WIDTHS) -> None:
        """Makes the layers.

        Args:
            widths: channels at strides 2, 4 and 8.
        """
        super().__init__(_GIVEN, 5, widths, refined=True)

    def forward(
        self, picture: Tensor, guess: Tensor, colour: Tensor, opacity: Tensor, most: Tensor, own: Tensor
    ) -> Uncovered:
        """Takes a batch of marks off.

        Args:
            picture: float (N, 3, H, W), 0..1, RGB, with the mark; H and W are multiples of 8.
            guess: float (N, 3, H, W), 0..1, RGB: a fill of where the mark may be.
            colour: float (N, 3, H, W), 0..1, RGB: the mark's, as estimated.
            opacity: float (N, 1, H, W), 0..1: the mark's, as estimated.
            most: float (N, 1, H, W), 0..1: how opaque it may be there.
            own: float (N, 1, H, W), 1 where the mark may be.

        Returns:
            What it makes of them; where `own` is 0 the picture as it is, opacity 0 and trust 1.
        """
        under = inverted(picture, opacity.clamp(max=MOST_OPACITY), colour).clamp(0, 1)
        mean = guess.mean(dim=(1, 2, 3), keepdim=True)
        seen = [(values - mean) / _SPREAD for values in (picture, guess, colour, under)]
        towards = colour - guess
        contrast = towards.square().sum(dim=1, keepdim=True)
        by_pixel = ((picture - guess) * towards).sum(dim=1, keepdim=True) / (contrast + _DAMPING)
        maps = [opacity, most, own, by_pixel.clamp(-0.5, 1.5), contrast.sqrt()]
        out = self.planes([*seen, *maps])
        odds = _MOST_ODDS * torch.tanh(out[:, 3:] / _MOST_ODDS)
        opacity = torch.sigmoid(torch.logit(opacity.clamp(_LEAST_OPACITY, 1 - _LEAST_OPACITY)) + odds[:, :1])
        trust = torch.sigmoid(odds[:, 1:] + _TRUST_SLOPE * (_DOUBTFUL - most))
        colour = colour + _MOST_SHIFT * torch.tanh(out[:, :3])
        trust = trust * ((_FADE[1] - most) / (_FADE[1] - _FADE[0])).clamp(0, 1)
        under = inverted(picture, opacity.clamp(max=MOST_OPACITY), colour).clamp(0, 1)
        inside = own > 0
        return Uncovered(
            torch.where(inside, guess + trust * (under - guess), picture),
            torch.where(inside, under, picture),
            opacity * inside,
            torch.where(inside, trust, 1.0),
        )


def inverted(picture: Tensor, opacity: Tensor, colour: Tensor) -> Tensor:
    """What lies under a mark: (picture - opacity * colour) / (1 - opacity), not clipped (Porter and Duff, 1984)."""
    return picture + opacity / (1 - opacity) * (picture - colour)


def load_unblend_net(path: Path, device: str = "cpu") -> UnblendNet:
    """Reads weights and makes the network ready for inference.

    Args:
        path: safetensors file as `training/train_unblend.py` writes it.
        device: "cpu", "cuda:0", ...

    Raises:
        ModelError: the file is not one of this network.
    """
    return load_weights(UnblendNet(), path, device, "un-blending network")
