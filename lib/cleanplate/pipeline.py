"""The stages in order: images in, outcomes out; no Spark, no input or output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cleanplate import attempts, rights
from cleanplate.config import Config
from cleanplate.detect import build_detectors, detect
from cleanplate.detect.base import Detector
from cleanplate.detect.recurring import RecurringDetector
from cleanplate.encode import encode
from cleanplate.enhance.stage import Enhancers, enhance
from cleanplate.fill import build_engines
from cleanplate.fill.base import Engine
from cleanplate.guard import Codec, make_codec
from cleanplate.marks.recurring import RecurringMark
from cleanplate.mask import build_masks
from cleanplate.mask.segmenters import Segmenter, build_segmenter
from cleanplate.measure import measure
from cleanplate.models.registry import Registry
from cleanplate.outcomes import conclude
from cleanplate.records import Job, Outcome
from cleanplate.stages import StageClock
from cleanplate.verify import Verifier


@dataclass(frozen=True)
class Plan:
    """A configuration with its models loaded: all that the stages need."""

    config: Config
    registry: Registry
    detectors: Sequence[Detector]
    engines: Mapping[str, Engine]
    segmenter: Segmenter
    verifier: Verifier
    enhancers: Enhancers
    codec: Codec
    device: str

    @classmethod
    def load(cls, config: Config, device: str = "cpu", marks: Sequence[RecurringMark] = ()) -> Plan:
        """Builds the stages and loads their weights (cached per process).

        Args:
            config: the merged configuration.
            device: "cpu", "cuda:0", ...
            marks: that the batch is known to share.

        Raises:
            ConfigError: a stage is not in the registry.
            ModelError: weights are missing, tampered with or not permitted.
        """
        registry = Registry.load(config.models)
        detectors = [*build_detectors(config, registry, device), *([RecurringDetector(marks)] if marks else [])]
        return cls(
            config=config,
            registry=registry,
            detectors=detectors,
            engines=build_engines(config, registry, device),
            segmenter=build_segmenter(config, registry, device),
            verifier=Verifier(detectors, config.verify),
            enhancers=Enhancers.load(config, registry, device),
            codec=make_codec(config.source, workers=config.run.io_threads),
            device=device,
        )


def clean(jobs: Sequence[Job], plan: Plan) -> list[Outcome]:
    """Cleans a batch of images.

    Args:
        jobs: decoded images with what the manifest says of them.
        plan: configuration and loaded models.

    Returns:
        One outcome per job, in order.

    Raises:
        StageError: a stage failed; `rows.clean_rows` finds the image that caused it and makes it a row.
    """
    clock = StageClock(len(jobs))
    with clock("detect"):
        found = detect(jobs, plan.detectors)
    with clock("mask"):
        regions = build_masks(jobs, found, plan.config.mask, plan.segmenter)
    with clock("rights"):
        work = rights.gate(jobs, regions)
    with clock("fill"):
        edits = attempts.run(work, plan)
    with clock("enhance"):
        edits = enhance(edits, plan.enhancers)
    with clock("encode"):
        results = encode(edits, plan.codec, plan.config.enhance.jpeg_quality)
    with clock("measure"):
        measured = measure(results, plan)
    return conclude(results, measured, clock.seconds, plan.config.verify.min_confidence)
