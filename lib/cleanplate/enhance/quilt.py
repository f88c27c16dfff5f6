"""Noise for a hole, sewn together from patches of the calm places round it.

What film, sensors, scalers and old compressions leave in a picture is neither normal nor independent, and no model of
its spectrum says all of it; a patch of it does.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.enhance import givers
from cleanplate.enhance.grain import MEAN_PX, calm, residual
from cleanplate.ring import noise_sigma, ring

_SIDE_PX, _HOP_PX = 16, 8  # of a patch, and from one to the next
_NEAR_PX = 40  # round the hole: where patches come from
_STEP_PX = 2  # between the places that a patch may come from
_CALM_SHARE = 0.75  # of its pixels that have to be calm
_FEWEST = 8  # places, in fewer the hole would show its pattern
_CHOICE = 80  # places that one is drawn from
_AS_FAR = 24.0 / 8  # grey levels that count as one pixel of distance
_RING_PX = 16  # in which the level is measured
_LEAST_SIGMA = 0.7  # grey levels; a level below it is known in steps of a quarter only
_MOST_GAIN, _FAITH = 1.4, 0.6  # either way; how much of it is believed, since the ring's level is an estimate too
_WINDOW = np.outer(*[np.sin(np.pi * (np.arange(_SIDE_PX) + 0.5) / _SIDE_PX)] * 2).astype(np.float32)[:, :, None]


def quilt(
    crop: NDArray[np.uint8], alpha: NDArray[np.float32], invalid: NDArray[np.uint8], rng: np.random.Generator
) -> NDArray[np.float32] | None:
    """Noise as strong, coarse and coloured as that of the calm places nearest in place and brightness.

    The patches overlap by half; the squares of their windows sum to one, so that the level stays (Princen and Bradley,
    IEEE Trans. ASSP 1986).

    Args:
        crop: uint8 (H, W, 3), RGB, filled.
        alpha: float32 (H, W), 0..1: where it was filled.
        invalid: uint8 (H, W), 1 on what may not be copied.
        rng: source of chance.

    Returns:
        float32 (H, W, 3), RGB, grey levels, 0 far from the hole; None where too few calm places are near.
    """
    where = ring(alpha, invalid, _NEAR_PX)
    rest, light = residual(crop, where, MEAN_PX)
    sources = _sources(rest, where, calm(crop, rest, light, where))
    if sources is None:
        return None
    takers = _takers(alpha)
    brightness = [_means(values.mean(axis=2)) for values in (light, crop.astype(np.float32))]
    known, asked = (
        np.column_stack([places, means[tuple(places.T)] / _AS_FAR])
        for places, means in zip((sources, np.maximum(takers, 0)), brightness, strict=True)
    )
    drawn = sources[givers.drawn(known, asked, _CHOICE, rng)]
    return _levelled(_sewn(rest, drawn, takers, rng), crop, alpha, invalid)


def _means(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean of the patch that starts at each pixel; beyond the border the picture is mirrored."""
    size = (_SIDE_PX, _SIDE_PX)
    means = cv2.boxFilter(values, cv2.CV_32F, size, anchor=(0, 0), borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(means, dtype=np.float32)


def _sources(
    rest: NDArray[np.float32], where: NDArray[np.uint8], calm_pixels: NDArray[np.bool_]
) -> NDArray[np.intp] | None:
    """First pixels, (N, 2), of the patches that lie whole on what counts, and are calm; None for too few."""
    high, wide = (max(0, size - _SIDE_PX + 1) for size in where.shape)
    whole = _means((where > 0).astype(np.float32)) > 1 - 0.5 / _SIDE_PX**2
    places = np.argwhere(whole[:high:_STEP_PX, :wide:_STEP_PX]) * _STEP_PX
    share = _means(calm_pixels.astype(np.float32))[tuple(places.T)]
    if len(places) < _FEWEST:
        return None
    # Where nothing is calm enough, the calmest quarter has to do.
    enough = min(_CALM_SHARE, float(np.sort(share)[-max(_FEWEST, len(share) // 4)]))
    places = places[share >= enough]
    energy = _means(np.square(rest).mean(axis=2))[tuple(places.T)]
    return np.asarray(places[energy <= givers.texture_from(energy)])


def _takers(alpha: NDArray[np.float32]) -> NDArray[np.intp]:
    """First pixels, (N, 2), of the patches that have a filled pixel; those that cross the border start beyond it."""
    padded = np.pad((alpha > 0).astype(np.float32), _SIDE_PX)
    high, wide = (size - _SIDE_PX for size in padded.shape)
    return np.argwhere(_means(padded)[:high:_HOP_PX, :wide:_HOP_PX] > 0) * _HOP_PX - _SIDE_PX


def _sewn(
    rest: NDArray[np.float32], drawn: NDArray[np.intp], takers: NDArray[np.intp], rng: np.random.Generator
) -> NDArray[np.float32]:
    """The patches that were drawn, mirrored at random, added up where they are taken to."""
    sewn = np.pad(np.zeros_like(rest), ((_SIDE_PX, _SIDE_PX), (_SIDE_PX, _SIDE_PX), (0, 0)))
    for (top, left), (y, x), turned in zip(drawn, takers + _SIDE_PX, rng.random((len(drawn), 2)) < 0.5, strict=True):
        patch = rest[top : top + _SIDE_PX, left : left + _SIDE_PX]
        down, across = np.where(turned, -1, 1)
        sewn[y : y + _SIDE_PX, x : x + _SIDE_PX] += patch[::down, ::across] * _WINDOW
    return sewn[_SIDE_PX:-_SIDE_PX, _SIDE_PX:-_SIDE_PX]


def _levelled(
    sewn: NDArray[np.float32], crop: NDArray[np.uint8], alpha: NDArray[np.float32], invalid: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """The noise, brought nearer to the level of the ring: patches from farther off may have another."""
    wanted = noise_sigma(crop, ring(alpha, invalid, _RING_PX))
    gain = wanted / np.maximum(noise_sigma(sewn, (alpha > 0.5).astype(np.uint8)), 1e-3)
    gain = np.where(wanted < _LEAST_SIGMA, 1.0, np.clip(gain, 1 / _MOST_GAIN, _MOST_GAIN) ** _FAITH)
    return np.asarray(sewn * gain, dtype=np.float32)
