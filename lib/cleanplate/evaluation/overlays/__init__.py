"""Overlays with exact truth: printed text, handwriting, stamps, watermarks, and scene text that is to stay."""

from cleanplate.evaluation.overlays.degrade import Degradation, degrade, sample_degradation
from cleanplate.evaluation.overlays.fonts import FontLibrary
from cleanplate.evaluation.overlays.generate import generate
from cleanplate.evaluation.overlays.records import DESIGNS, SCRIPTS, Overlay, OverlaySample, OverlayStyle
from cleanplate.evaluation.overlays.styles import sample_style

__all__ = [
    "DESIGNS",
    "SCRIPTS",
    "Degradation",
    "FontLibrary",
    "Overlay",
    "OverlaySample",
    "OverlayStyle",
    "degrade",
    "generate",
    "sample_degradation",
    "sample_style",
]
