"""Holes to be filled that no text leaves: free-form brush strokes and solid shapes, as objects do."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def free_form(height: int, width: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Brush strokes that turn at random (the free-form masks of Yu et al., ICCV 2019).

    Args:
        height: of the mask, pixels.
        width: of the mask, pixels.
        rng: source of chance.

    Returns:
        uint8 (height, width), 0 or 1.
    """
    mask = np.zeros((height, width), np.uint8)
    longest = max(height, width)
    for _ in range(int(rng.integers(1, 4))):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        angle, brush = rng.uniform(0, 2 * np.pi), max(2, round(float(rng.uniform(0.02, 0.12)) * longest))
        for _ in range(int(rng.integers(2, 9))):
            angle += rng.normal(0, 0.9)
            step = rng.uniform(0.05, 0.25) * longest
            x2, y2 = x + step * np.cos(angle), y + step * np.sin(angle)
            cv2.line(mask, (round(x), round(y)), (round(x2), round(y2)), 1, brush)
            x, y = float(np.clip(x2, 0, width)), float(np.clip(y2, 0, height))
    return mask


def solid(
    height: int, width: int, rng: np.random.Generator, share: tuple[float, float] = (0.05, 0.3)
) -> NDArray[np.uint8]:
    """A closed shape somewhere inside: a circle whose radius varies by a few harmonics.

    Args:
        height: of the mask, pixels.
        width: of the mask, pixels.
        rng: source of chance.
        share: least and largest area as a share of the mask.

    Returns:
        uint8 (height, width), 0 or 1; what leaves the mask is cut off.
    """
    angle = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    radius = np.ones_like(angle)
    for harmonic in range(2, 7):
        radius += rng.normal(0, 0.3 / harmonic) * np.cos(harmonic * angle + rng.uniform(0, 2 * np.pi))
    stretch = np.exp(rng.uniform(-0.35, 0.35))
    points = np.stack([radius * np.cos(angle) * stretch, radius * np.sin(angle) / stretch], axis=1)
    following = np.roll(points, -1, axis=0)
    area = 0.5 * abs(float((points[:, 0] * following[:, 1] - points[:, 1] * following[:, 0]).sum()))
    points *= np.sqrt(rng.uniform(*share) * height * width / area)
    reach = np.abs(points).max(axis=0)
    centre = [rng.uniform(min(r, s / 2), max(s - r, s / 2)) for r, s in zip(reach, (width, height), strict=True)]
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [np.round((points + centre) * 16).astype(np.int32)], 1, shift=4)
    return mask
