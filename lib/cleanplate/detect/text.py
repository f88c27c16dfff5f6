"""Text and marks, found by PP-OCR's lines and the stroke network's pixels together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cleanplate.config import Config
from cleanplate.detect import db
from cleanplate.detect.appearance import Appearance
from cleanplate.detect.fuse import fuse
from cleanplate.detect.ppocr import PpocrDetector
from cleanplate.detect.rectify import look_again
from cleanplate.detect.strokes import StrokeMapper
from cleanplate.models.registry import Registry
from cleanplate.records import Detection, Job


class TextDetector:
    """Both detectors over the same pictures: one says where lines are, the other which pixels, and of what kind.

    What may well lie on the picture and not in it, a third network has a look at.
    """

    name = "text"

    def __init__(self, lines: PpocrDetector, strokes: StrokeMapper, appearance: Appearance, config: Config) -> None:
        """Keeps the detectors and the settings."""
        self._lines = lines
        self._strokes = strokes
        self._appearance = appearance
        self._config = config.detect

    @classmethod
    def build(cls, config: Config, registry: Registry, device: str) -> TextDetector:
        """Loads the networks, once per process.

        Raises:
            ModelError: weights are missing, tampered with or not permitted.
        """
        lines = PpocrDetector.build(config, registry, device)
        strokes = StrokeMapper.build(config, registry, device)
        return cls(lines, strokes, Appearance.build(registry, device), config)

    def detect(self, jobs: Sequence[Job]) -> list[list[Detection]]:
        """One detection per line of text, and per mark that is no line."""
        pictures = [job.image.rgb for job in jobs]
        sights = self._lines.look(pictures)
        maps = self._strokes.probability_maps(pictures, sights)
        each = zip(pictures, sights, maps, strict=True)
        return [self._joined(picture, sight.confidence, found) for picture, sight, found in each]

    def confidence_maps(self, images_rgb: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        """How sure the stroke network is of an overlay, per pixel; lines that PP-OCR alone sees are the scene's.

        Args:
            images_rgb: uint8 (H, W, 3), RGB, of any sizes.

        Returns:
            float32 (H, W), 0..1, one per image, of its size.
        """
        return [maps[0] for maps in self._maps(images_rgb)]

    def _maps(self, images_rgb: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        """Both networks' look at pictures, as the second of them has it: float32 (7, H, W), 0..1, each."""
        return self._strokes.probability_maps(images_rgb, self._lines.look(images_rgb))

    def _joined(
        self, picture: NDArray[np.uint8], line_map: NDArray[np.float32], maps: NDArray[np.float32]
    ) -> list[Detection]:
        config = self._config
        lines = db.lines(line_map, config.threshold, config.box_score, config.min_side_px)
        if config.rectify:
            maps = look_again(picture, maps, lines, self._maps)
        return fuse(picture, lines, line_map, maps, config, self._appearance.features)
