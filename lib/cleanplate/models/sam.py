"""A model of the Segment Anything family, by URI through the registry: from a box or a point to an object's mask."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file

from cleanplate.errors import ModelError
from cleanplate.models.cache import load_once
from cleanplate.models.registry import Registry
from cleanplate.records import Box

_MEAN = np.array([123.675, 116.28, 103.53], np.float32)
_DEVIATION = np.array([58.395, 57.12, 57.375], np.float32)


class SamSegmenter:
    """SAM (Kirillov et al., ICCV 2023) through transformers."""

    def __init__(self, network: Any, device: str = "cpu") -> None:
        """Keeps a network.

        Args:
            network: a transformers.SamModel, ready for inference.
            device: of the network.
        """
        self._network = network
        self._device = device
        self._side = int(network.config.vision_config.image_size)

    def segment(self, crop: NDArray[np.uint8], hint: Box) -> NDArray[np.float32]:
        """The object in a box, or under a point.

        Args:
            crop: uint8 (H, W, 3), RGB.
            hint: in the crop; one of a single pixel is a point.

        Returns:
            float32 (H, W), 0..1: the candidate mask that the model trusts most.
        """
        height, width = crop.shape[:2]
        scale = self._side / max(height, width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        pixels = (cv2.resize(crop, size, interpolation=cv2.INTER_LINEAR).astype(np.float32) - _MEAN) / _DEVIATION
        square = np.zeros((self._side, self._side, 3), np.float32)
        square[: size[1], : size[0]] = pixels
        batch = torch.from_numpy(square.transpose(2, 0, 1).copy())[None].to(self._device)
        with torch.inference_mode():
            answer = self._network(pixel_values=batch, **self._prompt(hint, scale))
        best = int(answer.iou_scores[0, 0].argmax())
        logits = answer.pred_masks[0, 0, best].float().cpu().numpy()
        whole = cv2.resize(logits, (self._side, self._side), interpolation=cv2.INTER_LINEAR)[: size[1], : size[0]]
        logits = cv2.resize(whole, (width, height), interpolation=cv2.INTER_LINEAR)
        return (1 / (1 + np.exp(-np.clip(logits, -30, 30)))).astype(np.float32)

    def _prompt(self, hint: Box, scale: float) -> dict[str, torch.Tensor]:
        if max(hint.width, hint.height) <= 1:
            point = torch.tensor([[[[(hint.left + 0.5) * scale, (hint.top + 0.5) * scale]]]])
            return {"input_points": point.to(self._device), "input_labels": torch.ones(1, 1, 1, dtype=torch.long)}
        box = torch.tensor([[[hint.left, hint.top, hint.right, hint.bottom]]], dtype=torch.float32) * scale
        return {"input_boxes": box.to(self._device)}


def build_sam(model_id: str, registry: Registry, device: str) -> SamSegmenter:
    """The SAM of an entry of the registry, loaded once per process.

    Raises:
        ModelError: its weights are missing, tampered with, not permitted or of another architecture.
    """
    options = registry.entry(model_id).options
    return load_once(registry, model_id, device, lambda path: load_sam(path, options, device))


def load_sam(path: Path, options: Mapping[str, Any], device: str = "cpu") -> SamSegmenter:
    """Reads weights as Hugging Face stores them (model.safetensors).

    Args:
        path: of the weights.
        options: "config": what differs from transformers' SamConfig, which is that of ViT-B.
        device: "cpu", "cuda:0", ...

    Raises:
        ModelError: transformers is not installed, or the weights do not fit the configuration.
    """
    try:
        from transformers import SamConfig, SamModel
    except ImportError:
        raise ModelError("mask.segmenter needs transformers: pip install 'cleanplate[engines]'") from None
    network = SamModel(SamConfig(**dict(options.get("config", {}))))
    try:
        network.load_state_dict(load_file(path, device="cpu"))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise ModelError(
            f"{path} does not hold the weights of this SAM; its entry's options.config must say what differs from "
            f"ViT-B: {str(error)[:300]}"
        ) from error
    return SamSegmenter(network.eval().to(torch.device(device)), device)
