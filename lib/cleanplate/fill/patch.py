"""Exemplar fill: the hole is put together from patches of the photograph itself, from coarse to fine."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.config import Config
from cleanplate.fill.base import EngineSpec, FillRequest, Remark
from cleanplate.fill.patchmatch import CHANNELS, Level, Matches, best_sources, search, vote
from cleanplate.fill.pde import diffuse
from cleanplate.models.registry import Registry

FALLBACK_NOTE = "exemplar pool insufficient, fallback to pde"

_SMALL_CROP_PX = 64  # a crop with a shorter side gets smaller patches
_SMALL_PATCH_PX = 5
_COARSEST_RADIUS_PX = 8.0  # of the hole's widest part: a few patches across
_FEWEST_COARSE_SOURCES = 100
_START_ROUNDS = 6
_FAR_PX, _NEAR_PX = 256, 32  # random search on the coarsest scale, and on the finer ones, which start near the goal
_SHARPNESS = 2.0
_TEXTURE_PX = 9  # window over which texture is averaged
_TEXTURE_GAIN = 32.0  # weight of texture beside colour: without it, smooth or defocused patches win every comparison
_SEAM_STEP = 40.0  # grey levels: a larger step between neighbouring patches is an edge and stays
_COLOUR_HOLD = 0.003  # how much the copied colours count beside their differences when seams are levelled
_MOST_ITERATIONS = 120


class PatchEngine:
    """Copies what is there: PatchMatch with coherent voting over a pyramid (Wexler et al., PAMI 2007).

    Attributes:
        notes: of the last call of `fill`, one string per request: why it was not filled from patches; "" where it was.
    """

    spec = EngineSpec("patch", "Apache-2.0", cost_units_per_mpx=300.0, exemplars=True)

    def __init__(
        self,
        *,
        patch_px: int = 7,
        fewest_sources: int = 200,
        sources_per_target: float = 2.0,
        most_rounds: int = 10,
        most_comparisons: int = 8_000_000,
    ) -> None:
        """Keeps the settings.

        Args:
            patch_px: height and width of a patch, odd, 5 or 7: larger sums of squares would not be exact in float32.
            fewest_sources: with fewer patches to copy from, the hole is filled by diffusion.
            sources_per_target: the same, relative to the number of patches that touch the hole.
            most_rounds: of search and vote, on each scale.
            most_comparisons: of patches on each scale; a large hole gets fewer rounds, but at least one.

        Raises:
            ValueError: the patch is of another size.
        """
        if patch_px not in (_SMALL_PATCH_PX, 7):
            raise ValueError(f"a patch of {patch_px} px cannot be compared: make it 5 or 7")
        self._patch_px = patch_px
        self._fewest_sources = fewest_sources
        self._sources_per_target = sources_per_target
        self._most_rounds = most_rounds
        self._most_comparisons = most_comparisons
        self.remarks: list[Remark] = []

    @classmethod
    def build(cls, config: Config, registry: Registry, device: str) -> PatchEngine:
        """Needs no weights."""
        return cls()

    def fill(self, requests: Sequence[FillRequest]) -> list[NDArray[np.uint8]]:
        """See `Engine.fill`; what was filled by diffusion is said in `remarks`."""
        outcomes = [self._fill_one(request) for request in requests]
        self.remarks = [Remark(note) for _, note in outcomes]
        return [filled for filled, _ in outcomes]

    def _fill_one(self, request: FillRequest) -> tuple[NDArray[np.uint8], str]:
        target = request.hole > 0
        if not target.any():
            return request.crop.copy(), ""
        patch_px = self._patch_px if min(target.shape) >= _SMALL_CROP_PX else _SMALL_PATCH_PX
        crop = np.where(target[:, :, None], np.uint8(0), request.crop)
        if not self._pool_suffices(target, patch_px):
            return diffuse(crop, request.hole, "telea"), FALLBACK_NOTE
        scales = pyramid(crop, target, patch_px, _COARSEST_RADIUS_PX / 2**request.variant)
        return self._compose(scales, patch_px, np.random.default_rng(request.seed % 2**64)), ""

    def _pool_suffices(self, target: NDArray[np.bool_], patch_px: int) -> bool:
        if min(target.shape) < patch_px:
            return False
        level = Level.build(np.zeros((*target.shape, CHANNELS), np.uint8), target, patch_px)
        needed = max(self._fewest_sources, self._sources_per_target * len(level.at))
        return int(level.is_source.sum()) >= needed

    def _compose(
        self, scales: list[tuple[NDArray[np.uint8], NDArray[np.bool_]]], patch_px: int, rng: np.random.Generator
    ) -> NDArray[np.uint8]:
        """Fills the scales from the coarsest to the finest, uint8 (H, W, 3)."""
        level = Level.build(*scales[-1], patch_px)
        guess(level)
        matches = _start(level, rng)
        self._refine(level, matches, _FAR_PX, rng)
        for pixels, target in reversed(scales[:-1]):
            finer = Level.build(pixels, target, patch_px)
            to = enlarge(level, matches, finer, rng)
            vote(finer, Matches(to, np.zeros(len(to), np.float32)), 0.0)
            level, matches = finer, Matches.of(finer, to)
            self._refine(level, matches, _NEAR_PX, rng)
        search(level, matches, 2, rng)
        return level_seams(level, best_sources(level, matches))

    def _refine(self, level: Level, matches: Matches, radius_px: int, rng: np.random.Generator) -> None:
        """Searches and votes in turn; leaves the costs up to date."""
        comparisons = len(level.at) * (8 + radius_px.bit_length())
        for _ in range(max(1, min(self._most_rounds, self._most_comparisons // comparisons))):
            search(level, matches, radius_px, rng)
            vote(level, matches, _SHARPNESS)
            matches.measure(level)


def pyramid(
    crop: NDArray[np.uint8], target: NDArray[np.bool_], patch_px: int, coarsest_radius_px: float = _COARSEST_RADIUS_PX
) -> list[tuple[NDArray[np.uint8], NDArray[np.bool_]]]:
    """Halves the picture until the hole is a few patches wide.

    Args:
        crop: uint8 (H, W, 3), RGB.
        target: bool (H, W): the hole.
        patch_px: height and width of a patch.
        coarsest_radius_px: of the hole's widest part on the coarsest scale.

    Returns:
        From fine to coarse: uint8 (h, w, CHANNELS), colour and texture; bool (h, w), the hole.
    """
    scales = [(np.dstack([crop, texture(crop, target)]), target)]
    while _radius_px(target) > coarsest_radius_px and min(target.shape) >= 6 * patch_px:
        pixels, target = _halved(*scales[-1])
        if not target.any() or Level.build(pixels, target, patch_px).is_source.sum() < _FEWEST_COARSE_SOURCES:
            break
        scales.append((pixels, target))
    return scales


def texture(crop: NDArray[np.uint8], target: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Mean absolute difference of neighbouring known pixels (after Newson et al., SIAM J. Imaging Sci. 2014).

    Args:
        crop: uint8 (H, W, 3), RGB.
        target: bool (H, W): the hole, which has no say.

    Returns:
        uint8 (H, W), scaled to weigh in beside colour.
    """
    grey, known = crop.astype(np.float32).mean(axis=2), (~target).astype(np.float32)
    sums, counts = np.zeros_like(grey), np.zeros_like(grey)
    for first, second in (np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:]):
        both = known[first] * known[second]
        sums[first] += np.abs(grey[second] - grey[first]) * both
        counts[first] += both
    window = (_TEXTURE_PX, _TEXTURE_PX)
    total, count = (cv2.boxFilter(values, -1, window, normalize=False) for values in (sums, counts))
    return np.clip(np.rint(_TEXTURE_GAIN * total / np.maximum(count, 1)), 0, 255).astype(np.uint8)


