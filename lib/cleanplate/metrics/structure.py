"""Structure: whether the lines that run into a fill go on inside it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.ring import dilate, noise_sigma

_REACH_PX = 4  # how far outside of the border a line is looked at
_CLEAR_PX = 2  # from the border on either side: gradients there are those of a seam
_CLEAR_STEP = 10.0  # grey levels per pixel, and ...
_NOISE_STEPS = 3.0  # ... so many times the noise: weaker edges are texture
_STEEP = 0.5  # cosine between a line and the border's normal: lines along the border do not enter
_FEWEST_PX = 6


def broken_structure(image_rgb: NDArray[np.uint8], mask: NDArray[np.uint8], invalid: NDArray[np.uint8]) -> float:
    """Share of the lines entering a mask, weighted by their contrast, that do not go on inside.

    Edges just outside the mask are followed along their own direction to just inside it, where the gradient should be
    as strong and point the same way.

    Args:
        image_rgb: uint8 (H, W, 3), RGB: the result.
        mask: uint8 (H, W), 0 or 1: the hard mask.
        invalid: uint8 (H, W), 0 or 1: what the outside leaves out.

    Returns:
        0..1; 0 = all go on, or no line enters, or the mask is too thin (6 px) to tell.

    Example:
        >>> import numpy as np
        >>> image = np.full((40, 40, 3), 60, np.uint8); image[20:] = 180
        >>> mask = np.zeros((40, 40), np.uint8); mask[10:30, 14:26] = 1
        >>> broken_structure(image, mask, mask)
        0.0
        >>> image[mask > 0] = 120
        >>> broken_structure(image, mask, mask) > 0.9
        True
    """
    grey = cv2.GaussianBlur(cv2.cvtColor(image_rgb, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 1.0)
    across = _gradient(np.asarray(grey / 8, np.float32))
    rows, columns = _entering(image_rgb, mask, invalid, across)
    if len(rows) < _FEWEST_PX:
        return 0.0
    inner = 1 - dilate(1 - mask, _CLEAR_PX)  # nearer to the border the gradient still holds what lies outside
    best = np.full(len(rows), -1.0, np.float32)
    for steps in range(2 * _CLEAR_PX, _REACH_PX + 2 * _CLEAR_PX):
        best = np.maximum(best, _continued(across, inner, rows, columns, steps))
    judged = best >= 0
    if judged.sum() < _FEWEST_PX:
        return 0.0
    weight = np.hypot(across[0], across[1])[rows, columns][judged]
    return float(np.clip(1 - (best[judged] * weight).sum() / weight.sum(), 0, 1))


def _entering(
    image_rgb: NDArray[np.uint8], mask: NDArray[np.uint8], invalid: NDArray[np.uint8], across: list[NDArray[np.float32]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of the clear edges just outside a mask that run towards it."""
    shell = (dilate(mask, _REACH_PX) & (1 - dilate(mask | invalid, _CLEAR_PX))) > 0
    noise = float(noise_sigma(image_rgb, shell.astype(np.uint8)).max())
    strength = np.hypot(across[0], across[1])
    distance = np.asarray(cv2.GaussianBlur(mask.astype(np.float32), (0, 0), _REACH_PX / 2), np.float32)
    normal = _gradient(distance)
    size = np.maximum(np.hypot(normal[0], normal[1]) * strength, 1e-6)
    # A line runs at right angles to its gradient; so its cosine with the normal is the gradient's sine.
    steep = np.abs(across[0] * normal[1] - across[1] * normal[0]) / size
    rows, columns = np.nonzero(shell & (strength > _CLEAR_STEP + _NOISE_STEPS * noise) & (steep > _STEEP))
    return rows, columns


def _gradient(values: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Along the columns, and along the rows."""
    return [np.asarray(cv2.Sobel(values, cv2.CV_32F, *order), np.float32) for order in ((1, 0), (0, 1))]


def _continued(
    across: list[NDArray[np.float32]],
    inner: NDArray[np.uint8],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    steps: int,
) -> NDArray[np.float32]:
    """How well each edge goes on `steps` pixels along its line, on the side that is inside, 0..1; -1 if neither is."""
    height, width = inner.shape
    one, two = across[0][rows, columns], across[1][rows, columns]
    size = np.maximum(np.hypot(one, two), 1e-6)
    found = np.full(len(rows), -1.0, np.float32)
    # The gradient of a line that is not quite straight lies up to a pixel aside.
    for sign in (-1, 1):
        for aside in (-1, 0, 1):
            y = np.rint(rows + sign * steps * one / size + aside * two / size).astype(np.int64)
            x = np.rint(columns - sign * steps * two / size + aside * one / size).astype(np.int64)
            y, x = np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)
            there = (one * across[0][y, x] + two * across[1][y, x]) / size**2
            found = np.maximum(found, np.where(inner[y, x] > 0, np.clip(there, 0, 1), -1).astype(np.float32))
    return found
