"""The detectors by name: where is something that may have to go."""

from __future__ import annotations

from collections.abc import Sequence

from cleanplate.config import Config
from cleanplate.detect.base import ConfidenceMapper, Detector, Look
from cleanplate.image import Image
from cleanplate.models.registry import Registry
from cleanplate.plugins import load_class
from cleanplate.records import Detection, Job

DETECTORS = {
    "crosses": "cleanplate.detect.crosses:CrossDetector",
    "given": "cleanplate.detect.given:GivenDetector",
    "ppocr": "cleanplate.detect.ppocr:PpocrDetector",
    "text": "cleanplate.detect.text:TextDetector",
}


def build_detectors(config: Config, registry: Registry, device: str) -> list[Detector]:
    """Builds the detectors that the configuration names, in its order.

    Raises:
        ConfigError: a name is not in the registry of detectors.
        ModelError: weights are missing, tampered with or not permitted.
    """
    classes = [load_class(name, DETECTORS, "detector") for name in config.detect.detectors]
    return [cls.build(config, registry, device) for cls in classes]


def detect(jobs: Sequence[Job], detectors: Sequence[Detector]) -> list[list[Detection]]:
    """Runs every detector over a batch.

    Args:
        jobs: images with what the manifest says of them.
        detectors: from `build_detectors`.

    Returns:
        One list per job: the detections of all detectors, in the detectors' order.
    """
    found: list[list[Detection]] = [[] for _ in jobs]
    for detector in detectors:
        for detections, more in zip(found, detector.detect(jobs), strict=True):
            detections.extend(more)
    return found


def look(detectors: Sequence[Detector], image: Image) -> Look:
    """All that detectors make of one image, unsure or not.

    Args:
        detectors: from `build_detectors`; the first that yields confidence maps gives its own.
        image: the image.
    """
    mapper = next((each for each in detectors if isinstance(each, ConfidenceMapper)), None)
    confidence = None if mapper is None else mapper.confidence_maps([image.rgb])[0]
    return Look(detect([Job("", image)], detectors)[0], confidence)
