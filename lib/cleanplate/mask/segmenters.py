"""From a hint to the whole silhouette of an object with its shadow: by the package's network, by GrabCut, by a SAM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cleanplate.config import Config
from cleanplate.mask import objects
from cleanplate.mask.cast_shadow import cast_shadow
from cleanplate.mask.hints import Hint
from cleanplate.models.cache import load_once
from cleanplate.models.object_net import SIDE_PX, load_object_net, to_input
from cleanplate.models.registry import Registry
from cleanplate.models.sam import build_sam
from cleanplate.records import Box

MODEL_ID = "objects"
_LONG_SIDE_PX = 360  # GrabCut works at this size: its graph has a node per pixel
_CORRECTED_PX = 96  # and at this, where the network corrects it
_SHADE = (0.25, 0.75)  # of the network's confidence in a shadow, between which it fades in


class Segmenter(Protocol):
    """Finds what a hint is about."""

    def silhouette(self, crop: NDArray[np.uint8], hint: Hint) -> NDArray[np.float32] | None:
        """An object with its shadow.

        Args:
            crop: uint8 (H, W, 3), RGB: the window.
            hint: where it is.

        Returns:
            float32 (H, W), 0..1, soft at the edges; None where no object stands out from the ground.
        """
        ...


class Prompted(Protocol):
    """A model that knows objects and is asked by a box."""

    def segment(self, crop: NDArray[np.uint8], hint: Box) -> NDArray[np.float32]:
        """The object in a box of the crop, or under a point (a box of one pixel): float32 (H, W), 0..1."""
        ...


class GrabCut:
    """Colours and edges alone; needs no weights."""

    def silhouette(self, crop: NDArray[np.uint8], hint: Hint) -> NDArray[np.float32] | None:
        """See `Segmenter`."""
        height, width = crop.shape[:2]
        scale = min(1.0, _LONG_SIDE_PX / max(height, width))
        size = (max(8, round(width * scale)), max(8, round(height * scale)))
        small = np.asarray(cv2.resize(crop, size, interpolation=cv2.INTER_AREA), np.uint8)
        hard = objects.grab(small, *(objects.resized(part, size) for part in (hint.sure, hint.maybe, hint.likely)))
        if hard is None:
            return None
        whole = cv2.resize(hard.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
        alpha = np.maximum(objects.snap(crop, np.asarray(whole, np.float32)), hint.sure)
        shade = cast_shadow(small, hard, objects.resized(hint.maybe, size)).astype(np.float32)
        return np.asarray(np.maximum(alpha, cv2.resize(shade, (width, height))), np.float32)


class ByModel:
    """A model asked by a box, with the shadow that its object casts."""

    def __init__(self, model: Prompted) -> None:
        """Keeps the model."""
        self.model = model

    def silhouette(self, crop: NDArray[np.uint8], hint: Hint) -> NDArray[np.float32] | None:
        """See `Segmenter`."""
        alpha = self.model.segment(crop, hint.box)
        hard = (alpha >= 0.5).astype(np.uint8)
        return np.maximum(alpha, cast_shadow(crop, hard, hint.maybe).astype(np.float32)) if hard.any() else None


class ByNetwork:
    """The object network, which corrects GrabCut and knows shadows (`models/object_net.py`)."""

    def __init__(self, network: nn.Module, device: str = "cpu") -> None:
        """Keeps a network (shared by the process)."""
        self._network = network
        self._device = device

    def silhouette(self, crop: NDArray[np.uint8], hint: Hint) -> NDArray[np.float32] | None:
        """See `Segmenter`."""
        view = View.of(crop, hint)
        planes = (view.picture, view.sure, view.maybe, view.likely, view.grabbed)
        with torch.inference_mode():
            given = to_input(*(torch.from_numpy(plane[None]).to(self._device) for plane in planes))
            thing, shade = torch.sigmoid(self._network(*given).float())[0].cpu().numpy()
        hard = objects.solid((thing >= 0.5).astype(np.uint8), view.sure)
        if hard is None:
            return None
        # Specks go, holes are closed; the rim stays as soft as the network is unsure of it.
        kept = np.where(hard > 0, np.maximum(thing, 0.5), np.minimum(thing, 0.5) * objects.beside(hard))
        size = crop.shape[1::-1]
        scale = max(crop.shape[:2]) / SIDE_PX
        whole = np.asarray(cv2.resize(kept, size, interpolation=cv2.INTER_LINEAR), np.float32)
        alpha = np.maximum(objects.snap(crop, whole, scale), hint.sure)
        low, high = _SHADE
        faded = cv2.resize(np.clip((shade - low) / (high - low), 0, 1), size, interpolation=cv2.INTER_LINEAR)
        return np.asarray(np.maximum(alpha, faded), np.float32)


@dataclass(frozen=True)
class View:
    """What the network sees of a window: uint8, (SIDE_PX, SIDE_PX, 3) RGB, the others (SIDE_PX, SIDE_PX), 0 or 1.

    Attributes:
        picture: the window, whatever its proportions.
        sure: of the hint.
        maybe: of the hint.
        likely: of the hint.
        grabbed: where GrabCut finds the object, at half of this size; nowhere where it finds none.
    """

    picture: NDArray[np.uint8]
    sure: NDArray[np.uint8]
    maybe: NDArray[np.uint8]
    likely: NDArray[np.uint8]
    grabbed: NDArray[np.uint8]

    @classmethod
    def of(cls, crop: NDArray[np.uint8], hint: Hint) -> View:
        """Looks at a window, uint8 (H, W, 3), RGB, with a hint."""
        whole, coarse = (SIDE_PX, SIDE_PX), (_CORRECTED_PX, _CORRECTED_PX)
        shrinks = crop.shape[0] * crop.shape[1] > SIDE_PX * SIDE_PX
        picture = cv2.resize(crop, whole, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        sure, maybe, likely = (objects.resized(part, whole) for part in (hint.sure, hint.maybe, hint.likely))
        small = np.asarray(cv2.resize(picture, coarse, interpolation=cv2.INTER_AREA), np.uint8)
        found = objects.grab(small, *(objects.resized(part, coarse) for part in (sure, maybe, likely)))
        grabbed = np.zeros_like(sure) if found is None else objects.resized(found, whole)
        return cls(np.asarray(picture, np.uint8), sure, maybe, likely, grabbed)


def build_segmenter(config: Config, registry: Registry, device: str) -> Segmenter:
    """The segmenter that `mask.segmenter` names, its weights loaded once per process.

    Raises:
        ModelError: its weights are missing, tampered with, not permitted or of another architecture.
    """
    model_id = config.mask.segmenter
    if not model_id:
        return GrabCut()
    if model_id == MODEL_ID:
        return ByNetwork(load_once(registry, MODEL_ID, device, lambda path: load_object_net(path, device)), device)
    return ByModel(build_sam(model_id, registry, device))
