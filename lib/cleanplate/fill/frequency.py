"""Frequency-selective fill: each block's surroundings are modelled by a few waves, and the waves continue into it.

Frequency selective extrapolation after Seiler and Kaup (IEEE Signal Processing Letters 2010) with the preference for
low frequencies of Genser, Seiler, Schilling and Kaup (2018). A block is looked at through a window whose weight falls
off with the distance from its centre; unknown pixels weigh nothing. What differs from the papers: an iteration takes
all strong waves at once instead of one, and neighbouring windows' models are blended. Both cost little quality and
make the work a few matrix products over a batch of blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from cleanplate.config import Config, FillConfig
from cleanplate.fill.base import EngineSpec, FillRequest
from cleanplate.fill.pde import PdeEngine
from cleanplate.models.registry import Registry

# Luma and two chromas that do not change lengths, so that errors weigh alike on both sides.
_OPPONENT = (np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])).astype(np.float32)
_PREFERENCE_POWER = 8  # how steeply high frequencies are held back
_PREFERENCE_FLOOR = 0.05
_COLUMNS = 16  # batches are padded to a multiple: rounding then does not depend on what runs beside a block
_TINY = 1e-12


@dataclass(frozen=True)
class Waves:
    """A dictionary of plane waves over a window, as separable cosines and sines.

    Attributes:
        analysis: float32 (2K, L): cosines, then sines, of K frequencies per axis.
        synthesis: float32 (L, 2K): the same, with the waves that have no mirror image halved.
        preference: float32 (K, K, 1): 1 for constant, less for higher frequencies.
    """

    analysis: torch.Tensor
    synthesis: torch.Tensor
    preference: torch.Tensor

    @classmethod
    def over(cls, window_px: int, period_px: int, count: int, device: str) -> Waves:
        """The `count` lowest frequencies per axis, multiples of 1 / period_px."""
        frequency = torch.arange(count, dtype=torch.float64) / period_px
        place = torch.arange(window_px, dtype=torch.float64) - (window_px - 1) / 2
        phase = 2 * torch.pi * frequency[:, None] * place[None]
        analysis = torch.cat([phase.cos(), phase.sin()])
        unmirrored = (frequency == 0) | (frequency == 0.5)
        synthesis = (analysis * torch.where(unmirrored, 0.5, 1.0).repeat(2)[:, None]).T.contiguous()
        radius = torch.hypot(frequency[:, None], frequency[None]) / 0.5**0.5
        preference = (1 - radius).clamp(min=_PREFERENCE_FLOOR)[:, :, None] ** _PREFERENCE_POWER
        return cls(*(part.to(device, torch.float32) for part in (analysis, synthesis, preference)))


def approximate(
    signal: torch.Tensor, weight: torch.Tensor, waves: Waves, iterations: int, step: float = 0.5
) -> torch.Tensor:
    """Models windows by waves, where weighted, and continues the model over the whole window.

    Each iteration adds the residual's spectrum, every wave multiplied by the square of its energy relative to the
    strongest (both lowered by the preference), along which the residual is made smaller by `step` of the best length.

    Args:
        signal: float32 (L, L, C, N): rows, columns, channels that share their choice of waves, windows.
        weight: float32 (L, L, 1, N), 0 = unknown.
        waves: over L pixels.
        iterations: how many.
        step: 0..1; below 1 because the waves are not orthogonal under the weight, so each takes others' share.

    Returns:
        float32 (L, L, C, N); a window without any weight stays 0.
    """
    weight = weight / weight.sum((0, 1)).clamp(min=_TINY)
    residual = signal - (weight * signal).sum((0, 1))
    weighted = weight * residual
    for _ in range(iterations):
        direction = _direction(weighted, waves)
        pull = weight * direction
        length = step * (direction * weighted).sum((0, 1)) / (pull * direction).sum((0, 1)).clamp(min=_TINY)
        residual = residual - length * direction
        weighted = weighted - length * pull
    return signal - residual


def _direction(weighted: torch.Tensor, waves: Waves) -> torch.Tensor:
    """The strong waves of weighted residuals (L, L, C, N), of the same shape."""
    side, _, channels, windows = weighted.shape
    count, columns = len(waves.preference), channels * windows
    rows = torch.matmul(waves.analysis, weighted.reshape(side, -1)).view(2 * count, side, columns)
    spectrum = torch.matmul(waves.analysis, rows).view(2, count, 2, count, channels, windows)
    chosen = _strong(spectrum, waves.preference).view(2 * count, -1)
    rows = torch.matmul(waves.synthesis, chosen).view(side, 2 * count, columns)
    return torch.matmul(waves.synthesis, rows).view(weighted.shape)


def _strong(spectrum: torch.Tensor, preference: torch.Tensor) -> torch.Tensor:
    """Weakens all but the strongest waves of a spectrum (2, K, 2, K, C, N): cosine and sine by rows and columns."""
    cc, cs, sc, ss = spectrum[0, :, 0], spectrum[0, :, 1], spectrum[1, :, 0], spectrum[1, :, 1]
    # Sums and differences of the products are the waves that fall and those that rise.
    fall_cos, fall_sin, rise_cos, rise_sin = cc - ss, sc + cs, cc + ss, sc - cs
    fall = (fall_cos * fall_cos + fall_sin * fall_sin).sum(2) * preference
    rise = (rise_cos * rise_cos + rise_sin * rise_sin).sum(2) * preference
    top = torch.maximum(fall.amax((0, 1)), rise.amax((0, 1))).clamp(min=_TINY)
    fall, rise = ((fall / top) ** 2)[:, :, None], ((rise / top) ** 2)[:, :, None]
    fall_cos, fall_sin, rise_cos, rise_sin = fall_cos * fall, fall_sin * fall, rise_cos * rise, rise_sin * rise
    chosen = torch.empty_like(spectrum)
    torch.add(fall_cos, rise_cos, out=chosen[0, :, 0])
    torch.sub(rise_cos, fall_cos, out=chosen[1, :, 1])
    torch.add(fall_sin, rise_sin, out=chosen[1, :, 0])
    torch.sub(fall_sin, rise_sin, out=chosen[0, :, 1])
    return chosen


class _Canvas:
    """All crops of a call side by side in flat arrays of P pixels, with their blocks.

    Attributes:
        colour: float32 (3, P): luma and chromas; 0 where nothing is known yet.
        weight: float32 (P,): 1 = known, less = reconstructed, 0 = unknown.
        hole: bool (P,).
        corner: int64 (B,): first pixel of each block's window; the blocks are those that hold hole pixels.
        stride: int64 (B,): distance between rows of that window.
        owner: int64 (B,): number of the crop.
    """

    def __init__(self, requests: Sequence[FillRequest], block_px: int, border_px: int) -> None:
        self._block_px, self._border_px = block_px, border_px
        self._windows: list[tuple[slice, tuple[int, int, int]]] = []
        sheets = [self._sheet(request) for request in requests]
        self.colour = torch.from_numpy(np.concatenate([colour.reshape(3, -1) for colour, _, _ in sheets], axis=1))
        self.weight = torch.from_numpy(np.concatenate([known.ravel() for _, known, _ in sheets]))
        self.hole = torch.from_numpy(np.concatenate([hole.ravel() for _, _, hole in sheets]))
        self._total = np.zeros((4, len(self.weight)), np.float32)
        blocks = [self._blocks(number, hole) for number, (_, _, hole) in enumerate(sheets)]
        self.corner, self.stride, self.owner = (torch.from_numpy(a) for a in np.concatenate(blocks, axis=1))

    def _sheet(self, request: FillRequest) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
        """Colours, weight and hole of a crop with a border of unknown pixels; sides are multiples of the block's."""
        hole = request.hole > 0
        sides = [self._border_px + -(-side // self._block_px) * self._block_px + self._border_px for side in hole.shape]
        inner = tuple(slice(self._border_px, self._border_px + side) for side in hole.shape)
        colour, known = np.zeros((3, *sides), np.float32), np.zeros(sides, np.float32)
        wide = np.zeros(sides, bool)
        wide[inner], known[inner] = hole, ~hole
        pixels = np.where(hole[:, :, None], 0, request.crop).astype(np.float32)
        colour[(slice(None), *inner)] = (pixels @ _OPPONENT.T).transpose(2, 0, 1)
        start = self._windows[-1][0].stop if self._windows else 0
        self._windows.append((slice(start, start + wide.size), (wide.shape[1], *hole.shape)))
        return colour, known, wide

    def _blocks(self, number: int, hole: NDArray[np.bool_]) -> NDArray[np.int64]:
        """int64 (3, B): corner, stride and owner of the blocks of one sheet."""
        border, size, stride = self._border_px, self._block_px, hole.shape[1]
        inner = hole[border:-border, border:-border]
        tiles = inner.reshape(inner.shape[0] // size, size, inner.shape[1] // size, size)
        rows, columns = np.nonzero(tiles.any(axis=(1, 3)))
        corner = self._windows[number][0].start + rows * size * stride + columns * size
        return np.stack([corner, np.full_like(corner, stride), np.full_like(corner, number)]).astype(np.int64)

    def places(self, blocks: torch.Tensor, first_px: int, stop_px: int) -> torch.Tensor:
        """int64 (S, S, N): flat places of rows and columns first_px..stop_px of the blocks' windows."""
        line = torch.arange(first_px, stop_px)
        return line[:, None, None] * self.stride[blocks] + line[:, None] + self.corner[blocks]

    def add(self, places: torch.Tensor, colour: torch.Tensor, share: torch.Tensor, reused: float) -> None:
        """Blends models in and lends them weight as sources.

        Args:
            places: int64 (S, S, N).
            colour: float32 (S, S, 3, N).
            share: float32 (S, S, 1), of each place of a model in the blend.
            reused: 0..1, weight of reconstructed pixels.
        """
        # NumPy adds one after the other, so a result does not depend on the device or on the number of threads.
        flat = places.numpy().ravel()
        for channel in range(3):
            np.add.at(self._total[channel], flat, (colour[:, :, channel] * share).numpy().ravel())
        np.add.at(self._total[3], flat, share.expand(places.shape).numpy().ravel())
        done = flat[self.hole.numpy()[flat]]
        self.colour[:, done] = torch.from_numpy(self._total[:3, done] / self._total[3, done]).float()
        self.weight[done] = reused

    def crop(self, number: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """One crop's picture, uint8 (H, W, 3), and what is still unknown in it, uint8 (H, W)."""
        window, (stride, height, width) = self._windows[number]
        inner = (..., slice(self._border_px, self._border_px + height), slice(self._border_px, self._border_px + width))
        colour = self.colour[:, window].numpy().reshape(3, -1, stride)[inner]
        weight = self.weight[window].numpy().reshape(-1, stride)[inner]
        rgb = colour.transpose(1, 2, 0) @ _OPPONENT
        return np.clip(np.rint(rgb), 0, 255).astype(np.uint8), (weight == 0).astype(np.uint8)


class FrequencyEngine:
    """Continues texture and edges into thin holes, such as strokes of text; what lies too deep is left to diffusion."""

    spec = EngineSpec("frequency", "Apache-2.0", cost_units_per_mpx=120.0, batchable=True)

    def __init__(
        self,
        device: str = "cpu",
        *,
        block_px: int = 3,
        overlap_px: int = 1,
        border_px: int = 12,
        period_px: int = 32,
        decay: float = 0.75,
        reused: float = 0.5,
        passes: int = 12,
        most_passes: int = 36,
        least_support: float = 0.02,
        luma: tuple[int, int] = (12, 8),
        chroma: tuple[int, int] = (10, 6),
        batch_blocks: int = 128,
    ) -> None:
        """Keeps the settings.

        Args:
            device: where the models are computed.
            block_px: side of a block.
            overlap_px: how far a block's model is blended into its neighbours.
            border_px: how far a block's window reaches beyond it, at least overlap_px.
            period_px: of the lowest frequency, at least the window's side.
            decay: 0..1: factor on the weight per pixel of distance from the block's centre.
            reused: 0..1: factor on the weight of pixels that were reconstructed before.
            passes: the blocks that see most go first, in so many lots.
            most_passes: lots for holes so thick that some blocks see nothing until their neighbours are filled.
            least_support: share of a window's weight that must be known.
            luma: frequencies per axis, iterations.
            chroma: the same; colour varies slowly, so fewer do.
            batch_blocks: blocks computed together, which bounds the memory (about 60 kB each).
        """
        self._device, self._block_px, self._overlap_px, self._border_px = device, block_px, overlap_px, border_px
        self._reused, self._passes, self._most_passes = reused, passes, most_passes
        self._least_support, self._batch_blocks = least_support, batch_blocks
        window_px = block_px + 2 * border_px
        self._models = [
            (channels, Waves.over(window_px, period_px, count, device), iterations)
            for channels, (count, iterations) in (((0,), luma), ((1, 2), chroma))
        ]
        place = torch.arange(window_px) - (window_px - 1) / 2
        self._falloff = decay ** torch.hypot(place[:, None], place[None])[:, :, None]
        blended_px = block_px + 2 * overlap_px
        tent = 1 - (torch.arange(blended_px) - (blended_px - 1) / 2).abs() / ((blended_px + 1) / 2)
        self._share = (tent[:, None] * tent[None])[:, :, None]
        self._deep = PdeEngine(FillConfig())

    @classmethod
    def build(cls, config: Config, registry: Registry, device: str) -> FrequencyEngine:
        """Needs no weights."""
        return cls(device)

    def fill(self, requests: Sequence[FillRequest]) -> list[NDArray[np.uint8]]:
        """See `Engine.fill`."""
        if not requests:
            return []
        canvas = _Canvas(requests, self._block_px, self._border_px)
        self._reconstruct(canvas)
        return [self._finish(canvas, number, request) for number, request in enumerate(requests)]

    def _reconstruct(self, canvas: _Canvas) -> None:
        waiting = torch.arange(len(canvas.corner))
        for number in range(self._most_passes):
            if len(waiting) == 0:
                return
            support = torch.cat([self._support(canvas, blocks) for blocks in waiting.split(self._batch_blocks)])
            first = self._first(support, canvas.owner[waiting], max(1, self._passes - number))
            if not first.any():
                return
            self._fill_blocks(canvas, waiting[first])
            waiting = waiting[~first]

    def _support(self, canvas: _Canvas, blocks: torch.Tensor) -> torch.Tensor:
        """float32 (N,), 0..1: how much of the blocks' windows is known, by weight."""
        weight = canvas.weight[canvas.places(_padded(blocks), 0, len(self._falloff))] * self._falloff
        return (weight.sum((0, 1)) / self._falloff.sum())[: len(blocks)]

    def _first(self, support: torch.Tensor, owner: torch.Tensor, lots: int) -> torch.Tensor:
        """Bool (N,): the best supported of each crop's blocks, one lot of so many, if their support is enough."""
        order = np.lexsort((-support.numpy(), owner.numpy()))
        sorted_owner = owner.numpy()[order]
        counts = np.bincount(sorted_owner)
        rank = np.arange(len(order)) - (np.cumsum(counts) - counts)[sorted_owner]
        first = np.zeros(len(order), bool)
        first[order] = rank < -(-counts // lots)[sorted_owner]
        return torch.from_numpy(first) & (support >= self._least_support)

    def _fill_blocks(self, canvas: _Canvas, blocks: torch.Tensor) -> None:
        models = [self._model(canvas, batch) for batch in blocks.split(self._batch_blocks)]
        start = self._border_px - self._overlap_px
        places = canvas.places(blocks, start, start + len(self._share))
        canvas.add(places, torch.cat(models, dim=3), self._share, self._reused)

    def _model(self, canvas: _Canvas, blocks: torch.Tensor) -> torch.Tensor:
        """float32 (S, S, 3, N): the models of some blocks over the block and its overlap."""
        places = canvas.places(_padded(blocks), 0, len(self._falloff))
        weight = (canvas.weight[places] * self._falloff)[:, :, None].to(self._device)
        middle = slice(self._border_px - self._overlap_px, self._border_px - self._overlap_px + len(self._share))
        parts = []
        for channels, waves, iterations in self._models:
            signal = torch.stack([canvas.colour[channel][places] for channel in channels], dim=2).to(self._device)
            parts.append(approximate(signal, weight, waves, iterations)[middle, middle].cpu())
        return torch.cat(parts, dim=2)[..., : len(blocks)]

    def _finish(self, canvas: _Canvas, number: int, request: FillRequest) -> NDArray[np.uint8]:
        """The filled crop, with what no window reached filled by diffusion."""
        filled, unknown = canvas.crop(number)
        if unknown.any():
            filled = self._deep.fill([FillRequest(filled, unknown.astype(np.float32), unknown, unknown)])[0]
        return np.where(request.hole[:, :, None] > 0, filled, request.crop)


def _padded(blocks: torch.Tensor) -> torch.Tensor:
    """Repeats the last block up to a multiple of _COLUMNS."""
    return torch.cat([blocks, blocks[-1:].expand(-len(blocks) % _COLUMNS)])
