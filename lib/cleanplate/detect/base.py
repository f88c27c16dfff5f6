"""The protocol that every detector follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from cleanplate.records import Detection, Job


@dataclass(frozen=True)
class Look:
    """What detectors make of a picture.

    Attributes:
        detections: what they are sure of.
        confidence: float32 (H, W), 0..1: how sure they are of any overlay, per pixel; None where none can say.
    """

    detections: Sequence[Detection]
    confidence: NDArray[np.float32] | None = None


class Detector(Protocol):
    """Finds things that may have to go; adding one is a new file in this folder and a line in the registry."""

    name: str

    def detect(self, jobs: Sequence[Job]) -> list[list[Detection]]:
        """Looks at every image.

        Args:
            jobs: images with what the manifest says of them.

        Returns:
            One list of detections per job, possibly empty. All kinds are returned; what goes is decided later.
        """
        ...


@runtime_checkable
class ConfidenceMapper(Protocol):
    """A detector that can say how sure it is of text, per pixel."""

    def confidence_maps(self, images_rgb: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        """float32 (H, W), 0..1, for each uint8 (H, W, 3) RGB."""
        ...
