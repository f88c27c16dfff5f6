"""PatchMatch with coherent voting on one scale of a picture."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

CHANNELS = 4  # three of colour and one of texture, so that four bytes are fetched as one word
_CHUNK = 8192  # patches compared at a time, so that their bytes stay in the cache
_JUMPS_PX = (1, 2)  # at most twice the radius of a patch, so that no jump crosses the margins of two rows
_FIRST = slice(None, None, 5)  # these pixels of a patch are compared first; most candidates are refused by them
_TRUST_FALL = 1.3  # per pixel of distance to what is known (Wexler et al.)


@dataclass(frozen=True)
class Level:
    """One scale of the picture and where its patches lie.

    A place is the flat index (row * width + column) of the centre of a patch that lies wholly inside the picture, so
    that the picture's border needs no padding.

    Attributes:
        pixels: uint8 (H, W, CHANNELS): what is known, and in the hole the present guess, which `vote` changes.
        target: bool (H, W): the hole.
        at: int64 (N,): places of the patches that touch the hole, ascending.
        slot: int32 (H * W,): the position in `at` of a place, -1 = none.
        trust: float32 (N,), 0..1: say of a patch in the vote; it falls with the distance to what is known.
        is_source: bool (H * W,): places of the patches without any pixel of the hole.
        offsets: int64 (patch_px ** 2,): from a place to the pixels of its patch.
    """

    pixels: NDArray[np.uint8]
    target: NDArray[np.bool_]
    at: NDArray[np.int64]
    slot: NDArray[np.int32]
    trust: NDArray[np.float32]
    is_source: NDArray[np.bool_]
    offsets: NDArray[np.int64]

    @classmethod
    def build(cls, pixels: NDArray[np.uint8], target: NDArray[np.bool_], patch_px: int) -> Level:
        """Copies the pixels, uint8 (H, W, CHANNELS), all but those of the hole, bool (H, W); `patch_px` is odd."""
        height, width = target.shape
        radius = patch_px // 2
        hole = target.astype(np.uint8)
        touched = cv2.dilate(hole, np.ones((patch_px, patch_px), np.uint8)) > 0
        inside = np.zeros((height, width), bool)
        inside[radius : height - radius, radius : width - radius] = True
        at = np.flatnonzero(touched & inside)
        slot = np.full(height * width, -1, np.int32)
        slot[at] = np.arange(len(at))
        depth = cv2.distanceTransform(hole, cv2.DIST_L2, 5).ravel()[at]
        trust = np.maximum(_TRUST_FALL**-depth, 1e-20)
        steps = np.arange(-radius, radius + 1)
        offsets = (steps[:, None] * width + steps).ravel()
        known = np.where(target[:, :, None], np.uint8(0), pixels)
        return cls(known, target, at, slot, trust, (inside & ~touched).ravel(), offsets)

    @property
    def patch_px(self) -> int:
        """Height and width of a patch."""
        return 2 * (int(self.offsets[-1]) % self.target.shape[1]) + 1

    def patches(self, places: NDArray[np.int64], which: slice = slice(None)) -> NDArray[np.uint8]:
        """uint8 (len(places), pixels chosen by `which` * CHANNELS): the bytes of patches."""
        words = self.pixels.view(np.uint32).ravel()
        return words.take(places[:, None] + self.offsets[which]).view(np.uint8)

    def distances(
        self, first: NDArray[np.int64], second: NDArray[np.int64], which: slice = slice(None)
    ) -> NDArray[np.float32]:
        """float32 (N,): sums of squared differences of the patches at two lists of places; whole numbers, exact."""
        found = np.zeros(len(first), np.float32)
        for start in range(0, len(first), _CHUNK):
            part = slice(start, start + _CHUNK)
            difference = cv2.absdiff(self.patches(first[part], which), self.patches(second[part], which))
            values = difference.astype(np.float32)
            found[part] = np.einsum("ij,ij->i", values, values)
        return found

    def nearest_place(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64, of the arguments' shape: the places nearest to some pixels, which may lie outside the picture."""
        height, width = self.target.shape
        radius = self.patch_px // 2
        inner_rows = np.clip(rows, radius, height - 1 - radius)
        return np.asarray(inner_rows * width + np.clip(columns, radius, width - 1 - radius))


@dataclass(frozen=True)
class Matches:
    """The nearest-neighbour field of a level, changed in place.

    Attributes:
        to: int64 (N,): the source's place for each place of `Level.at`.
        cost: float32 (N,): their distance.
    """

    to: NDArray[np.int64]
    cost: NDArray[np.float32]

    @classmethod
    def of(cls, level: Level, to: NDArray[np.int64]) -> Matches:
        """Measures the distances to given sources."""
        return cls(to, level.distances(level.at, to))

    def measure(self, level: Level) -> None:
        """Brings the costs up to date after a vote."""
        self.cost[:] = level.distances(level.at, self.to)


