"""How groups of strokes look to a network that knows pictures: AlexNet's features of each group's crop."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import alexnet

from cleanplate.detect.components import Group
from cleanplate.models.cache import load_once
from cleanplate.models.registry import Registry
from cleanplate.models.weights import load_weights
from cleanplate.windows import place

MODEL_ID = "alexnet"
_VARIANT = "appearance"
_TAKEN = {4: 192, 7: 384, 11: 256}  # layers whose features count (after the 2nd, 3rd and 5th convolution), channels
_MEAN, _SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, which the network was trained on
_MARGIN_SHARE, _LEAST_MARGIN_PX = 0.2, 4  # round a group: what it lies on says as much as the group
_SIDE_PX, _LEAST_SIDE_PX = 192, 64  # of what the network sees
_MOST_SCALE = 3.0
SIZE = 2 * sum(_TAKEN.values())


class Appearance:
    """The convolutions of AlexNet (Krizhevsky et al., NeurIPS 2012), whose weights LPIPS needs anyway."""

    def __init__(self, trunk: nn.Sequential, device: str = "cpu") -> None:
        """Keeps the network (shared by the process)."""
        self._trunk = trunk
        self._device = device
        self._mean, self._spread = (torch.tensor(v, device=device)[:, None, None] for v in (_MEAN, _SPREAD))

    @classmethod
    def build(cls, registry: Registry, device: str) -> Appearance:
        """Loads the network, once per process.

        Raises:
            ModelError: its weights are missing, tampered with or not permitted.
        """
        return cls(load_once(registry, MODEL_ID, device, lambda path: _load(path, device), _VARIANT), device)

    def features(self, picture: NDArray[np.uint8], groups: Sequence[Group]) -> NDArray[np.float32]:
        """Features of each group's crop, float32 (G, SIZE): their means over the crop and over the group's strokes.

        Those of each place have length 1, as for LPIPS (Zhang et al., CVPR 2018).

        Args:
            picture: uint8 (H, W, 3), RGB.
            groups: G of them.
        """
        found = np.zeros((len(groups), SIZE), np.float32)
        with torch.inference_mode():
            for row, group in zip(found, groups, strict=True):
                row[:] = self._of(picture, group)
        return found

    def _of(self, picture: NDArray[np.uint8], group: Group) -> NDArray[np.float32]:
        margin_px = max(_LEAST_MARGIN_PX, int(_MARGIN_SHARE * max(group.box.width, group.box.height)))
        box = group.box.expand(margin_px, picture.shape[1], picture.shape[0])
        scale = min(_SIDE_PX / max(box.width, box.height), _MOST_SCALE)
        size = (max(_LEAST_SIDE_PX, round(box.width * scale)), max(_LEAST_SIDE_PX, round(box.height * scale)))
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        crop = cv2.resize(picture[box.slices], size, interpolation=method)
        strokes = cv2.resize(place(group.confidence, group.box, box), size, interpolation=cv2.INTER_AREA)
        pixels = torch.from_numpy(crop).to(self._device).permute(2, 0, 1).float().div(255)
        weights = torch.from_numpy(strokes).to(self._device)[None, None]
        return np.asarray(self._pooled(((pixels - self._mean) / self._spread)[None], weights).cpu().numpy())

    def _pooled(self, pixels: Tensor, weights: Tensor) -> Tensor:
        means = []
        for number, layer in enumerate(self._trunk):
            pixels = layer(pixels)
            if number in _TAKEN:
                unit = functional.normalize(pixels, dim=1)
                here = functional.interpolate(weights, size=unit.shape[2:], mode="area")
                means += [unit.mean(dim=(0, 2, 3)), (unit * here).sum(dim=(0, 2, 3)) / (here.sum() + 1e-6)]
        return torch.cat(means)


def _load(path: Path, device: str) -> nn.Sequential:
    with torch.device("meta"):  # nothing is drawn at random for layers that are dropped, or filled from the file
        layers = alexnet(weights=None).features[:-1]  # without the last pooling
    whole = nn.ModuleDict({"features": layers.to_empty(device="cpu")})  # the file's keys are the whole network's
    return load_weights(whole, path, device, "AlexNet convolutions")["features"]  # type: ignore[return-value]
