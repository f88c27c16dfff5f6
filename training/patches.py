"""Clean patches of photographs at random scales, and what JPEG makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.evaluation.photographs import read_rgb
from cleanplate.models.deartifact_net import BLIND

Rgb = NDArray[np.uint8]
_LARGE_PX = 1000  # longer photographs were stored lossily: they are shown at half their size or less
_BLOCK_PX, _CONTEXT_PX = 8, 16
_BLIND_SHARE, _LOST_SHARE = 0.12, 0.08  # of the crops of which neither quality nor grid, or no grid, is told
_COARSER_TOLD_SHARE = 0.7
_TWICE_SHARE, _RESIZED_SHARE = 0.22, 0.07
_LOWEST, _HIGHEST = 5, 95
_GRAIN_SHARE = 0.35  # of the crops whose truth has grain: scans of film do, the photographs to train on do not
_LEAST_GRAIN, _MOST_GRAIN = 1.0, 6.0  # grey levels
_SAMPLING = {
    "420": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    "422": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
    "444": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
}


class Photographs:
    """Pictures in memory, without artefacts of their own."""

    def __init__(self, pictures: Sequence[Rgb]) -> None:
        """Keeps pictures, uint8 (H, W, 3), RGB."""
        self.pictures = list(pictures)

    @classmethod
    def read(cls, paths: Sequence[Path]) -> Photographs:
        """Reads files; what is large is halved, by area."""
        return cls([_halved_if_large(read_rgb(path)) for path in paths])

    def patch(self, side_px: int, rng: np.random.Generator) -> Rgb:
        """A square at a random place, scale (down to a half) and turn, uint8 (side_px, side_px, 3)."""
        picture = self.pictures[int(rng.integers(len(self.pictures)))]
        smallest = min(1.0, max(0.5, side_px / min(picture.shape[:2])))
        scale = 1.0 if rng.random() < 0.4 else float(rng.uniform(smallest, 1.0))
        window = min(round(side_px / scale), *picture.shape[:2])
        top, left = (int(rng.integers(length - window + 1)) for length in picture.shape[:2])
        part = picture[top : top + window, left : left + window]
        if window != side_px:
            part = np.asarray(cv2.resize(part, (side_px, side_px), interpolation=cv2.INTER_AREA), np.uint8)
        part = np.rot90(part, int(rng.integers(4)))
        return np.ascontiguousarray(part[:, ::-1] if rng.random() < 0.5 else part)


def _halved_if_large(picture: Rgb) -> Rgb:
    if max(picture.shape[:2]) <= _LARGE_PX:
        return picture
    return np.asarray(cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)


def compress(picture: Rgb, quality: int, sampling: str = "420") -> Rgb:
    """A picture after JPEG, uint8 (H, W, 3), RGB; `sampling` is "420", "422" or "444"."""
    settings = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, _SAMPLING[sampling]]
    _, data = cv2.imencode(".jpg", picture[..., ::-1], settings)
    return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])


@dataclass(frozen=True)
class JpegCrop:
    """A crop before and after JPEG, with what the network is told.

    Attributes:
        seen: uint8 (S, S, 3), RGB, decoded.
        truth: uint8 (S, S, 3), RGB.
        quality: of the last compression, or BLIND.
        grid: row and column of the first pixel within its block, or -1, -1.
    """

    seen: Rgb
    truth: Rgb
    quality: float
    grid: tuple[int, int]


def make_jpeg_crop(photographs: Photographs, side_px: int, rng: np.random.Generator) -> JpegCrop:
    """A random crop: once or twice compressed (on a shifted grid, or resized between), quality and grid mostly told.

    Of two compressions the coarser one makes most of the artefacts, so that is told where it was the first one, mostly.
    """
    truth = photographs.patch(side_px + 2 * _CONTEXT_PX, rng)
    if rng.random() < _GRAIN_SHARE:
        truth = _with_grain(truth, rng)
    seen, chance = truth, rng.random()
    quality, shift = draw_quality(rng), (0, 0)
    told = quality
    if chance < _TWICE_SHARE:
        first, first_shift = draw_quality(rng), (int(rng.integers(_BLOCK_PX)), int(rng.integers(_BLOCK_PX)))
        seen = _compressed_elsewhere(seen, first, first_shift, rng)
        if first < quality and rng.random() < _COARSER_TOLD_SHARE:
            told, shift = first, first_shift
    elif chance < _TWICE_SHARE + _RESIZED_SHARE:
        truth, seen = _compressed_larger(photographs, truth.shape[0], rng)
    seen = compress(seen, quality, _draw_sampling(rng))
    return _cut(seen, truth, told, shift, rng)


def _with_grain(picture: Rgb, rng: np.random.Generator) -> Rgb:
    """A picture with film's grain: noise a little softer than pixels, mostly of luma."""
    luma, chroma = (rng.normal(size=(*picture.shape[:2], planes)).astype(np.float32) for planes in (1, 3))
    grain = cv2.GaussianBlur(luma + float(rng.uniform(0, 0.6)) * chroma, None, float(rng.uniform(0.3, 0.8)))
    level = float(np.exp(rng.uniform(np.log(_LEAST_GRAIN), np.log(_MOST_GRAIN))))
    return np.clip(np.rint(picture + grain * (level / grain.std())), 0, 255).astype(np.uint8)


def _cut(seen: Rgb, truth: Rgb, quality: int, shift: tuple[int, int], rng: np.random.Generator) -> JpegCrop:
    """A crop somewhere inside, with what is told of it."""
    side_px = truth.shape[0] - 2 * _CONTEXT_PX
    top, left = (int(place) for place in rng.integers(0, 2 * _CONTEXT_PX + 1, size=2))
    told = quality + float(rng.uniform(-2, 2)) if rng.random() > _BLIND_SHARE else BLIND
    grid = ((top + shift[0]) % _BLOCK_PX, (left + shift[1]) % _BLOCK_PX)
    is_lost = told == BLIND or rng.random() < _LOST_SHARE
    cut = (slice(top, top + side_px), slice(left, left + side_px))
    return JpegCrop(seen[cut].copy(), truth[cut].copy(), told, (-1, -1) if is_lost else grid)


def draw_quality(rng: np.random.Generator) -> int:
    """A quality of 5..95, low ones more often: there is more to take away."""
    return round(_LOWEST + (_HIGHEST - _LOWEST) * float(rng.random()) ** 1.5)


def _draw_sampling(rng: np.random.Generator) -> str:
    return str(rng.choice(["420", "422", "444"], p=[0.62, 0.06, 0.32]))


def _compressed_elsewhere(picture: Rgb, quality: int, shift: tuple[int, int], rng: np.random.Generator) -> Rgb:
    """Compressed on a grid that is shifted by some rows and columns."""
    down, right = shift
    padded = np.pad(picture, ((down, 0), (right, 0), (0, 0)), mode="symmetric")
    return compress(padded, quality, _draw_sampling(rng))[down:, right:]


def _compressed_larger(photographs: Photographs, side_px: int, rng: np.random.Generator) -> tuple[Rgb, Rgb]:
    """A patch, and the same compressed at a larger size; both scaled down to `side_px`."""
    large = photographs.patch(round(side_px * float(rng.uniform(1.1, 1.7))), rng)
    seen = compress(large, draw_quality(rng), _draw_sampling(rng))
    small = [cv2.resize(each, (side_px, side_px), interpolation=cv2.INTER_AREA) for each in (large, seen)]
    return np.asarray(small[0], np.uint8), np.asarray(small[1], np.uint8)