def search(level: Level, matches: Matches, radius_px: int, rng: np.random.Generator) -> None:
    """One round of PatchMatch (Barnes et al., SIGGRAPH 2009) for all patches at once.

    Propagation asks the neighbours at one and two pixels for their source, moved along; the random search draws around
    the best source so far, from windows that shrink by halves. A cost never rises.

    Args:
        level: the picture; only read.
        matches: with costs up to date; made better in place.
        radius_px: of the largest window.
        rng: source of chance.
    """
    width = level.target.shape[1]
    for jump in _JUMPS_PX:
        for step in (jump, -jump, jump * width, -jump * width):
            neighbour = level.slot.take(level.at - step, mode="wrap")
            _try(level, matches, np.where(neighbour >= 0, matches.to[neighbour] + step, -1))
    while radius_px >= 1:
        rows, columns = rng.integers(-radius_px, radius_px + 1, (2, len(level.at)))
        _try(level, matches, level.nearest_place(matches.to // width + rows, matches.to % width + columns))
        radius_px //= 2


def _try(level: Level, matches: Matches, candidates: NDArray[np.int64]) -> None:
    """Takes over those candidates, int64 (N,), that are sources and nearer; -1 stands for none."""
    sensible = level.is_source.take(candidates, mode="wrap") & (candidates >= 0) & (candidates != matches.to)
    chosen = np.flatnonzero(sensible)
    partial = level.distances(level.at[chosen], candidates[chosen], _FIRST)
    chosen = chosen[partial < matches.cost[chosen]]
    cost = level.distances(level.at[chosen], candidates[chosen])
    better = cost < matches.cost[chosen]
    matches.to[chosen[better]] = candidates[chosen[better]]
    matches.cost[chosen[better]] = cost[better]


def vote(level: Level, matches: Matches, sharpness: float) -> None:
    """Fills the hole with the weighted mean of the overlapping sources (Wexler, Shechtman and Irani, PAMI 2007).

    Args:
        level: its pixels change inside the hole.
        matches: of all patches that touch the hole.
        sharpness: how fast the say of a patch falls with its cost, in units of the mean cost around the pixel; 0 =
            all count alike.
    """
    colours = level.pixels.reshape(-1, CHANNELS).astype(np.float32)
    usual = _usual_cost(level, matches)
    total = np.zeros((len(colours), CHANNELS), np.float32)
    weights = np.zeros(len(colours), np.float32)
    for offset in level.offsets:
        pixel = level.at + offset
        weight = level.trust * np.exp(-sharpness * np.minimum(matches.cost / usual[pixel], 10))
        total[pixel] += weight[:, None] * colours[matches.to + offset]
        weights[pixel] += weight
    hole = level.target.ravel()
    level.pixels[level.target] = np.rint(total[hole] / weights[hole][:, None]).astype(np.uint8)


def best_sources(level: Level, matches: Matches) -> NDArray[np.int64]:
    """The pixel that each pixel of the hole should be copied from: that of its nearest, most trusted patch.

    A mean of several patches would be blurred (Newson et al., SIAM J. Imaging Sci. 2014).

    Args:
        level: the picture.
        matches: with costs up to date.

    Returns:
        int64 (H * W,): flat indices of pixels outside the hole; a pixel outside the hole stands for itself.
    """
    rank = (matches.cost + len(level.offsets)) / level.trust
    best = np.full(level.target.size, np.inf, np.float32)
    found = np.arange(level.target.size)
    for offset in level.offsets:
        pixel = level.at + offset
        better = level.target.ravel()[pixel] & (rank < best[pixel])
        best[pixel[better]] = rank[better]
        found[pixel[better]] = matches.to[better] + offset
    return found


def _usual_cost(level: Level, matches: Matches) -> NDArray[np.float32]:
    """float32 (H * W,), > 0: mean cost of the patches that cover a pixel, plus one grey level for perfect matches."""
    sums, counts = np.zeros((2, *level.target.shape), np.float32)
    sums.ravel()[level.at], counts.ravel()[level.at] = matches.cost, 1
    window = (level.patch_px, level.patch_px)
    covered = cv2.boxFilter(counts, -1, window, normalize=False, borderType=cv2.BORDER_CONSTANT)
    total = cv2.boxFilter(sums, -1, window, normalize=False, borderType=cv2.BORDER_CONSTANT)
    # A running sum may leave rounding below zero where nothing is.
    return np.maximum(total / np.maximum(covered, 1), 0).astype(np.float32).ravel() + np.float32(len(level.offsets))
