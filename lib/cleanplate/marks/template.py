"""The template of a mark: its opacity and colour, from many pictures that show it at one place; and taking it off."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu

from cleanplate.errors import ContractError
from cleanplate.fill.opacity import LOST_OPACITY, invert, unclipped
from cleanplate.fill.pde import diffuse
from cleanplate.records import Box, Template

FEWEST_CROPS = 3  # a median of fewer says nothing
_HUBER = 1.5  # deviations beyond which a picture counts less
_ROUNDS = 5
_LEAST_ALPHA, _MOST_ALPHA = 0.02, 0.95
_STRONG_SHARE = 0.7  # of the strongest shift: pixels that the mark covers wholly
_DAMPING = 8.0  # grey levels; keeps the opacity finite where mark and background are alike
_FEWEST_FOR_COLOURS = 8  # crops from which a pixel's own colour can be told from what lies behind it
_ODD = 6.0  # squared standard errors that the one colour leaves
_FAR = 60.0  # grey levels beyond which a sample counts less
_SLOPE_BELIEF, _USUAL_SLOPE = 3000.0, 0.6  # squared grey levels
_GHOST_DAMPING, _NEARBY = 20.0, (5, 5)  # grey levels; pixels over which a ghost is as sure
_LEAST_COLOURED = 0.08  # opacity from which a pixel shows the mark's colour
_TINY = 1e-6


def estimate(crops: Sequence[NDArray[np.uint8]], masks: Sequence[NDArray[np.uint8]]) -> Template:
    """Estimates a mark from crops that show it at the same place.

    One colour is fitted to all of it first; pixels that show another one, of an outline or a shadow, get their own.
    Whatever lies behind changes from picture to picture, the mark does not. As in Dekel, Rubinstein, Liu and Freeman,
    "On the Effectiveness of Visible Watermarks" (CVPR 2017), the median of the gradients over the crops is the mark's,
    and integrating it says where the mark is. Opacity and colour then come by regression: over the crops, a pixel is
    linear in what lies behind it, with slope 1 - alpha and intercept alpha * colour. What lies behind is taken from a
    diffusion fill of each crop. The fills' errors are the estimate's; so what the crops still share when the mark is
    taken off them, by the median of their gradients again, which knows no fill, corrects it.

    Args:
        crops: uint8 (H, W, 3), RGB, aligned to the pixel, all of one size.
        masks: uint8 (H, W), 0 or 1, one per crop: where the mark may be.

    Raises:
        ContractError: too few crops, or sizes that differ.
    """
    _check(crops, masks)
    where = (np.mean([mask > 0 for mask in masks], axis=0) >= 0.5).astype(np.uint8)
    if not where.any() or where.all():
        raise ContractError("the masks of a mark must leave some picture around it and agree on where it is")
    pictures = np.stack(crops).astype(np.float32)
    behind = np.stack([diffuse(crop, where, "biharmonic") for crop in crops]).astype(np.float32)
    shift = relative_ink(pictures, where)
    inside = where > 0
    alpha = np.zeros(where.shape, np.float32)
    colour = np.zeros((*where.shape, 3), np.float32)
    alpha[inside], main = _fit(pictures[:, inside], behind[:, inside], np.linalg.norm(shift[inside], axis=1))
    colour[inside] = main
    odd = _odd(pictures, behind, alpha, main) & inside
    if len(crops) >= _FEWEST_FOR_COLOURS and odd.any():
        alpha[odd], colour[odd] = _each(pictures[:, odd], behind[:, odd])
    alpha, colour = _without_ghost(pictures, behind, alpha, colour, where)
    return Template(alpha, colour, _error(pictures, behind, alpha, colour))


def apply(template: Template, image_rgb: NDArray[np.uint8], place: Box) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Takes a mark off a picture.

    Args:
        template: from `estimate`.
        image_rgb: uint8 (H, W, 3), RGB; not changed.
        place: where the template lies, of its size; it may stick out of the picture.

    Returns:
        uint8 (H, W, 3), RGB; and uint8 (H, W), 1 where the mark hid the picture, which is left to a fill.

    Raises:
        ContractError: the place is not of the template's size.
    """
    if (place.height, place.width) != template.alpha.shape:
        raise ContractError(f"a template of {template.alpha.shape} cannot lie in {place}: give a box of its size")
    height, width = image_rgb.shape[:2]
    inside = place.clip(width, height)
    cut = (
        slice(inside.top - place.top, inside.bottom - place.top),
        slice(inside.left - place.left, inside.right - place.left),
    )
    result, lost = image_rgb.copy(), np.zeros((height, width), np.uint8)
    alpha, part = template.alpha[cut], image_rgb[inside.slices]
    if part.size:
        clean = np.rint(invert(part.astype(np.float32), alpha, template.colour[cut])).astype(np.uint8)
        result[inside.slices] = np.where(alpha[..., None] > 0, clean, part)
        lost[inside.slices] = alpha > LOST_OPACITY
    return result, lost


