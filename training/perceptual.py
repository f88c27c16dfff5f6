"""The perceptual loss: how far the first features of VGG16 are apart."""

from __future__ import annotations

from pathlib import Path

import torch
from loop import ROOT
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

VGG = ROOT.parent / "shared/weights/vgg16_features.safetensors"
_VGG_MEAN, _VGG_SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_FLOOR = 0.02  # of a crop's own distance: below it there is nothing to gain
_VGG_LAYERS = {0: 64, 2: 64, 5: 128, 7: 128}  # index in torchvision's `features` -> channels; looked at after each pair


class Perceptual(nn.Module):
    """Distance of VGG16's first features (Johnson et al., ECCV 2016), normalised by their size."""

    def __init__(self, weights: Path) -> None:
        """Loads the convolutions."""
        super().__init__()
        stored = load_file(weights)
        self.layers = nn.ModuleList()
        before = 3
        for index, channels in _VGG_LAYERS.items():
            layer = nn.Conv2d(before, channels, 3, padding=1)
            layer.load_state_dict({k: stored[f"features.{index}.{k}"].float() for k in ("weight", "bias")})
            self.layers.append(layer)
            before = channels
        self.requires_grad_(False)
        self.register_buffer("mean", torch.tensor(_VGG_MEAN)[:, None, None])
        self.register_buffer("spread", torch.tensor(_VGG_SPREAD)[:, None, None])

    def forward(self, found: Tensor, truth: Tensor) -> Tensor:
        """Mean over the batch; both float (N, 3, H, W), 0..1."""
        with torch.no_grad():
            wanted = self._features(truth)
        return self._distances(self._features(found), wanted).mean()

    def over_own(self, found: Tensor, seen: Tensor, truth: Tensor) -> Tensor:
        """Mean of each crop's distance over the distance that it had before; all float (N, 3, H, W), 0..1."""
        with torch.no_grad():
            wanted = self._features(truth)
            own = self._distances(self._features(seen), wanted)
        return (self._distances(self._features(found), wanted) / (own + _FLOOR)).mean()

    def _distances(self, found: list[Tensor], wanted: list[Tensor]) -> Tensor:
        """Float (N,): mean absolute difference over the layers, each by the mean size of what is wanted."""
        pairs = zip(found, wanted, strict=True)
        return torch.stack([(a - b).abs().mean(dim=(1, 2, 3)) / b.abs().mean().clamp_min(1e-3) for a, b in pairs]).mean(
            dim=0
        )

    def _features(self, picture: Tensor) -> list[Tensor]:
        found, features = [], (picture - self.mean) / self.spread
        for number, layer in enumerate(self.layers):
            features = functional.relu(layer(features))
            if number % 2:
                found.append(features)
                features = functional.max_pool2d(features, 2)
        return found
