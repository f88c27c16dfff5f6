"""Puts edited pixels into a JPEG's DCT coefficients, block by block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# JFIF 1.02: full-range BT.601.
_TO_YCC = np.array(
    [[0.299, 0.587, 0.114], [-0.168735892, -0.331264108, 0.5], [0.5, -0.418687589, -0.081312411]], dtype=np.float64
)
_LEVEL_SHIFT = 128.0
_MAX_AC, _MIN_DC, _MAX_DC = 1023, -1024, 1023  # T.81, 8-bit samples


def _dct_matrix() -> NDArray[np.float64]:
    k, n = np.arange(8)[:, None], np.arange(8)[None, :]
    matrix = np.cos((2 * n + 1) * k * np.pi / 16) * 0.5
    matrix[0] /= np.sqrt(2)
    return matrix


_DCT = _dct_matrix()


@dataclass(frozen=True)
class Plane:
    """One component's coefficients.

    Attributes:
        coefficients: int16 (block rows, block columns, 8, 8), quantised, natural order.
        table: uint16 (8, 8), its quantisation table.
        horizontal: sampling factor; 1 where it is the only component.
        vertical: sampling factor; 1 where it is the only component.
    """

    coefficients: NDArray[np.int16]
    table: NDArray[np.uint16]
    horizontal: int
    vertical: int


@dataclass(frozen=True)
class _Units:
    """The MCUs with a changed pixel: their rows and columns, component values and changed flags."""

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    values: NDArray[np.float64]
    changed: NDArray[np.float64]


def edit_planes(
    planes: Sequence[Plane], rgb: NDArray[np.uint8], changed: NDArray[np.bool_], is_ycc: bool
) -> list[NDArray[np.int16]]:
    """New coefficients for the blocks that hold a changed pixel; all others stay as they are.

    In a block that is edited, the pixels that did not change enter the transform with the values that the source's
    own coefficients give (unrounded, unclipped), so that an edit of one corner costs the rest of the block no more
    than the quantisation of the difference.

    Args:
        planes: 1 (grey) or 3 components.
        rgb: uint8 (H, W, 3), the edited picture, not rotated.
        changed: bool (H, W), the pixels that take the value of `rgb`.
        is_ycc: whether three components are YCbCr (else RGB).

    Returns:
        int16 coefficients of every plane, same shapes; new arrays.
    """
    factors = max(p.horizontal for p in planes), max(p.vertical for p in planes)
    units = _gather(rgb, changed, factors, len(planes) == 1, is_ycc)
    return [_edit_plane(plane, units, index, factors) for index, plane in enumerate(planes)]


def differing_outside(before: Sequence[Plane], after: Sequence[Plane], touched: NDArray[np.bool_]) -> int:
    """Counts the coefficients that differ where no pixel was touched.

    Args:
        before: components of the one picture.
        after: of the other.
        touched: bool (H, W), not rotated; an MCU with one such pixel does not count.

    Returns:
        How many differ; all of a component whose shape, sampling or quantisation table is another.
    """
    if len(before) != len(after):
        return sum(plane.coefficients.size for plane in before)
    factors = max(p.horizontal for p in before), max(p.vertical for p in before)
    free = np.asarray(~_tile(touched, 8 * factors[1], 8 * factors[0]).any(axis=(1, 3)), np.bool_)
    return sum(_differing(one, other, free) for one, other in zip(before, after, strict=True))


def _differing(before: Plane, after: Plane, free: NDArray[np.bool_]) -> int:
    shape = before.coefficients.shape
    factors = [(plane.horizontal, plane.vertical) for plane in (before, after)]
    if shape != after.coefficients.shape or factors[0] != factors[1] or not np.array_equal(before.table, after.table):
        return before.coefficients.size
    blocks = free.repeat(before.vertical, 0).repeat(before.horizontal, 1)[: shape[0], : shape[1]]
    return int(np.count_nonzero(before.coefficients[blocks] != after.coefficients[blocks]))


def _gather(
    rgb: NDArray[np.uint8], changed: NDArray[np.bool_], factors: tuple[int, int], is_grey: bool, is_ycc: bool
) -> _Units:
    width, height = 8 * factors[0], 8 * factors[1]
    flags = _tile(changed, height, width)
    rows, columns = np.nonzero(flags.any(axis=(1, 3)))
    colours = _tile(rgb, height, width)[rows, :, columns].astype(np.float64)
    values = colours @ _TO_YCC[:1].T if is_grey else colours @ _TO_YCC.T if is_ycc else colours
    if is_ycc and not is_grey:
        values[..., 0] -= _LEVEL_SHIFT
    else:
        values -= _LEVEL_SHIFT
    return _Units(rows, columns, values, flags[rows, :, columns].astype(np.float64))


def _tile(array: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """(H, W, ...) padded by its edge to whole MCUs, as (MCU rows, height, MCU columns, width, ...)."""
    pad = [(0, -array.shape[0] % height), (0, -array.shape[1] % width), *[(0, 0)] * (array.ndim - 2)]
    padded = np.pad(array, pad, mode="edge") if any(after for _, after in pad) else array
    rows, columns = padded.shape[0] // height, padded.shape[1] // width
    return padded.reshape(rows, height, columns, width, *array.shape[2:])


def _edit_plane(plane: Plane, units: _Units, index: int, factors: tuple[int, int]) -> NDArray[np.int16]:
    step_x, step_y = factors[0] // plane.horizontal, factors[1] // plane.vertical
    weights = _sum_boxes(units.changed, step_y, step_x)
    sums = _sum_boxes(units.changed * units.values[..., index], step_y, step_x)
    means = np.divide(sums, weights, out=np.zeros_like(sums), where=weights > 0)
    share = _split_blocks(weights / (step_x * step_y))
    wanted = _split_blocks(means)
    block_rows = (units.rows[:, None] * plane.vertical + np.arange(plane.vertical))[:, :, None]
    block_columns = (units.columns[:, None] * plane.horizontal + np.arange(plane.horizontal))[:, None, :]
    block_rows, block_columns = np.broadcast_arrays(block_rows, block_columns)
    high, wide = plane.coefficients.shape[:2]
    # MCUs at the right and lower edge reach past the component's last real block.
    hit = share.any(axis=(3, 4)) & (block_rows < high) & (block_columns < wide)
    where = block_rows[hit], block_columns[hit]
    table = plane.table.astype(np.float64)
    old = _DCT.T @ (plane.coefficients[where] * table) @ _DCT
    target = old + share[hit] * (wanted[hit] - old)
    edited = plane.coefficients.copy()
    edited[where] = _quantise(_DCT @ target @ _DCT.T, table)
    return edited


def _quantise(transformed: NDArray[np.float64], table: NDArray[np.float64]) -> NDArray[np.int16]:
    levels = np.rint(transformed / table)
    dc = np.clip(levels[:, 0, 0], _MIN_DC, _MAX_DC)
    levels = np.clip(levels, -_MAX_AC, _MAX_AC)
    levels[:, 0, 0] = dc
    return levels.astype(np.int16)


def _sum_boxes(values: NDArray[np.float64], step_y: int, step_x: int) -> NDArray[np.float64]:
    count, height, width = values.shape
    boxes = values.reshape(count, height // step_y, step_y, width // step_x, step_x)
    return np.asarray(boxes.sum(axis=(2, 4)))


def _split_blocks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 8 v, 8 h) as (N, v, h, 8, 8)."""
    count, height, width = values.shape
    return values.reshape(count, height // 8, 8, width // 8, 8).swapaxes(2, 3)