def guess(level: Level) -> None:
    """A first guess by diffusion, on a scale where it has little room to blur; changes the pixels inside the hole."""
    colour, structure = level.pixels[:, :, :3], level.pixels[:, :, 3:].repeat(3, axis=2)
    hole = level.target.astype(np.uint8)
    found = [diffuse(np.ascontiguousarray(part), hole, "telea") for part in (colour, structure)]
    level.pixels[level.target] = np.dstack([found[0], found[1][:, :, :1]])[level.target]


def _start(level: Level, rng: np.random.Generator) -> Matches:
    """Matches of the coarsest scale: drawn, then searched for."""
    sources = np.flatnonzero(level.is_source)
    matches = Matches.of(level, sources[rng.integers(0, len(sources), len(level.at))])
    for _ in range(_START_ROUNDS):
        search(level, matches, _FAR_PX, rng)
    return matches


def enlarge(coarse: Level, matches: Matches, fine: Level, rng: np.random.Generator) -> NDArray[np.int64]:
    """Carries the matches of a scale to the next finer one.

    Args:
        coarse: a scale.
        matches: its matches.
        fine: the scale of twice the size.
        rng: draws a source where none can be carried over.

    Returns:
        int64 (N,): a source's place for each place of `fine.at`.
    """
    coarse_width, width = coarse.target.shape[1], fine.target.shape[1]
    rows, columns = fine.at // width, fine.at % width
    home = _nearest_of(coarse.target.shape, coarse.at)[coarse.nearest_place(rows // 2, columns // 2)]
    to = matches.to[coarse.slot[home]]
    rows = rows + 2 * (to // coarse_width - home // coarse_width)
    candidate = fine.nearest_place(rows, columns + 2 * (to % coarse_width - home % coarse_width))
    sources = np.flatnonzero(fine.is_source)
    drawn = sources[rng.integers(0, len(sources), len(fine.at))]
    good = fine.is_source[candidate]
    if not good.any():
        return drawn
    # Where the match does not fit the finer hole, the nearest one that does is continued.
    near = _nearest_of(fine.target.shape, fine.at[good])[fine.at]
    moved = np.clip(candidate[fine.slot[near]] + fine.at - near, 0, fine.target.size - 1)
    return np.where(fine.is_source[moved], moved, drawn)


def level_seams(level: Level, sources: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Copies pixels and levels the brightness of patches that meet (gradient domain: Perez et al., SIGGRAPH 2003).

    Steps between neighbours become what they were at their sources, unless the difference is so large that an edge was
    meant; the copied colours hold what this leaves open.

    Args:
        level: the finest scale.
        sources: int64 (H * W,), see `best_sources`.

    Returns:
        uint8 (H, W, 3), RGB; outside the hole it is the level's.
    """
    colours = level.pixels[:, :, :3].astype(np.float32)
    rows, columns = np.nonzero(level.target)
    # One pixel more than the hole on each side: the known pixels that it must meet.
    window = np.s_[max(0, rows.min() - 1) : rows.max() + 2, max(0, columns.min() - 1) : columns.max() + 2]
    inside = level.target[window][:, :, None].astype(np.float32)
    copied = sources.reshape(level.target.shape)[window]
    excess = [_excess(level.target, colours, copied, axis) for axis in (0, 1)]
    colours[window] = colours.reshape(-1, 3)[copied] + _correction(excess, inside)
    return np.clip(np.rint(colours), 0, 255).astype(np.uint8)


def _excess(
    target: NDArray[np.bool_], colours: NDArray[np.float32], copied: NDArray[np.int64], axis: int
) -> NDArray[np.float32]:
    """What the steps along an axis lack of those at their sources: (h, w, 3) less one along the axis."""
    stride = target.shape[1] if axis == 0 else 1
    before, after = _neighbours(axis)
    paired = np.zeros(target.shape, bool)  # a pixel and its successor are known
    paired[before] = ~target[before] & ~target[after]
    flat = colours.reshape(-1, 3)
    first, second = copied[before], copied[after]
    has_first = paired.take(first)[:, :, None]
    has_second = paired.take(second - stride, mode="wrap")[:, :, None]
    by_first = flat.take(first + stride, axis=0, mode="clip") - flat[first]
    by_second = flat[second] - flat.take(second - stride, axis=0, mode="wrap")
    step = flat[second] - flat[first]
    lacking = (by_first - step) * has_first + (by_second - step) * has_second
    lacking /= np.maximum(has_first.astype(np.float32) + has_second, 1)
    return lacking * (np.abs(lacking).max(axis=2, keepdims=True) <= _SEAM_STEP)


def _correction(excess: Sequence[NDArray[np.float32]], inside: NDArray[np.float32]) -> NDArray[np.float32]:
    """The colours, (h, w, 3), zero outside the hole, whose steps are nearest to `excess`: conjugate gradients."""
    residual = _divergence(excess, inside)
    found, direction = np.zeros_like(residual), residual
    energy = (residual**2).sum(axis=(0, 1))
    goal = 1e-6 * energy
    for _ in range(_MOST_ITERATIONS):
        if np.all(energy <= goal):
            break
        steps = [direction[after] - direction[before] for before, after in map(_neighbours, (0, 1))]
        image = _divergence(steps, inside) + _COLOUR_HOLD * direction
        length = energy / np.maximum((direction * image).sum(axis=(0, 1)), 1e-20)
        found = found + length * direction
        residual = residual - length * image
        before_energy, energy = energy, (residual**2).sum(axis=(0, 1))
        direction = residual + energy / np.maximum(before_energy, 1e-20) * direction
    return found


def _divergence(steps: Sequence[NDArray[np.float32]], inside: NDArray[np.float32]) -> NDArray[np.float32]:
    """The transpose of taking steps along both axes, (h, w, 3), inside the hole."""
    total = np.zeros((*inside.shape[:2], 3), np.float32)
    for axis, step in enumerate(steps):
        before, after = _neighbours(axis)
        total[after] += step
        total[before] -= step
    return total * inside


def _neighbours(axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Slices of all pixels that have a successor along an axis, and of the successors."""
    before, after = slice(None, -1), slice(1, None)
    return ((before,), (after,)) if axis == 0 else ((slice(None), before), (slice(None), after))


def _nearest_of(shape: tuple[int, ...], places: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64 (H * W,): which of some places, at least one, is nearest to each pixel of a picture."""
    far = np.ones(shape, np.uint8)
    far.ravel()[places] = 0
    labels = cv2.distanceTransformWithLabels(far, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)[1].ravel()
    named = np.zeros(int(labels.max()) + 1, np.int64)
    named[labels[places]] = places
    return named[labels]


def _radius_px(target: NDArray[np.bool_]) -> float:
    """Of the widest part of a hole, which goes on beyond the picture's border."""
    padded = cv2.copyMakeBorder(target.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    return float(cv2.distanceTransform(padded, cv2.DIST_L2, 5).max())


def _halved(pixels: NDArray[np.uint8], target: NDArray[np.bool_]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Half the size, rounded up: means of what is known; a pixel of which less than half is known joins the hole."""
    height, width = target.shape
    known = (~target).astype(np.float32)[:, :, None]
    parts = np.concatenate([pixels * known, known, np.ones_like(known)], axis=2)
    parts = np.pad(parts, ((0, height % 2), (0, width % 2), (0, 0)))
    sums = parts.reshape(parts.shape[0] // 2, 2, parts.shape[1] // 2, 2, CHANNELS + 2).sum(axis=(1, 3))
    count, area = sums[:, :, CHANNELS], sums[:, :, CHANNELS + 1]
    means = np.rint(sums[:, :, :CHANNELS] / np.maximum(count, 1)[:, :, None]).astype(np.uint8)
    return means, count < 0.5 * area
