"""Watermarks' lines from corner to corner, too thin and faint for a window of the picture to show what they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.config import Config
from cleanplate.models.registry import Registry
from cleanplate.records import Box, Detection, Job

SOURCE = "cross"
_WIDTHS_PX = (1, 3, 5, 9)  # of lines that are looked for
_AWAY_SHARE, _MOST_AWAY_PX = 0.01, 12  # of the diagonal: how far beside its corner a line may end
_FEWEST_SIDE_PX = 3  # width of the bands to both sides of a line that it is held against
_ALONG_PX, _STEPS = 16, 4  # parts of a line in which it is taken to run along the diagonal, and looks in each of them
_AS_WELL = 0.9  # of a thinner line's votes: a wider one that has as many is the line, the other its middle
_FAINT = 4.0  # grey levels by which a line stands out where it is half believed
_GREYS = (255.0, 128.0, 0.0)  # inks that are tried
_GREY_SLOPE = 32.0  # grey levels round an ink's own in which the ground says little
_CERTAIN = 0.5  # share of the votes that clean photographs never come near: 0.01 of 250, 0.1 a logo
_SMALLEST_PX = 64  # side of a picture under which a diagonal shows nothing


@dataclass(frozen=True)
class CrossLine:
    """A line across the picture: its ends, float64 (2,), x and y; its width; how much of it is believed, 0..1."""

    start: NDArray[np.float64]
    stop: NDArray[np.float64]
    width_px: int
    believed: float


class CrossDetector:
    """Finds the two lines that cross a picture from corner to corner, as picture agencies draw them.

    Along all of a diagonal even a faint line of one ink is certain, though no part of it is: each part says whether it
    stands out from both its sides as that ink would, and the parts' votes are counted, as in a Hough transform (Duda
    and Hart, 1972) over ends near the corners. Both diagonals have to show a line of the same ink.
    """

    name = "crosses"

    def __init__(self, config: Config) -> None:
        """Keeps the settings."""
        self._least = config.detect.cross_score

    @classmethod
    def build(cls, config: Config, registry: Registry, device: str) -> CrossDetector:
        """Needs no weights."""
        return cls(config)

    def detect(self, jobs: Sequence[Job]) -> list[list[Detection]]:
        """Two detections of kind watermark for each picture with a cross, none for the others."""
        found = [find_cross(job.image.rgb) for job in jobs]
        return [
            [_detection(line, job.image.rgb.shape[:2]) for line in lines]
            if min((line.believed for line in lines), default=0.0) >= self._least
            else []
            for job, lines in zip(jobs, found, strict=True)
        ]


def find_cross(picture: NDArray[np.uint8]) -> tuple[CrossLine, ...]:
    """The likeliest line along each diagonal, of one ink for both; none in a tiny picture.

    Args:
        picture: uint8 (H, W, 3), RGB.
    """
    height, width = picture.shape[:2]
    if min(height, width) < _SMALLEST_PX:
        return ()
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    corners = np.array([[0, 0], [width - 1, height - 1], [0, height - 1], [width - 1, 0]], np.float64)
    diagonals = [_Diagonal.of(grey, corners[a], corners[b]) for a, b in ((0, 1), (2, 3))]
    pairs = [tuple(diagonal.likeliest(ink) for diagonal in diagonals) for ink in _GREYS]
    return max(pairs, key=lambda lines: min(line.believed for line in lines))


@dataclass(frozen=True)
class _Diagonal:
    """What all inks are looked for in: a picture's pixels along one diagonal and to its sides.

    Attributes:
        start: float64 (2,), x and y of the corner that it starts at.
        stop: likewise.
        across: float64 (2,), one pixel to its side.
        ends_px: int (E,), how far to the side of its corner a line may start or stop.
        bands: by width of a line, what it and its two sides would show, see `_bands`.
    """

    start: NDArray[np.float64]
    stop: NDArray[np.float64]
    across: NDArray[np.float64]
    ends_px: NDArray[np.int_]
    bands: dict[int, tuple[NDArray[np.float32], ...]]

    @classmethod
    def of(cls, grey: NDArray[np.float32], start: NDArray[np.float64], stop: NDArray[np.float64]) -> _Diagonal:
        """Samples a picture, float32 (H, W), between two of its corners."""
        length = float(np.linalg.norm(stop - start))
        along = (stop - start) / length
        across = np.array([-along[1], along[0]])
        away_px = int(min(_MOST_AWAY_PX, max(2, _AWAY_SHARE * length)))
        half_px = away_px + 3 * max(_WIDTHS_PX)
        strip = _strip(grey, start, along, across, int(length), half_px)
        seen = slice(half_px - away_px, half_px + away_px + 1)
        bands = {width_px: tuple(band[:, seen] for band in _bands(strip, width_px)) for width_px in _WIDTHS_PX}
        return cls(start, stop, across, np.arange(-away_px, away_px + 1), bands)

    def likeliest(self, ink: float) -> CrossLine:
        """The line of an ink between the two corners that most parts of it vote for."""
        best = CrossLine(self.start, self.stop, 1, -1.0)
        for width_px, bands in self.bands.items():
            votes = _votes(bands, ink)
            share = np.linspace(0, 1, len(votes))
            at = self.ends_px[:, None, None] * (1 - share) + self.ends_px[None, :, None] * share
            columns = np.round(at).astype(np.int32) - self.ends_px[0]
            total = votes[np.arange(len(votes)), columns].mean(axis=2)
            first, last = np.unravel_index(int(total.argmax()), total.shape)
            if (believed := float(total[first, last])) >= _AS_WELL * best.believed:
                ends = self.start + self.ends_px[first] * self.across, self.stop + self.ends_px[last] * self.across
                best = CrossLine(*ends, width_px, believed)
        return replace(best, believed=max(0.0, best.believed))


def _strip(
    grey: NDArray[np.float32],
    start: NDArray[np.float64],
    along: NDArray[np.float64],
    across: NDArray[np.float64],
    length_px: int,
    half_px: int,
) -> NDArray[np.float32]:
    """What lies along a line and up to `half_px` to its sides, float32 (length_px, 2 half_px + 1)."""
    steps, sides = np.arange(length_px)[:, None], np.arange(-half_px, half_px + 1)[None]
    x, y = ((start[axis] + steps * along[axis] + sides * across[axis]).astype(np.float32) for axis in (0, 1))
    return np.asarray(cv2.remap(grey, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)


def _bands(strip: NDArray[np.float32], width_px: int) -> tuple[NDArray[np.float32], ...]:
    """A strip's means over a line, and over the bands to its left and right, float32 (steps, columns) each.

    A step is a quarter of a part (_ALONG_PX) of the strip.
    """
    parts = len(strip) // _ALONG_PX
    strip = strip[: parts * _ALONG_PX].reshape(parts * _STEPS, _ALONG_PX // _STEPS, -1).mean(axis=1)
    side_px = max(_FEWEST_SIDE_PX, width_px)
    centre, side = cv2.blur(strip, (width_px, 1)), cv2.blur(strip, (side_px, 1))
    off_px = width_px // 2 + 2 + side_px // 2
    return np.asarray(centre, np.float32), np.roll(side, off_px, axis=1), np.roll(side, -off_px, axis=1)


def _votes(bands: tuple[NDArray[np.float32], ...], ink: float) -> NDArray[np.float32]:
    """How each part of each line along a strip votes, float32 (parts, columns), -1..1: for the ink, or against it."""
    centre, left, right = bands
    expected = np.tanh((ink - (left + right) / 2) / _GREY_SLOPE)
    # The side that says less speaks for both: the ground beside another line would pass for one otherwise.
    stands_out = np.sign(expected) * (centre - np.where(expected > 0, np.maximum(left, right), np.minimum(left, right)))
    votes = np.abs(expected) * stands_out / (np.abs(stands_out) + _FAINT)
    return np.asarray(votes.reshape(-1, _STEPS, votes.shape[1]).mean(axis=1), np.float32)


def _detection(line: CrossLine, shape: tuple[int, ...]) -> Detection:
    height, width = shape
    score = min(1.0, line.believed / _CERTAIN)
    drawn = np.zeros((height, width), np.uint8)
    ends = [(round(float(x) * 16), round(float(y) * 16)) for x, y in (line.start, line.stop)]
    cv2.line(drawn, ends[0], ends[1], 255, line.width_px, cv2.LINE_AA, 4)
    strokes = drawn.astype(np.float32) / np.float32(255)
    return Detection("watermark", score, Box(0, 0, width, height), strokes * score, SOURCE, strokes=strokes)
