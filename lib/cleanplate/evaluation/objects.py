"""Objects pasted into photographs, with their shadows: pictures in which the silhouette is known, and hints at them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from cleanplate.errors import ConfigError
from cleanplate.mask import BOX_SOURCE, MASK_SOURCE
from cleanplate.records import Box, Detection

HintKind = Literal["box", "brush", "point"]
HINTS: tuple[HintKind, ...] = ("box", "brush", "point")
PICTOGRAPHS = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
PACKAGE = "fonts-noto-color-emoji"
_PICTOGRAPH_PX = 109  # the one size that the font's bitmaps have
# Animals, plants, food, people, clothes, vehicles, tools, furniture: blocks of Unicode 15 that hold things, not signs.
_BLOCKS = (
    (0x1F32D, 0x1F382), (0x1F3A3, 0x1F3D5), (0x1F400, 0x1F43F), (0x1F451, 0x1F48A), (0x1F574, 0x1F57A),
    (0x1F680, 0x1F6A4), (0x1F6B2, 0x1F6B6), (0x1F6CB, 0x1F6FC), (0x1F90C, 0x1F9FF), (0x1FA70, 0x1FAB7),
)  # fmt: skip
_HELD_OUT_EVERY = 5  # of the pictographs
_LEAST_FILL, _MOST_FILL = 0.12, 0.85  # of its box
_SHADOW = 0.12  # share of the light taken from which it is shadow


@dataclass(frozen=True)
class Pasted:
    """A picture with one object.

    Attributes:
        picture: uint8 (H, W, 3), RGB.
        truth: bool (H, W), the object.
        shadow: bool (H, W), its shadow beside it.
        box: of the object.
    """

    picture: NDArray[np.uint8]
    truth: NDArray[np.bool_]
    shadow: NDArray[np.bool_]
    box: Box


def compose(
    ground: NDArray[np.uint8], thing: NDArray[np.uint8], coverage: NDArray[np.float32], shade: NDArray[np.float32]
) -> Pasted:
    """Lays a thing on a photograph.

    Args:
        ground: uint8 (H, W, 3), RGB.
        thing: uint8 (H, W, 3), RGB, of which the covered pixels count.
        coverage: float32 (H, W), 0..1, of the thing; more than half somewhere.
        shade: float32 (H, W), 0..1, the share of the light that the thing takes from the ground.
    """
    lit = ground * (1 - shade[..., None])
    mixed = lit * (1 - coverage[..., None]) + thing * coverage[..., None]
    solid = coverage > 0.5
    return Pasted(
        np.clip(np.round(mixed), 0, 255).astype(np.uint8), solid, (shade > _SHADOW) & ~solid,
        Box.around(solid.astype(np.uint8)),
    )  # fmt: skip


def paste(
    ground: NDArray[np.uint8],
    other: NDArray[np.uint8],
    rng: np.random.Generator,
    outline: NDArray[np.float32] | None = None,
) -> Pasted:
    """Pastes a part of another photograph; six in ten cast a shadow to one side or under them.

    Args:
        ground: uint8 (H, W, 3), RGB, of 64 px and more.
        other: uint8 (h, w, 3), RGB, at least as large as the object gets (0.4 of the ground's shorter side).
        rng: source of chance.
        outline: float32 (n, m), 0..1, the object's shape; None: a random blob.
    """
    height, width = ground.shape[:2]
    side = int(rng.uniform(0.12, 0.4) * min(height, width))
    shape = blob(side, rng) if outline is None else fitted(outline, side)
    top, left = int(rng.integers(8, height - side - 8)), int(rng.integers(8, width - side - 8))
    coverage = np.zeros((height, width), np.float32)
    coverage[top : top + side, left : left + side] = shape
    y, x = int(rng.integers(other.shape[0] - side)), int(rng.integers(other.shape[1] - side))
    thing = np.zeros_like(ground)
    thing[top : top + side, left : left + side] = other[y : y + side, x : x + side]
    shade = np.zeros((height, width), np.float32)
    if rng.random() < 0.6:
        shift = np.array([[1, 0, rng.uniform(-0.2, 0.2) * side], [0, 1, rng.uniform(0.05, 0.25) * side]])
        moved = cv2.warpAffine(coverage, shift, (width, height))
        shade = cv2.GaussianBlur(moved, (0, 0), rng.uniform(1.0, 4.0)) * np.float32(rng.uniform(0.25, 0.6))
    return compose(ground, thing, coverage, np.asarray(shade, np.float32))


def blob(side: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """A random closed shape, float32 (side, side), 0..1: a circle whose radius varies by a few harmonics."""
    angle = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    radius = np.ones_like(angle)
    for harmonic in range(2, 7):
        radius += rng.normal(0, 0.22 / harmonic) * np.cos(harmonic * angle + rng.uniform(0, 6.28))
    radius = radius / radius.max() * (side / 2 - 2)
    stretch = rng.uniform(0.55, 1, 2)
    points = side / 2 + np.stack([radius * np.cos(angle) * stretch[0], radius * np.sin(angle) * stretch[1]], axis=1)
    canvas = np.zeros((side, side), np.uint8)
    cv2.fillPoly(canvas, [np.round(points * 16).astype(np.int32)], 255, cv2.LINE_AA, shift=4)
    return (cv2.GaussianBlur(canvas, (0, 0), 0.7) / 255.0).astype(np.float32)


def fitted(outline: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """A shape scaled to fill a square as far as its proportions let it, 2 px off its rim, float32 (side, side)."""
    scale = (side - 4) / max(outline.shape)
    size = [max(1, round(length * scale)) for length in outline.shape[::-1]]
    canvas = np.zeros((side, side), np.float32)
    left, top = ((side - length) // 2 for length in size)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    canvas[top : top + size[1], left : left + size[0]] = cv2.resize(outline, size, interpolation=method)
    return np.asarray(np.clip(cv2.GaussianBlur(canvas, (0, 0), 0.7), 0, 1), np.float32)


@lru_cache(maxsize=2)
def pictographs(split: Literal["train", "heldout"], font: Path = PICTOGRAPHS) -> tuple[NDArray[np.uint8], ...]:
    """Pictures of things with their outlines: animals, people, food, vehicles, tools.

    Args:
        split: every fifth one is held out from training.
        font: Noto Color Emoji (Google, OFL 1.1).

    Returns:
        uint8 (h, w, 4), RGBA, cut to the thing.

    Raises:
        ConfigError: the font is not installed.
    """
    try:
        face = ImageFont.truetype(str(font), _PICTOGRAPH_PX)
    except OSError:
        raise ConfigError(f"{font} is missing; install it: apt-get install {PACKAGE}") from None
    found = []
    for number in (code for first, last in _BLOCKS for code in range(first, last + 1)):
        if (number % _HELD_OUT_EVERY == 0) != (split == "heldout"):
            continue
        canvas = Image.new("RGBA", (150, 150))
        ImageDraw.Draw(canvas).text((5, 10), chr(number), font=face, embedded_color=True)
        drawn = np.asarray(canvas)
        if (inside := Box.around((drawn[..., 3] > 127).astype(np.uint8))).area_px:
            drawn = drawn[inside.slices]
            if _LEAST_FILL <= (drawn[..., 3] > 127).mean() <= _MOST_FILL:
                found.append(np.ascontiguousarray(drawn))
    return tuple(found)


def hint_at(pasted: Pasted, kind: HintKind, rng: np.random.Generator, slack: float = 0.06) -> Detection:
    """What a user would give: a box that is a little off, a rough brush, or a point in the middle.

    Args:
        pasted: the picture.
        kind: of the hint.
        rng: source of chance.
        slack: how far a box's side may be off, of the object's longer side.
    """
    height, width = pasted.truth.shape
    box = pasted.box
    if kind == "box":
        off = np.round(rng.uniform(-0.01, slack, 4) * max(box.width, box.height)).astype(int)
        loose = Box(box.left - off[0], box.top - off[1], box.right + off[2], box.bottom + off[3]).clip(width, height)
        return Detection("object", 1.0, loose, np.ones((loose.height, loose.width), np.float32), BOX_SOURCE)
    if kind == "point":
        inner = cv2.erode(pasted.truth.astype(np.uint8), np.ones((5, 5), np.uint8))
        ys, xs = np.nonzero(inner if inner.any() else pasted.truth)
        x, y = int(np.median(xs)), int(np.median(ys))
        spot = Box(x, y, x + 1, y + 1)
        return Detection("object", 1.0, spot, np.ones((1, 1), np.float32), BOX_SOURCE)
    reach = max(3, round(0.1 * max(box.width, box.height)))
    brush = cv2.dilate(pasted.truth.astype(np.uint8), np.ones((reach, reach), np.uint8))
    shift = np.array([[1, 0, rng.uniform(-0.5, 0.5) * reach], [0, 1, rng.uniform(-0.5, 0.5) * reach]])
    moved = np.asarray(cv2.warpAffine(brush, shift, (width, height), flags=cv2.INTER_NEAREST), np.uint8)
    around = Box.around(moved)
    return Detection("object", 1.0, around, moved[around.slices].astype(np.float32), MASK_SOURCE)
