"""Judges filled regions: is text left, does the seam show, is the texture plausible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.confidence import hole_signals, load_error_model
from cleanplate.config import VerifyConfig
from cleanplate.detect.base import ConfidenceMapper, Detector
from cleanplate.fill.base import FillRequest
from cleanplate.metrics.drift import colour_drift
from cleanplate.metrics.residual import residual_text
from cleanplate.metrics.seam import seam_error
from cleanplate.metrics.structure import broken_structure
from cleanplate.metrics.texture import texture_ratio
from cleanplate.records import Region, Verdict
from cleanplate.residue import ghosts
from cleanplate.ring import dilate
from cleanplate.route import features

_PLAIN_SEAM, _PLAIN_OCTAVES = 2.5, 2.5  # more than 99 in 100 good fills have
# What explains a high expected error where it is beyond nine in ten good fills': the remedy is chosen by it.
_USUAL = {"seam": 1.5, "texture_ratio": 1.6, "colour_drift": 10.0, "structure": 0.75}
_BESIDE_FROM_PX, _BESIDE_PX = 2, 24
# Of 47 marks taken off held-out photographs the excess was at most 0.1 where they went, above 0.6 where not.
_EXCESS_WEIGHT = 2.0
_LEAST_ROOM = 0.2  # above what is seen beside a mark: where a sign goes on there, the last hundredths say nothing
_TEXT_KINDS = frozenset({"overlay_text", "handwriting", "watermark", "stamp", "scene_text"})


@dataclass(frozen=True)
class Candidate:
    """A filled region, to be judged.

    Attributes:
        region: what was to go.
        before: uint8 (H, W, 3), RGB: the crop as it was.
        after: uint8 (H, W, 3), RGB: the crop, filled, blended and regrained.
        alpha: float32 (H, W), 0..1: the soft mask in the crop.
        core: uint8 (H, W), 0 or 1: the hard mask in the crop.
        invalid: uint8 (H, W), 0 or 1: what may not be compared with (cores of all regions).
        blend: the method that blended it.
        grainless: uint8 (H, W, 3), RGB: `after` as it was before the regrain; None where that is not kept.
        uncovered: whether a mark was taken off instead of painted over: what lay under it is there again.
    """

    region: Region
    before: NDArray[np.uint8]
    after: NDArray[np.uint8]
    alpha: NDArray[np.float32]
    core: NDArray[np.uint8]
    invalid: NDArray[np.uint8]
    blend: str = ""
    grainless: NDArray[np.uint8] | None = None
    uncovered: bool = False

    @property
    def request(self) -> FillRequest:
        """What a filler would be asked for, to see its hole and surroundings as the router does."""
        return FillRequest(self.before, self.alpha, self.core, self.invalid)


def signals(candidate: Candidate) -> dict[str, float]:
    """What can be seen of a fill without the truth; all that the confidence is made of but the text that is left.

    Returns:
        share, depth_px, disagreement (see `confidence.hole_signals`); texture, noise, ring_std, edges (of the ring, see
        `route.features`); texture_ratio, seam, colour_drift, structure (of the fill against the ring, see `metrics`).
    """
    before, after, core, invalid = candidate.before, candidate.after, candidate.core, candidate.invalid
    around = features(candidate.request, candidate.region)
    return {
        **hole_signals(before, core, invalid),
        **{name: around[name] for name in ("texture", "noise", "ring_std", "edges")},
        "texture_ratio": texture_ratio(after, core, invalid),
        "seam": seam_error(after, core, invalid),
        "colour_drift": colour_drift(after, core, invalid),
        "structure": broken_structure(after, core, invalid),
    }


class Verifier:
    """Judges candidates in batches.

    The confidence is the calibrated probability that the fill's error is at most verify.max_error (see
    `confidence.ErrorModel`), times one factor for each defect that a reader minds more than the error does. A factor is
    1 up to the signal's limit, which good fills hardly reach, and 1 / (1 + excess^2) beyond it, in units of the limit:
    residual_text (max_residual_text), seam (2.5 times the ring's steps), texture_ratio (2.5 octaves either way).

    Failures are named worst first: those defects; where the calibrated part is too low, the signals beyond the usual as
    its likely causes, and "expected_error".
    """

    def __init__(self, detectors: Sequence[Detector], config: VerifyConfig) -> None:
        """Takes the first detector that yields confidence maps, if any.

        Raises:
            ModelError: the fitted confidence cannot be read.
        """
        mappers = [detector for detector in detectors if isinstance(detector, ConfidenceMapper)]
        self._mapper: ConfidenceMapper | None = mappers[0] if mappers else None
        self._config = config
        self._errors = load_error_model()

    def judge(self, candidates: Sequence[Candidate]) -> list[Verdict]:
        """One verdict per candidate, in order."""
        return [self._verdict(seen) for seen in self.see(candidates)]

    def see(self, candidates: Sequence[Candidate]) -> list[dict[str, float]]:
        """All signals of each candidate, in order: confidence.SIGNALS."""
        maps = self._maps(candidates)
        return [
            {"residual_text": self._residual(candidate, text), **signals(candidate)}
            for candidate, text in zip(candidates, maps, strict=True)
        ]

    def _maps(self, candidates: Sequence[Candidate]) -> list[NDArray[np.float32] | None]:
        maps: list[NDArray[np.float32] | None] = [None] * len(candidates)
        texts = [i for i, candidate in enumerate(candidates) if candidate.region.kind in _TEXT_KINDS]
        if self._mapper is not None and texts:
            found_maps = self._mapper.confidence_maps([candidates[i].after for i in texts])
            for index, found in zip(texts, found_maps, strict=True):
                maps[index] = found
        return maps

    def _verdict(self, seen: dict[str, float]) -> Verdict:
        scores = seen | {"expected_error": self._errors.expected_error(seen)}
        excess = {
            "residual_text": scores["residual_text"] / max(self._config.max_residual_text, 1e-6) - 1,
            "seam": scores["seam"] / _PLAIN_SEAM - 1,
            "texture_ratio": _octaves(seen) / _PLAIN_OCTAVES - 1,
        }
        factors = {name: 1 / (1 + max(0.0, value) ** 2) for name, value in excess.items()}
        holds_up = self._errors.confidence(seen, self._config.max_error)
        failed = sorted((name for name, value in excess.items() if value > 0), key=lambda name: factors[name])
        if holds_up < self._config.min_confidence:
            failed += [name for name in _likely_causes(seen) if name not in failed]
            failed.append("expected_error")
        return Verdict(float(np.prod(list(factors.values()))) * holds_up, scores, tuple(failed))

    def _residual(self, candidate: Candidate, confidence: NDArray[np.float32] | None) -> float:
        if candidate.region.kind not in _TEXT_KINDS:
            return 0.0
        if confidence is None:
            return _contrast_left(candidate)
        # Detectors see letters in skin and leaves, so where they do the fill must follow what was there, too. The root
        # lifts faint letters, of which a detector is half sure.
        sight = np.sqrt(confidence)
        left = residual_text(sight * ghosts(candidate.before, candidate.after, candidate.core), candidate.core)
        if not candidate.uncovered:
            return left
        # What shone through follows what was there rightly: only what a detector sees less of beside the mark counts.
        usual = residual_text(sight, _beside(candidate))
        return min(1.0, _EXCESS_WEIGHT * max(0.0, left - usual) / max(1 - usual, _LEAST_ROOM))


def _beside(candidate: Candidate) -> NDArray[np.uint8]:
    """uint8 (H, W), 1 on what is near a mask, but not so near that a detector's map of letters reaches there."""
    hole = candidate.request.hole
    return dilate(hole, _BESIDE_PX) - dilate(hole, _BESIDE_FROM_PX)


def _likely_causes(seen: dict[str, float]) -> list[str]:
    """Signals that are further off than usual, the furthest first."""
    values = {name: _octaves(seen) if name == "texture_ratio" else seen[name] for name in _USUAL}
    off = {name: values[name] / usual for name, usual in _USUAL.items()}
    return sorted((name for name, times in off.items() if times > 1), key=lambda name: -off[name])


def _octaves(seen: dict[str, float]) -> float:
    """How far the fill's texture is from the ring's, either way."""
    return abs(float(np.log2(max(seen["texture_ratio"], 1e-6))))


def _contrast_left(candidate: Candidate) -> float:
    """Without a text detector: the share of the strokes' edges that is still there, 0..1."""
    inside = candidate.core > 0
    before, after = (_edges(crop)[inside] for crop in (candidate.before, candidate.after))
    return float(np.clip(after.mean() / max(float(before.mean()), 1.0), 0, 1)) if inside.any() else 0.0


def _edges(crop: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(np.abs(cv2.Laplacian(crop, cv2.CV_32F)).max(axis=2), dtype=np.float32)
