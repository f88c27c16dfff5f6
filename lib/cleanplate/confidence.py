"""The calibrated confidence: how likely a fill holds up, by what can be seen without the truth."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray
from scipy.special import expit

from cleanplate.errors import ModelError
from cleanplate.fill.pde import diffuse
from cleanplate.records import Box
from cleanplate.ring import dilate

MARGIN_PX = 16  # round a region's mask: the box in which its error is meant
_FLOOR = 0.005  # of LPIPS: what is below is no error, and has no logarithm

SIGNALS = (
    "share", "depth_px", "disagreement", "texture", "noise", "ring_std", "edges", "texture_ratio", "seam",
    "colour_drift", "structure", "residual_text",
)  # fmt: skip
# How the signals enter the model: errors grow with powers of them.
_TERMS: Mapping[str, Callable[[Mapping[str, float]], float]] = {
    "share": lambda seen: math.log(seen["share"] + 1e-3),
    "depth_px": lambda seen: math.log(seen["depth_px"] + 0.5),
    "texture": lambda seen: math.log(seen["texture"] + 1),
    "noise": lambda seen: math.log(seen["noise"] + 0.5),
    "ring_std": lambda seen: math.log(seen["ring_std"] + 1),
    "edges": lambda seen: math.sqrt(max(seen["edges"], 0.0)),
    "disagreement": lambda seen: math.log(seen["disagreement"] + 0.3),
    "texture_ratio": lambda seen: math.log(max(seen["texture_ratio"], 1e-3)),
    "texture_gap": lambda seen: abs(math.log(max(seen["texture_ratio"], 1e-3))),  # too smooth or too rough
    "seam": lambda seen: math.log(seen["seam"] + 0.3),
    "colour_drift": lambda seen: math.log(seen["colour_drift"] + 1),
}
TERMS = tuple(_TERMS)


@dataclass(frozen=True)
class ErrorModel:
    """The logarithm of LPIPS (plus a floor) as a linear function of the signals' terms, and what odds follow from it.

    Attributes:
        weights: by term.
        bias: the value where all terms are 0.
        slope: of the log odds that a fill holds up, over how far its expected error's logarithm lies below the limit's.
        depth: of those, over the term of the hole's depth: errors of deep holes lie further from what is expected.
        offset: the log odds where all of this is 0.
    """

    weights: Mapping[str, float]
    bias: float
    slope: float
    depth: float
    offset: float

    def expected_error(self, signals: Mapping[str, float]) -> float:
        """The LPIPS, in the region's box with a margin, that such a fill has by the median."""
        return math.exp(self._log_error(signals)) - _FLOOR

    def confidence(self, signals: Mapping[str, float], max_error: float) -> float:
        """Probability, 0..1, that the error is at most `max_error` (Platt, 1999)."""
        distance = log_error(max_error) - self._log_error(signals)
        return float(expit(self.slope * distance + self.depth * depth_term(signals) + self.offset))

    def _log_error(self, signals: Mapping[str, float]) -> float:
        return self.bias + sum(weight * _TERMS[name](signals) for name, weight in self.weights.items())


def terms(signals: Mapping[str, float]) -> NDArray[np.float64]:
    """The model's inputs, float64 (len(TERMS),), in the order of TERMS."""
    return np.array([term(signals) for term in _TERMS.values()])


def depth_term(signals: Mapping[str, float]) -> float:
    """How deep the hole is, as the odds have it."""
    return _TERMS["depth_px"](signals)


def log_error(lpips: float) -> float:
    """What the model predicts of an LPIPS."""
    return math.log(lpips + _FLOOR)


def hole_signals(before: NDArray[np.uint8], core: NDArray[np.uint8], invalid: NDArray[np.uint8]) -> dict[str, float]:
    """How hard a hole is to fill, whatever fills it.

    Args:
        before: uint8 (H, W, 3), RGB.
        core: uint8 (H, W), 0 or 1.
        invalid: uint8 (H, W), 0 or 1: what may not be used.

    Returns:
        share (of the core in its box with a margin), depth_px (mean distance to the rim), disagreement (mean difference
        of Telea's fill and Navier-Stokes' in grey levels: where two cheap fills differ, neither knows).
    """
    if not core.any():
        return {"share": 0.0, "depth_px": 0.0, "disagreement": 0.0}
    part = Box.around(dilate(core, MARGIN_PX)).slices
    core, crop, hole = core[part], np.ascontiguousarray(before[part]), (core | invalid)[part]
    depth = cv2.distanceTransform(np.pad(core, 1), cv2.DIST_L2, cv2.DIST_MASK_5)[1:-1, 1:-1]
    one, other = (diffuse(crop, hole, method).astype(np.int16)[core > 0] for method in ("telea", "navier_stokes"))
    return {
        "share": float(core.mean()),
        "depth_px": float(depth[core > 0].mean()),
        "disagreement": float(np.abs(one - other).mean()),
    }


@cache
def load_error_model(path: Path | None = None) -> ErrorModel:
    """The model that `training/fit_confidence.py` fitted; the package's own where no path is given.

    Raises:
        ModelError: the file is missing or is not one of this model.
    """
    source = path or Path(str(resources.files("cleanplate"))) / "weights" / "confidence.yaml"
    try:
        values = yaml.safe_load(source.read_text(encoding="utf-8"))
        weights = {str(name): float(value) for name, value in values["weights"].items()}
        if set(weights) - set(TERMS):
            raise ValueError(f"unknown terms {sorted(set(weights) - set(TERMS))}")
        return ErrorModel(weights, *(float(values[name]) for name in ("bias", "slope", "depth", "offset")))
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{source} is not a fitted confidence: {error}; run training/fit_confidence.py") from error
