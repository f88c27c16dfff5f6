"""The protocol that every detector follows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from cleanplate.records import Detection, Job


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
