"""LPIPS: perceptual distance by the features of AlexNet (Zhang et al., CVPR 2018), version 0.1."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import lpips
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from cleanplate.models.cache import load_once
from cleanplate.models.registry import Registry

MODEL_ID = "alexnet"
_SLICES = {0: 1, 3: 2, 6: 3, 8: 4, 10: 5}  # lpips splits AlexNet's layers into five slices, but keeps their numbers
_SMALLEST_PX = 32  # below this the deepest features vanish


class Lpips:
    """The metric with its network loaded."""

    def __init__(self, network: torch.nn.Module, device: str) -> None:
        """Takes the network of `load`."""
        self._network = network
        self._device = device

    @classmethod
    def load(cls, registry: Registry, device: str = "cpu") -> Lpips:
        """Loads the trunk from the registry (never from the network), the linear layers from the lpips package.

        Raises:
            ModelError: the trunk's weights are missing, tampered with or not permitted.
        """
        return cls(load_once(registry, MODEL_ID, device, lambda path: _load(path, device)), device)

    def distance(
        self, first: NDArray[np.uint8], second: NDArray[np.uint8], mask: NDArray[Any] | None = None
    ) -> float:
        """Distance of two pictures, or of the part of them that a mask shows.

        Args:
            first: uint8 (H, W, 3), RGB.
            second: same shape.
            mask: (H, W): where it is not > 0 both pictures are black, so differences there do not count; None = all.

        Returns:
            >= 0; 0 for equal pictures.

        Raises:
            ValueError: the shapes differ.

        Example:
            >>> import numpy as np
            >>> from cleanplate.config import ModelsConfig
            >>> metric = Lpips.load(Registry.load(ModelsConfig()))
            >>> grey = np.full((64, 64, 3), 90, np.uint8)
            >>> metric.distance(grey, grey)
            0.0
        """
        if first.shape != second.shape:
            raise ValueError(f"pictures of {first.shape} and {second.shape} cannot be compared: make them one size")
        return self.distances([(first, second)] if mask is None else [(_show(first, mask), _show(second, mask))])[0]

    def distances(self, pairs: Sequence[tuple[NDArray[np.uint8], NDArray[np.uint8]]]) -> list[float]:
        """`distance` of many pairs; equal pairs cost nothing."""
        return [0.0 if np.array_equal(a, b) else self._run(a, b) for a, b in pairs]

    def _run(self, first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
        with torch.inference_mode():
            value = self._network(self._tensor(first), self._tensor(second), normalize=True)
        return float(value.reshape(-1)[0])

    def _tensor(self, image_rgb: NDArray[np.uint8]) -> torch.Tensor:
        height, width = image_rgb.shape[:2]
        below, right = max(0, _SMALLEST_PX - height), max(0, _SMALLEST_PX - width)
        padded = cv2.copyMakeBorder(image_rgb, 0, below, 0, right, cv2.BORDER_REPLICATE)
        tensor = torch.from_numpy(padded.astype(np.float32) / 255.0)
        return tensor.permute(2, 0, 1)[None].to(self._device)


def _show(image: NDArray[np.uint8], mask: NDArray[Any]) -> NDArray[np.uint8]:
    return np.where((mask > 0)[:, :, None], image, np.uint8(0))


def _load(path: Path, device: str) -> torch.nn.Module:
    # Where the trunk comes from: lpips would download it unless it is told to start from random numbers.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="torchvision")  # of arguments lpips passes
        network = lpips.LPIPS(net="alex", version="0.1", pnet_rand=True, verbose=False)
    trunk = {}
    for name, value in load_file(str(path)).items():
        layer, kind = name.removeprefix("features.").split(".")
        trunk[f"slice{_SLICES[int(layer)]}.{layer}.{kind}"] = value
    network.net.load_state_dict(trunk, strict=True)
    network.requires_grad_(False)
    return network.eval().to(device)