def relative_ink(pictures: NDArray[np.float32], where: NDArray[np.uint8]) -> NDArray[np.float32]:
    """By how much the mark shifts the colours of an average picture: the integrated median of the gradients.

    Args:
        pictures: float32 (K, H, W, 3), grey levels, aligned.
        where: uint8 (H, W), 1 where the mark may be.

    Returns:
        float32 (H, W, 3), grey levels; 0 outside the mask, where there is no mark.
    """
    across = np.zeros(pictures.shape[1:], np.float32)
    down = np.zeros_like(across)
    across[:, :-1] = np.median(np.diff(pictures, axis=2), axis=0)
    down[:-1] = np.median(np.diff(pictures, axis=1), axis=0)
    return integrate(across, down, where)


def integrate(
    across: NDArray[np.float32], down: NDArray[np.float32], where: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """The picture, 0 outside a mask, whose differences come nearest to the given ones (Poisson's equation).

    Args:
        across: float32 (H, W, C): of each pixel's right neighbour from it; the last column does not count.
        down: float32 (H, W, C): of each pixel's lower neighbour from it; the last row does not count.
        where: uint8 (H, W), 0 or 1.

    Returns:
        float32 (H, W, C).
    """
    height, width = where.shape
    inside = where.ravel() > 0
    steps = [sparse.kron(sparse.eye(height), _difference(width)), sparse.kron(_difference(height), sparse.eye(width))]
    terms = sparse.vstack(steps).tocsc()[:, inside]
    wanted = np.concatenate([across.reshape(-1, across.shape[2]), down.reshape(-1, down.shape[2])])
    result = np.zeros((height * width, across.shape[2]), np.float32)
    result[inside] = splu((terms.T @ terms).tocsc(), permc_spec="MMD_AT_PLUS_A").solve(terms.T @ wanted)
    return result.reshape(across.shape)


def _check(crops: Sequence[NDArray[np.uint8]], masks: Sequence[NDArray[np.uint8]]) -> None:
    if len(crops) < FEWEST_CROPS or len(masks) != len(crops):
        raise ContractError(f"{len(crops)} crops and {len(masks)} masks: give at least {FEWEST_CROPS}, a mask for each")
    shapes = {crop.shape[:2] for crop in crops} | {mask.shape for mask in masks}
    if len(shapes) > 1:
        raise ContractError(f"crops and masks of {sorted(shapes)} cannot show one mark: cut them to one size")


def _fit(
    pictures: NDArray[np.float32], behind: NDArray[np.float32], strength: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Opacity of each pixel and the one colour of a mark, by robust least squares in turn.

    Args:
        pictures: float32 (K, N, 3): N pixels of K crops.
        behind: the same, as filled.
        strength: float32 (N,): how much the mark shifts an average picture there.

    Returns:
        float32 (N,), 0..1; float32 (3,), 0..255.
    """
    strong = strength >= _STRONG_SHARE * np.percentile(strength, 95)
    colour = _pooled_colour(pictures[:, strong].reshape(-1, 3), behind[:, strong].reshape(-1, 3))
    offset, trust = pictures - behind, np.ones(pictures.shape[:2], np.float32)
    for _ in range(_ROUNDS):
        direction = colour - behind
        power = (trust * np.square(direction).sum(axis=2)).sum(axis=0)
        alpha = (trust * (offset * direction).sum(axis=2)).sum(axis=0) / (power + _DAMPING**2)
        alpha = np.clip(alpha, 0, 1).astype(np.float32)
        left = np.abs(offset - alpha[:, None] * direction).max(axis=2)
        trust = (1 / np.maximum(1, left / (_HUBER * np.median(left) + 1))).astype(np.float32)
        weight = trust * alpha
        ink = offset + alpha[:, None] * behind  # alpha * colour, as each pixel shows it
        colour = (weight[..., None] * ink).sum(axis=(0, 1)) / max(float((weight * alpha).sum()), _TINY)
        colour = np.clip(colour, 0, 255).astype(np.float32)
    return alpha, colour


def _odd(
    pictures: NDArray[np.float32], behind: NDArray[np.float32], alpha: NDArray[np.float32], colour: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Where the crops agree that another colour lies, of an outline or a shadow: bool (H, W)."""
    left = _unexplained(pictures, behind, alpha, colour)
    excess = np.square(left.mean(axis=0)) / ((left.var(axis=0) + 1) / len(left))
    return np.asarray(excess.mean(axis=2) > _ODD)


def _unexplained(
    pictures: NDArray[np.float32], behind: NDArray[np.float32], alpha: NDArray[np.float32], colour: NDArray[np.float32]
) -> NDArray[np.float32]:
    """What a mark over what lies behind leaves of each crop, float32 (K, H, W, 3), grey levels."""
    return pictures - behind - alpha[..., None] * (colour - behind)


def _without_ghost(
    pictures: NDArray[np.float32],
    behind: NDArray[np.float32],
    alpha: NDArray[np.float32],
    colour: NDArray[np.float32],
    where: NDArray[np.uint8],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Opacity and colour, corrected by the ghost that taking the mark off leaves in all crops alike.

    With an opacity that is off by d, what is had back is off by d * (colour - background) / (1 - alpha) on average.
    What of the ghost is of no such colour, the mark's colour is to blame for. Only what both halves of the crops agree
    on is a ghost: where grounds are smooth, their fills are better than the median of few gradients.
    """
    thin = 1 - np.minimum(alpha, _MOST_ALPHA)
    taken_off = unclipped(pictures, alpha, colour)
    base = relative_ink(behind, where)
    halves = [relative_ink(taken_off[start::2], where) - base for start in (0, 1)]
    ghost, noise = (halves[0] + halves[1]) / 2, (halves[0] - halves[1]) / 2
    strength, doubt = (cv2.blur(np.square(each).mean(axis=2), _NEARBY) for each in (ghost, noise))
    ghost = ghost * np.clip(1 - doubt / np.maximum(strength, _TINY), 0, 1)[..., None]
    towards = colour - np.median(behind, axis=0)
    power = np.square(towards).sum(axis=2) + 3 * _GHOST_DAMPING**2
    off = thin * (ghost * towards).sum(axis=2) / power
    rest = ghost - (off / thin)[..., None] * towards
    corrected = np.clip(alpha + off, 0, 1) * (where > 0)
    share = np.where(alpha > _LEAST_COLOURED, thin / np.maximum(alpha, _LEAST_COLOURED), 0)
    return (
        np.where(corrected > _LEAST_ALPHA, corrected, 0).astype(np.float32),
        np.clip(colour + share[..., None] * rest, 0, 255).astype(np.float32),
    )


def _error(
    pictures: NDArray[np.float32], behind: NDArray[np.float32], alpha: NDArray[np.float32], colour: NDArray[np.float32]
) -> NDArray[np.float32]:
    """How far off what is had back may be, float32 (H, W), grey levels: what the crops leave unexplained together.

    It counts as it is amplified by inverting. What one crop alone leaves unexplained is its fill's error. Around the
    mark it says how much of a fainter rim there may be.
    """
    left = _unexplained(pictures, behind, alpha, colour)
    unexplained = np.square(left.mean(axis=0)) + left.var(axis=0) / len(left)
    error = np.sqrt(unexplained.mean(axis=2)) / (1 - np.minimum(alpha, _MOST_ALPHA))
    return np.asarray(cv2.blur(error.astype(np.float32), (3, 3)), np.float32)


def _each(
    pictures: NDArray[np.float32], behind: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Opacity and colour of each pixel by itself, (K, N, 3) -> (N,) and (N, 3): the line through its K samples."""
    height, middle = np.median(pictures, axis=0), np.median(behind, axis=0)
    around = behind - middle
    trust = 1 / np.maximum(1, np.abs(pictures - height - around).max(axis=2, keepdims=True) / _FAR)
    power = (trust * np.square(around)).sum(axis=(0, 2)) + _SLOPE_BELIEF
    slope = ((trust * around * (pictures - height)).sum(axis=(0, 2)) + _SLOPE_BELIEF * _USUAL_SLOPE) / power
    alpha = np.clip(1 - slope, 2 * _LEAST_ALPHA, 1).astype(np.float32)
    colour = (height - (1 - alpha[:, None]) * middle) / alpha[:, None]
    return alpha, np.clip(colour, 0, 255).astype(np.float32)


def _pooled_colour(pictures: NDArray[np.float32], behind: NDArray[np.float32]) -> NDArray[np.float32]:
    """A colour from samples (N, 3) of about one opacity: their line's intercept over one minus its slope."""
    mean_picture, mean_behind = pictures.mean(axis=0), behind.mean(axis=0)
    around = behind - mean_behind
    slope = float((around * (pictures - mean_picture)).sum()) / max(float(np.square(around).sum()), _TINY)
    opacity = float(np.clip(1 - slope, 0.05, 1))
    return np.clip((mean_picture - (1 - opacity) * mean_behind) / opacity, 0, 255).astype(np.float32)


def _difference(length: int) -> sparse.csr_matrix:
    """Each place's next neighbour less itself; 0 at the end, which has none."""
    main = np.full(length, -1.0)
    main[-1] = 0.0
    return sparse.diags([main, np.ones(length - 1)], [0, 1], shape=(length, length), format="csr")
