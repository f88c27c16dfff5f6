"""The object network: which pixels of a window belong to the thing that a hint points at, and which to its shadow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from cleanplate.models.unet import PixelUnet
from cleanplate.models.weights import load_weights

SIDE_PX = 192  # windows of any size and proportions are brought to this square
WIDTHS = (16, 40, 112)
_HINTS = 4
_BELIEF = 2.0  # log odds of GrabCut's word, which training starts from
_SPREAD = 0.25  # of the grey scale: what the network sees lies about between -1 and 1


class ObjectNet(PixelUnet):
    """A U-Net that corrects what GrabCut finds, told where the hint was.

    GrabCut knows colours and nothing else; what a network learns of outlines and shadows holds for things that it has
    not seen, because its pictures are made of any photograph in any shape. About 0.9 M parameters, 0.8 G multiply-adds.
    """

    def __init__(self, widths: Sequence[int] = WIDTHS) -> None:
        """Makes the layers.

        Args:
            widths: channels at strides 2, 4 and 8.
        """
        super().__init__(3 + _HINTS, 2, widths)

    def forward(self, picture: Tensor, hints: Tensor) -> Tensor:
        """Looks at a batch of windows.

        Args:
            picture: float (N, 3, H, W), 0..1, RGB; H and W are multiples of 8, of SIDE_PX in training.
            hints: float (N, 4, H, W), 0 or 1: where the thing is for sure, may be, is more likely than not (see
                `mask.objects.Hint`), and where GrabCut found it.

        Returns:
            Logits, float (N, 2, H, W): of the thing, of its shadow beside it.
        """
        mean = picture.mean(dim=(1, 2, 3), keepdim=True)
        signs = hints * 2 - 1
        grabbed = _BELIEF * signs[:, 3:]
        start = torch.cat([grabbed, torch.full_like(grabbed, -_BELIEF)], dim=1)
        return start + self.planes([(picture - mean) / _SPREAD, signs])


def load_object_net(path: Path, device: str = "cpu") -> ObjectNet:
    """Reads weights and makes the network ready for inference.

    Args:
        path: safetensors file as `training/train_objects.py` writes it.
        device: "cpu", "cuda:0", ...

    Raises:
        ModelError: the file is not one of this network.
    """
    return load_weights(ObjectNet(), path, device, "object network")


def to_input(
    picture: Tensor, sure: Tensor, maybe: Tensor, likely: Tensor, grabbed: Tensor
) -> tuple[Tensor, Tensor]:
    """What the network takes of uint8 arrays: picture (N, H, W, 3), RGB, and four planes (N, H, W), 0 or 1."""
    planes = torch.stack([sure, maybe, likely, grabbed], dim=1).float()
    return picture.permute(0, 3, 1, 2).float() / 255, planes
