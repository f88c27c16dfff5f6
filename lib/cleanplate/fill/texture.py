"""Fills with the network's colours and mostly the exemplars' detail: one is right on the whole, the other is rough."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.config import Config
from cleanplate.fill.base import Engine, EngineSpec, FillRequest
from cleanplate.fill.network import NetworkEngine
from cleanplate.fill.patch import PatchEngine
from cleanplate.models.registry import Registry

_SPLIT_SIGMA_PX = 3.0  # what is coarser comes from the network
_LEAST_SHARE = 0.7  # of the exemplars in what is finer: the network's detail is right near the rim ...
_NEAR_PX, _DEEP_PX = 6.0, 16.0  # ... and has faded away so deep in the hole


class TextureEngine:
    """The network's fill below a spatial frequency; above it PatchMatch's with a share of the network's near the rim.

    A network that is trained on squared error returns the mean of what may be there: right in colour and shading, but
    smooth in wide holes. Exemplars are as rough as their surroundings, but drift in colour. Outside the hole both crops
    agree, so their bands do too. Mixing the detail of both near the rim is nearer to the truth than either is alone.
    """

    spec = EngineSpec(
        "texture", "Apache-2.0", cost_units_per_mpx=360.0, batchable=True, generative=True, exemplars=True
    )

    def __init__(self, colours: Engine, detail: Engine) -> None:
        """Keeps the two engines."""
        self._colours = colours
        self._detail = detail

    @classmethod
    def build(cls, config: Config, registry: Registry, device: str) -> TextureEngine:
        """Builds both engines.

        Raises:
            ModelError: the network's weights are missing, tampered with or not permitted.
        """
        return cls(NetworkEngine.build(config, registry, device), PatchEngine.build(config, registry, device))

    def fill(self, requests: Sequence[FillRequest]) -> list[NDArray[np.uint8]]:
        """See `Engine.fill`."""
        colours, details = self._colours.fill(requests), self._detail.fill(requests)
        return [_joined(*each) for each in zip(requests, colours, details, strict=True)]


def _joined(request: FillRequest, colours: NDArray[np.uint8], detail: NDArray[np.uint8]) -> NDArray[np.uint8]:
    hole = request.hole[..., None] > 0  # with all other regions' cores: both engines have filled those too
    # What lies outside must be the same in both, or the bands would carry the difference inwards.
    coarse, fine = (np.where(hole, fill, request.crop).astype(np.float32) for fill in (colours, detail))
    deep = cv2.distanceTransform(np.pad(request.hole, 1), cv2.DIST_L2, cv2.DIST_MASK_5)[1:-1, 1:-1, None]
    depth = np.clip((deep - _NEAR_PX) / (_DEEP_PX - _NEAR_PX), 0, 1)
    share = _LEAST_SHARE + (1 - _LEAST_SHARE) * depth
    joined = _low(coarse) + (1 - share) * (coarse - _low(coarse)) + share * (fine - _low(fine))
    return np.where(hole, np.clip(np.rint(joined), 0, 255), request.crop).astype(np.uint8)


def _low(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    blurred = cv2.GaussianBlur(picture, (0, 0), _SPLIT_SIGMA_PX, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(blurred, np.float32)
