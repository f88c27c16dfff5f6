"""The protocol that every enhancer of a whole picture follows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from cleanplate.enhance.analyse import Analysis


class Enhancer(Protocol):
    """Betters a whole picture; adding one is a new file in this folder and a line in the registry.

    Its class has `build(config, registry, device)`; an upscaler's has `build(config, registry, device, scale)`.

    Attributes:
        name: its name in the registry, the configuration and the tables.
        scale: 1, or the factor of an upscaler.
        synthetic: whether it invents pixels, so that a reader must not take detail for evidence.
    """

    name: str
    scale: int
    synthetic: bool

    def apply(self, rgb: NDArray[np.uint8], analysis: Analysis) -> NDArray[np.uint8]:
        """Betters a picture.

        Args:
            rgb: uint8 (H, W, 3), RGB, of any size; not changed.
            analysis: of the source file, before anything was removed from it.

        Returns:
            uint8 (H * scale, W * scale, 3), RGB, a new array. The same input gives the same output, and tiles leave no
            seam (see `tiling.tiled`).
        """
        ...
