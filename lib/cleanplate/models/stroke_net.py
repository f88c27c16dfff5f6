"""The stroke network: per pixel, how sure it is of overlays, of each kind of them, and of writing in the scene."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional

from cleanplate.models.unet import Block
from cleanplate.models.weights import load_weights
from cleanplate.records import Kind

# Channel 0 is the influence of any overlay's strokes; the next five say of which kind the topmost mark is; the last
# is the plate behind a caption or price, which hides what it lies on as the strokes do.
CHANNELS: tuple[str, ...] = ("overlay", "overlay_text", "handwriting", "stamp", "watermark", "scene_text", "plate")
KIND_CHANNELS: tuple[Kind, ...] = ("overlay_text", "handwriting", "stamp", "watermark", "scene_text")
MULTIPLE = 16
# The text detector's features that the network is given: their channels, and the strides at which it takes them in.
FEATURES: tuple[int, ...] = (48, 96, 192, 384)
FEATURE_STRIDES: tuple[int, ...] = (4, 8, 16, 16)
WIDTHS = (16, 32, 64, 128)
WIDER = (24, 64, 96, 160)  # of the deeper one
_DILATIONS = (1, 2, 4, 8, 1)
_DEEPER_DILATION, _DEEPER_KEY = 2, "up4.block.first.weight"


class StrokeNet(nn.Module):
    """A U-Net (Ronneberger et al., MICCAI 2015) on pixels unshuffled by two, dilated at the bottom.

    It is told where a text detector sees lines, and what that detector's trunk makes of the picture, so it has to learn
    only what PP-OCR does not say: which pixels, of what kind, on the picture or in it, and the marks that are no text.

    Strides are 2, 4, 8 and 16; the head writes four sub-pixels per position (Shi et al., CVPR 2016), so that logits
    have the resolution of the picture. About 1.0 M parameters, 11 G multiply-adds per megapixel; of WIDER channels and
    deeper 2.0 M, 27 G.
    """

    def __init__(self, widths: Sequence[int] = WIDTHS, *, deeper: bool = False) -> None:
        """Makes the layers.

        Args:
            widths: channels at strides 2, 4, 8 and 16.
            deeper: one residual block more at strides 8 and 4 on the way up.
        """
        super().__init__()
        first, second, third, deep = widths
        self.stem = nn.Sequential(_convolve(16, first), _convolve(first, first))
        self.down4 = nn.Sequential(_convolve(first, second, stride=2), _convolve(second, second))
        self.down8 = nn.Sequential(_convolve(second, third, stride=2), _convolve(third, third))
        self.bottom = nn.Sequential(_convolve(third, deep, stride=2), *(Dilated(deep, d) for d in _DILATIONS))
        self.told = nn.ModuleList(
            _project(given, taken) for given, taken in zip(FEATURES, (second, third, deep, deep), strict=True)
        )
        self.up8 = Join(deep, third, deeper=deeper)
        self.up4 = Join(third, second, deeper=deeper)
        self.up2 = Join(second, first)
        self.head = nn.Conv2d(first, 4 * len(CHANNELS), 3, padding=1)

    def forward(self, picture: Tensor, features: Sequence[Tensor]) -> Tensor:
        """Logits of a batch.

        Args:
            picture: float (N, 4, H, W), 0..1: RGB, and PP-OCR's probability of text, or 0 where none is at hand; H
                and W are multiples of 16.
            features: of PP-OCR's trunk, float (N, c, H / s, W / s) for each c of FEATURES and s of FEATURE_STRIDES.

        Returns:
            Logits, float (N, 7, H, W), in the order of CHANNELS.
        """
        first, second, third, last = (project(given) for project, given in zip(self.told, features, strict=True))
        half = self.stem(functional.pixel_unshuffle(picture * 2 - 1, 2))
        quarter = self.down4(half) + first
        eighth = self.down8(quarter) + second
        deep = self.bottom[1:](self.bottom[0](eighth) + third + last)
        found = self.up8(deep, eighth)
        found = self.up2(self.up4(found, quarter), half)
        return functional.pixel_shuffle(self.head(found), 2)


class Dilated(nn.Module):
    """A residual block of one dilated convolution."""

    def __init__(self, channels: int, dilation: int) -> None:
        """Makes the layers."""
        super().__init__()
        self.convolution = _convolve(channels, channels, dilation=dilation)

    def forward(self, features: Tensor) -> Tensor:
        """Adds what the convolution finds."""
        return features + cast(Tensor, self.convolution(features))


class Join(nn.Module):
    """Brings coarse features up by two and joins them with the finer ones."""

    def __init__(self, coarse: int, fine: int, *, deeper: bool = False) -> None:
        """Makes the layers.

        Args:
            coarse: channels of the coarse features.
            fine: channels of the finer ones, and of what comes out.
            deeper: one residual block more.
        """
        super().__init__()
        self.project = nn.Conv2d(coarse, fine, 1)
        self.refine = _convolve(fine, fine)
        self.block: nn.Module = Block(fine, _DEEPER_DILATION) if deeper else nn.Identity()

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Features of the finer one's size."""
        raised = functional.interpolate(self.project(coarse), scale_factor=2.0, mode="nearest")
        return cast(Tensor, self.block(self.refine(raised + fine)))


def load_stroke_net(path: Path, device: str = "cpu") -> StrokeNet:
    """Reads weights and makes the network that they are of ready for inference.

    Args:
        path: safetensors file as `training/train_strokes.py` writes it, of any widths.
        device: "cpu", "cuda:0", ...

    Raises:
        ModelError: the file is not one of this network.
    """
    widths, deeper = _size_in(path)
    return load_weights(StrokeNet(widths, deeper=deeper), path, device, "stroke network")


def _size_in(path: Path) -> tuple[Sequence[int], bool]:
    """Widths of the network in a file, and whether it is the deeper one; the usual ones where it is no such file."""
    first_layers = [f"{stage}.0.0.weight" for stage in ("stem", "down4", "down8", "bottom")]
    try:
        with safe_open(path, "pt") as weights:
            names = frozenset(weights.keys())
            if not names.issuperset(first_layers):
                return WIDTHS, False
            return [weights.get_slice(name).get_shape()[0] for name in first_layers], _DEEPER_KEY in names
    except (OSError, SafetensorError):  # `load_weights` says what is wrong with it
        return WIDTHS, False


def _convolve(before: int, after: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride=stride, padding=dilation, dilation=dilation, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    )


def _project(before: int, after: int) -> nn.Sequential:
    """Features of another network, taken in; they say nothing before training, which may start from weights without."""
    convolution = nn.Conv2d(before, after, 1)
    nn.init.zeros_(convolution.weight)
    nn.init.zeros_(cast(nn.Parameter, convolution.bias))
    return nn.Sequential(nn.BatchNorm2d(before), convolution)
