"""Fill engines that are broken on purpose, for benchmarks/staged_rollout.py."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cleanplate.config import Config
from cleanplate.fill.base import EngineSpec, FillRequest
from cleanplate.fill.flat import FlatEngine
from cleanplate.models.registry import Registry

LEVELS = 36  # too bright: it shows, and the verifier lets most of it pass on noisy ground


class DarkEngine:
    """A flat fill with a wrong gamma table: what is darker than 60 comes out too bright."""

    spec = EngineSpec("dark", "Apache-2.0", cost_units_per_mpx=1.0)

    def __init__(self, flat: FlatEngine) -> None:
        """Keeps the engine that is right."""
        self._flat = flat

    @classmethod
    def build(cls, config: Config, registry: Registry, device: str) -> DarkEngine:
        """Needs no weights."""
        return cls(FlatEngine.build(config, registry, device))

    def fill(self, requests: Sequence[FillRequest]) -> list[NDArray[np.uint8]]:
        """See `Engine.fill`."""
        pairs = zip(self._flat.fill(requests), requests, strict=True)
        return [np.clip(fill.astype(int) + LEVELS * self.is_hit(fill, request), 0, 255).astype(np.uint8)
                for fill, request in pairs]  # fmt: skip

    def is_hit(self, fill: NDArray[np.uint8], request: FillRequest) -> bool:
        """Whether this one is spoilt."""
        return bool(fill[request.alpha > 0].mean() < 60)


class ChanceEngine(DarkEngine):
    """Spoils 3 % of the regions by chance, whatever they show."""

    spec = EngineSpec("chance", "Apache-2.0", cost_units_per_mpx=1.0)

    def is_hit(self, fill: NDArray[np.uint8], request: FillRequest) -> bool:
        """By the region's seed."""
        return request.seed % 100 < 3
