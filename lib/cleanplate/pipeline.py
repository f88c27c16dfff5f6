"""The stages in order: images in, outcomes out; no Spark, no input or output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cleanplate import attempts, finish, rights
from cleanplate.config import Config
from cleanplate.detect import build_detectors, detect
from cleanplate.detect.base import Detector
from cleanplate.fill import build_engines
from cleanplate.fill.base import Engine
from cleanplate.mask import build_masks
from cleanplate.models.registry import Registry
from cleanplate.records import Job, Outcome
from cleanplate.stages import StageClock
from cleanplate.verify import Verifier


@dataclass(frozen=True)
class Plan:
    """A configuration with its models loaded: all that the stages need."""

    config: Config
    registry: Registry
    detectors: Sequence[Detector]
    engines: dict[str, Engine]
    verifier: Verifier
    device: str

    @classmethod
    def load(cls, config: Config, device: str = "cpu") -> Plan:
        """Builds the stages and loads their weights (cached per process).

        Raises:
            ConfigError: a stage is not in the registry.
            ModelError: weights are missing, tampered with or not permitted.
        """
        registry = Registry.load(config.models)
        detectors = build_detectors(config, registry, device)
        engines = build_engines(config, registry, device)
        return cls(config, registry, detectors, engines, Verifier(detectors, config.verify), device)


def clean(jobs: Sequence[Job], plan: Plan) -> list[Outcome]:
    """Cleans a batch of images.

    Args:
        jobs: decoded images with what the manifest says of them.
        plan: configuration and loaded models.

    Returns:
        One outcome per job, in order. Any error of a stage propagates, with the stage's name in `StageClock`;
        `rows.clean_rows` turns it into the row of the image that caused it.
    """
    clock = StageClock(len(jobs))
    with clock("detect"):
        found = detect(jobs, plan.detectors)
    with clock("mask"):
        regions = build_masks(jobs, found, plan.config.mask)
    with clock("rights"):
        work = rights.gate(jobs, regions)
    with clock("fill"):
        edits = attempts.run(work, plan)
    with clock("encode"):
        results = finish.encode(edits)
    with clock("measure"):
        return finish.measure(results, plan, clock)
