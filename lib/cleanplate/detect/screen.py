"""Tells overlays from what the photograph itself shows: how likely a line's strokes, or a mark's, lie on it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

import cv2
import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from cleanplate.detect.components import Group
from cleanplate.errors import ModelError
from cleanplate.models.stroke_net import CHANNELS, KIND_CHANNELS
from cleanplate.ring import dilate
from cleanplate.windows import place

_MARGIN_PX = 8  # round a group's box that is looked at
_NEAR_PX, _RING_PX = 2, 4  # pixels this close to a stroke are its rim; the ring lies beyond them
_GROUND_PX = 41  # window of the mean that stands for the ground behind a stroke
_FEWEST_PX = 20  # of a ring
_LINE = 0.3  # of PP-OCR's probability from which a pixel lies on a line
_SOFTEN = 2.0  # grey levels: differences below it are none
_SHARES: tuple[str, ...] = (*KIND_CHANNELS, "plate")

FEWEST_INK_PX = 12  # what has fewer is neither
MODELS = ("lines", "marks")
PARTS = ("term", "limit", "lower", "upper", "chance")
TERMS: tuple[str, ...] = (
    "score", "surest", "beyond", "area", "short_side", "long_side", "fill", "stroke_width",
    *(f"share_{name}" for name in _SHARES), "on_lines", "own_spread", "contrast", "ring_spread", "coherence", "rim",
    "gradient",
)  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """What a group is judged by.

    Attributes:
        picture: uint8 (H, W, 3), RGB.
        line_map: float32 (H, W), 0..1, PP-OCR's probability of text.
        maps: float32 (7, H, W), 0..1, the stroke network's, in the order of stroke_net.CHANNELS.
        threshold: from which a pixel is a stroke.
    """

    picture: NDArray[np.uint8]
    line_map: NDArray[np.float32]
    maps: NDArray[np.float32]
    threshold: float


@dataclass(frozen=True)
class Forest:
    """A random forest (Breiman, 2001) over TERMS, fitted by `training/fit_screen.py`.

    Attributes:
        term: int32 (trees, nodes), what a node asks about; -1 at a leaf.
        limit: float32, likewise: up to it to the lower child, beyond it to the upper one.
        lower: int32, likewise.
        upper: int32, likewise.
        chance: float32, likewise: share of overlays among what came to the node.
    """

    term: NDArray[np.int32]
    limit: NDArray[np.float32]
    lower: NDArray[np.int32]
    upper: NDArray[np.int32]
    chance: NDArray[np.float32]

    def chances(self, terms: NDArray[np.float64]) -> NDArray[np.float64]:
        """How likely groups are overlays, float64 (G,), 0..1: the mean of the trees' leaves.

        Args:
            terms: float64 (G, T), one row of `terms_of` per group.
        """
        trees = np.arange(len(self.term))[None]
        rows = np.arange(len(terms))[:, None]
        node = np.zeros((len(terms), len(self.term)), np.int32)
        while (asked := self.term[trees, node]).max(initial=-1) >= 0:
            below = terms[rows, np.maximum(asked, 0)].astype(np.float32) <= self.limit[trees, node]
            node = np.where(asked < 0, node, np.where(below, self.lower[trees, node], self.upper[trees, node]))
        return np.asarray(self.chance[trees, node].mean(axis=1), np.float64)


@cache
def load_screen() -> Mapping[str, Forest]:
    """The packaged forests, "lines" and "marks".

    Raises:
        ModelError: their file is of other terms than this module.
    """
    packaged = resources.files("cleanplate.weights").joinpath("screen.safetensors")
    with resources.as_file(packaged) as path, safe_open(path, framework="numpy") as stored:
        if (stored.metadata() or {}).get("terms", "").split() != list(TERMS):
            raise ModelError(f"{packaged} is of other terms: run training/fit_screen.py again")
        names = [f"{name}.{part}" for name in MODELS for part in PARTS]
        tensors = {name: stored.get_tensor(name) for name in names}
    return {name: Forest(**{part: tensors[f"{name}.{part}"] for part in PARTS}) for name in MODELS}


def line_chances(inks: Sequence[Group], seen: Seen) -> list[float]:
    """How likely each line of text lies on the picture and not in it, 0..1, by its strokes; 0 where it has too few."""
    return _chances("lines", inks, seen)


def mark_chances(groups: Sequence[Group], seen: Seen) -> list[float]:
    """How likely each group of strokes that is no line is a mark and no part of the photograph, 0..1."""
    return _chances("marks", groups, seen)


def _chances(name: str, groups: Sequence[Group], seen: Seen) -> list[float]:
    inked = [index for index, group in enumerate(groups) if ink_px(group, seen.threshold) >= FEWEST_INK_PX]
    chances = np.zeros(len(groups))
    if inked:
        rows = np.stack([terms_of(groups[index], seen) for index in inked])
        chances[inked] = load_screen()[name].chances(rows)
    return [float(chance) for chance in chances]


def ink_px(group: Group, threshold: float) -> int:
    """How many pixels of a group are strokes."""
    return int(np.count_nonzero(group.confidence >= threshold))


def terms_of(group: Group, seen: Seen) -> NDArray[np.float64]:
    """The numbers that speak for a mark or against it, float64 (T,), in the order of TERMS.

    They say how sure the network is and whether that ends at the strokes' rims; the size; what kinds it takes the
    strokes for; and what the pixels themselves show: whether they differ from the ground behind them by one and the
    same colour, as ink does, and whether their rims are sharper than their surroundings.
    """
    box = group.box.expand(_MARGIN_PX, seen.picture.shape[1], seen.picture.shape[0])
    maps = seen.maps[(slice(None), *box.slices)]
    confidence = place(group.confidence, group.box, box)
    core = (confidence >= seen.threshold).astype(np.uint8)
    near = dilate(core, _NEAR_PX)
    ring = (dilate(near, _RING_PX) - near) > 0
    if np.count_nonzero(ring) < _FEWEST_PX:
        ring = near == 0 if (near == 0).any() else core > 0
    own, beyond = confidence[core > 0], maps[0][(near - core) > 0]
    points = np.argwhere(core)[:, ::-1].astype(np.int32)
    sides = sorted(side + 1 for side in cv2.minAreaRect(points)[1])
    ink = float((maps[0] * confidence).sum())
    shares = [float((maps[CHANNELS.index(name)] * confidence).sum()) / max(ink, 1e-6) for name in _SHARES]
    depth = cv2.distanceTransform(np.pad(core, 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    width = float(depth[core > 0].mean())
    return np.array([
        group.score, float(np.quantile(own, 0.9)), float(beyond.mean()) if beyond.size else 0.0,
        math.log(len(own)), math.log(sides[0]), math.log(sides[1]), len(own) / (sides[0] * sides[1]),
        math.log(width + 0.1), *shares, float((seen.line_map[box.slices][core > 0] > _LINE).mean()),
        *_ink_terms(seen.picture[box.slices].astype(np.float32), confidence, core, near, ring),
    ])  # fmt: skip


def _ink_terms(
    crop: NDArray[np.float32],
    confidence: NDArray[np.float32],
    core: NDArray[np.uint8],
    near: NDArray[np.uint8],
    ring: NDArray[np.bool_],
) -> list[float]:
    """Terms of the pixels: own spread, contrast, the ring's spread, coherence, rim, gradient."""
    sure = (core > 0) & (confidence >= np.median(confidence[core > 0]))
    known = (near == 0).astype(np.float32)
    window = (_GROUND_PX, _GROUND_PX)
    ground = cv2.blur(crop * known[..., None], window) / (cv2.blur(known, window) + 1e-3)[..., None]
    differences = (crop - ground)[sure]
    middle = np.median(differences, axis=0)
    contrast = float(np.linalg.norm(middle))
    rest = float(np.median(np.linalg.norm(differences - middle, axis=1)))
    grey = crop.mean(axis=2)
    gradient = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)) / 8
    kernel = np.ones((3, 3), np.uint8)
    inner = cv2.erode(core, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    rim = float(gradient[(cv2.dilate(core, kernel) - inner) > 0].mean())
    return [
        math.log(_spread(crop[sure]) + _SOFTEN), math.log(contrast + _SOFTEN), math.log(_spread(crop[ring]) + _SOFTEN),
        math.log(contrast / (rest + 2 * _SOFTEN) + 0.1), math.log((rim + 1) / (float(gradient[ring].mean()) + 1)),
        math.log(rim + 1),
    ]  # fmt: skip


def _spread(pixels: NDArray[np.float32]) -> float:
    """Median absolute deviation of the channel that varies most, of pixels (N, 3)."""
    return float(np.median(np.abs(pixels - np.median(pixels, axis=0)), axis=0).max())
