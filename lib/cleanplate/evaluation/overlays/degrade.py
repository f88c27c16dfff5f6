"""What happens to a picture after the overlay: resizing, noise, sharpening, JPEG."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np

from cleanplate.evaluation.overlays.records import FloatMap, Overlay, OverlaySample
from cleanplate.records import Box, Kind


@dataclass(frozen=True)
class Degradation:
    """What is done, in this order.

    Attributes:
        scale: factor on both sides; the truth is scaled alike.
        noise: standard deviation in grey levels, 0 for none.
        sharpen: amount of an unsharp mask, 0 for none.
        quality: of the JPEG, 1..100; 0 for none.
        halve_chroma: whether the JPEG stores colour at half the resolution (4:2:0).
    """

    scale: float = 1.0
    noise: float = 0.0
    sharpen: float = 0.0
    quality: int = 0
    halve_chroma: bool = True


def sample_degradation(rng: np.random.Generator) -> Degradation:
    """Draws a degradation at random: JPEG at quality 30..95 in five of six cases, the rest seldom."""
    return Degradation(
        scale=float(rng.uniform(0.6, 1.3)) if rng.random() < 0.2 else 1.0,
        noise=float(rng.uniform(1, 7)) if rng.random() < 0.2 else 0.0,
        sharpen=float(rng.uniform(0.2, 0.8)) if rng.random() < 0.1 else 0.0,
        quality=int(rng.integers(30, 96)) if rng.random() < 0.84 else 0,
        halve_chroma=bool(rng.random() < 0.7),
    )


def degrade(sample: OverlaySample, how: Degradation, rng: np.random.Generator) -> OverlaySample:
    """Degrades the picture of a sample; truth and clean picture are only scaled with it.

    Args:
        sample: as drawn.
        how: see `Degradation`.
        rng: source of the noise.
    """
    sample = _scaled(sample, how.scale) if how.scale != 1.0 else sample
    picture = sample.picture.astype(np.float32)
    if how.noise:
        picture = picture + rng.standard_normal(picture.shape, dtype=np.float32) * how.noise
    if how.sharpen:
        picture = picture + how.sharpen * (picture - cv2.GaussianBlur(picture, (0, 0), 1.2))
    rgb = np.clip(np.round(picture), 0, 255).astype(np.uint8)
    return replace(sample, picture=jpeg(rgb, how.quality, how.halve_chroma) if how.quality else rgb)


def jpeg(rgb: np.ndarray, quality: int, halve_chroma: bool = True) -> np.ndarray:
    """A picture, uint8 (H, W, 3) RGB, as it comes back from a JPEG file of a quality in 1..100."""
    sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420 if halve_chroma else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
    settings = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    _, data = cv2.imencode(".jpg", np.ascontiguousarray(rgb[..., ::-1]), settings)
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return np.ascontiguousarray(np.asarray(decoded, np.uint8)[..., ::-1])


def _scaled(sample: OverlaySample, factor: float) -> OverlaySample:
    height, width = sample.picture.shape[:2]
    size = (max(16, round(width * factor)), max(16, round(height * factor)))
    scale_x, scale_y = size[0] / width, size[1] / height
    shrink = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC

    def resize(layer: FloatMap) -> FloatMap:
        return np.clip(cv2.resize(layer, size, interpolation=_truth(factor)), 0, 1).astype(np.float32)

    kinds: Mapping[Kind, FloatMap] = {kind: resize(layer) for kind, layer in sample.kinds.items()}
    return OverlaySample(
        picture=np.asarray(cv2.resize(sample.picture, size, interpolation=shrink), np.uint8),
        clean=np.asarray(cv2.resize(sample.clean, size, interpolation=shrink), np.uint8),
        alpha=resize(sample.alpha),
        ink=np.asarray(cv2.resize(sample.ink, size, interpolation=_truth(factor)), np.float32),
        stroke_alpha=resize(sample.stroke_alpha),
        influence=resize(sample.influence),
        plate=resize(sample.plate),
        kinds=kinds,
        overlays=tuple(_scaled_overlay(o, scale_x, scale_y, size) for o in sample.overlays),
    )


def _truth(factor: float) -> int:
    return cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR


def _scaled_overlay(overlay: Overlay, scale_x: float, scale_y: float, size: tuple[int, int]) -> Overlay:
    box = Box(
        int(overlay.box.left * scale_x),
        int(overlay.box.top * scale_y),
        int(np.ceil(overlay.box.right * scale_x)),
        int(np.ceil(overlay.box.bottom * scale_y)),
    ).clip(*size)
    crop = (max(1, box.width), max(1, box.height))
    factor = min(scale_x, scale_y)
    return replace(
        overlay,
        style=replace(overlay.style, size_px=overlay.style.size_px * factor),
        box=box,
        polygon=(overlay.polygon * np.array([scale_x, scale_y])).astype(np.float32),
        alpha=cv2.resize(overlay.alpha, crop, interpolation=_truth(factor)).astype(np.float32),
        influence=cv2.resize(overlay.influence, crop, interpolation=_truth(factor)).astype(np.float32),
    )
