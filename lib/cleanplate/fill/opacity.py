"""The opacity and colour of a see-through mark, estimated from one picture.

Where a mark lies, picture = (1 - alpha) * ground + alpha * colour (Porter and Duff, 1984). A fill of the hole guesses
the ground. Over the pixels that the mark covers wholly, the picture is then linear in the guess: the slope is
1 - opacity, the intercept opacity * colour. The guess is a mean over what may lie there, so its error does not pull the
slope (Berkson, 1950). With a colour known, each pixel's own opacity follows, the better the smoother the ground and the
larger the contrast.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.fill.pde import diffuse

Picture = NDArray[np.float32]
LOST_OPACITY = 0.85  # beyond it noise is amplified more than sixfold: the ground is hidden
_WHITE, _BLACK = np.full(3, 255, np.float32), np.zeros(3, np.float32)
_HIGHEST_OPACITY = 0.95
_DAMPING = 8.0  # grey levels; keeps the opacity finite where mark and ground are alike
_DETAIL_SIGMA_PX, _NEAR_SIGMA_PX = 2.0, 8.0
ROUNDING = 1.5  # grey levels by which even a flat ground is off
_DEPTH_GROWTH = 0.15  # of the guess's spread, per pixel from the rim
_SMOOTHNESS, _RIM_SMOOTHNESS = 1.5, 0.7
_LEAST_OPACITY = 0.03
_FEWEST_PX, _FEWEST_INNER_PX = 12, 60
_COVERED = 0.5  # of the usual opacity: what the mark covers wholly
_HUBER = 1.5
_BELIEF, _BELIEF_SPREAD = 12.0, 0.15  # neighbouring pixels err alike, so a whole mark is worth about a dozen samples
_GAMUT_SLACK = 10.0  # grey levels by which means may leave the scale
_SNAP = 16.0  # grey levels from white or black within which a mark is one of them
_OTHER_SHARE = 0.1  # of the push of one sign, from which the other sign is looked at
_TWO_GAIN = 0.6  # a second colour must leave this little unexplained
_MOST_LEFT = 12.0  # variances; what differs more is no part of the model
_SURE, _NONE = 0.8, 0.15  # shares of full opacity from which a pixel is covered, and up to which it is free
_RIM_SPREAD, _INNER_SPREAD = 0.2, 0.02  # how far a pixel's opacity may be from what its place suggests
_ROUNDS = 2


@dataclass(frozen=True)
class Ground:
    """What lies under a mark, as a fill guesses it.

    Attributes:
        guess: float32 (H, W, 3), grey levels.
        detail: float32 (H, W), grey levels: how rough the picture is nearby.
        spread: float32 (H, W), grey levels: how far the guess may be off, which weighs the pixels in a fit.
    """

    guess: Picture
    detail: Picture
    spread: Picture

    @classmethod
    def of(cls, crop: NDArray[np.uint8], hole: NDArray[np.uint8], filled: NDArray[np.uint8]) -> Ground:
        """Measures the surroundings: detail that a fill cannot know is as strong in the hole as beside it.

        Args:
            crop: uint8 (H, W, 3), RGB.
            hole: uint8 (H, W), 0 or 1.
            filled: uint8 (H, W, 3), RGB: the crop, filled.
        """
        guess = np.where(hole[..., None] > 0, filled, crop).astype(np.float32)
        rough = np.square(guess - cv2.GaussianBlur(guess, (0, 0), _DETAIL_SIGMA_PX)).mean(axis=2)
        known = (1 - cv2.dilate(hole, np.ones((3, 3), np.uint8))).astype(np.float32)
        overall = float((rough * known).sum() / max(float(known.sum()), 1.0))
        power = cv2.GaussianBlur(rough * known, (0, 0), _NEAR_SIGMA_PX) + 1e-4 * overall
        detail = np.sqrt(power / (cv2.GaussianBlur(known, (0, 0), _NEAR_SIGMA_PX) + 1e-4) + ROUNDING**2)
        depth = np.asarray(cv2.distanceTransform(hole, cv2.DIST_L2, cv2.DIST_MASK_3), np.float32)
        spread = detail * (1 + _DEPTH_GROWTH * np.maximum(0, depth - 1))
        return cls(guess, detail, spread)


@dataclass(frozen=True)
class Layer:
    """One colour of a mark, float32 (3,), 0..255, and its opacity where it covers wholly, 0..1."""

    colour: Picture
    opacity: float


@dataclass(frozen=True)
class Mark:
    """A mark on a crop.

    Attributes:
        layers: its colours: a letter's, perhaps a second one of outline or shadow.
        alpha: float32 (H, W), 0..1: opacity; 0 outside the hole.
        which: int (H, W): number of the layer on top.
    """

    layers: tuple[Layer, ...]
    alpha: Picture
    which: NDArray[np.intp]

    @property
    def opacity(self) -> float:
        """Of its most opaque layer."""
        return max(layer.opacity for layer in self.layers)

    @property
    def colour(self) -> Picture:
        """float32 (H, W, 3): the colour of each pixel's layer."""
        return np.stack([layer.colour for layer in self.layers])[self.which]

    @property
    def full(self) -> Picture:
        """float32 (H, W): opacity of each pixel's layer where it covers wholly."""
        return np.array([layer.opacity for layer in self.layers], np.float32)[self.which]


def invert(picture: Picture, alpha: Picture, colour: Picture) -> Picture:
    """What lies under a mark: (picture - alpha * colour) / (1 - alpha).

    Args:
        picture: float32 (H, W, 3), grey levels.
        alpha: float32 (H, W), 0..1; taken as at most 0.95.
        colour: float32 (H, W, 3) or (3,), grey levels.

    Returns:
        float32 (H, W, 3), clipped to 0..255.

    Example:
        >>> import numpy as np
        >>> under, ink = np.full((1, 1, 3), 80, np.float32), np.full(3, 240, np.float32)
        >>> alpha = np.full((1, 1), 0.25, np.float32)
        >>> float(invert(0.75 * under + 0.25 * ink, alpha, ink)[0, 0, 0])
        80.0
    """
    return np.clip(unclipped(picture, alpha, colour), 0, 255)


def unclipped(picture: Picture, alpha: Picture, colour: Picture) -> Picture:
    """`invert` without the clipping: far from 0..255 the model does not hold."""
    alpha = np.minimum(alpha, np.float32(_HIGHEST_OPACITY))
    return picture + (alpha / (1 - alpha))[..., None] * (picture - colour)


def find(picture: Picture, ground: Ground, hole: NDArray[np.uint8]) -> Mark | None:
    """Finds the colours and the opacity of a mark.

    Of several explanations (the mark brightens or darkens; it does one and its shadow or outline the other; it has one
    colour between bright and dark ground) the one is taken that leaves least unexplained.

    Args:
        picture: float32 (H, W, 3), grey levels, with the mark.
        ground: what may lie under it.
        hole: uint8 (H, W), 1 where the mark may be.

    Returns:
        None where nothing differs from the ground as a mark would.
    """
    found = []
    for layers in _explanations(picture, ground, hole):
        mark, cost = _explained(picture, ground, layers, hole)
        found.append((cost if len(layers) == 1 else cost / _TWO_GAIN, mark))
    if not found:
        return None
    mark = min(found, key=lambda each: each[0])[1]
    layers = tuple(
        replace(layer, opacity=_level(np.where(mark.which == number, mark.alpha, 0), hole, layer.opacity))
        for number, layer in enumerate(mark.layers)
    )
    return replace(mark, layers=layers)


def refine(picture: Picture, ground: Ground, mark: Mark, hole: NDArray[np.uint8]) -> Mark:
    """Sharpens a mark: whole opacity inside, none outside, and an anti-aliased rim of a pixel or two between.

    What is free or covered is known by then, so the rim's ground can be continued from both of its sides: a far better
    guess than a fill of the whole hole.

    Args:
        picture: float32 (H, W, 3), grey levels, with the mark.
        ground: what may lie under it.
        mark: as found.
        hole: uint8 (H, W), 1 where the mark may be.
    """
    for number in range(_ROUNDS):
        rim, likely = _places(mark, hole, wide=number == 0)
        hold = np.where(rim > 0, _RIM_SPREAD**-2, _INNER_SPREAD**-2).astype(np.float32)
        inner = _held(picture, ground, mark, likely, hold)
        if not rim.any() or rim.all():
            return replace(mark, alpha=np.where(hole > 0, inner, np.float32(0)))
        known = invert(picture, np.where(rim > 0, mark.alpha, inner), mark.colour)
        ground = _closer(ground, known, rim)
        opacity, trust = evidence(picture, ground, mark.colour)
        wanted = (trust * opacity + hold * likely) / (trust + hold)
        smooth = denoised(wanted, trust + hold, _RIM_SMOOTHNESS, hole, 30)
        alpha = np.where(rim > 0, np.minimum(smooth, 1.1 * mark.full), inner)
        mark = replace(mark, alpha=np.where(hole > 0, alpha, 0).astype(np.float32))
    return mark


def evidence(picture: Picture, ground: Ground, colour: Picture) -> tuple[Picture, Picture]:
    """What each pixel says of its opacity, given the mark's colour, and how much that is worth.

    Returns:
        float32 (H, W): the opacity that brings the picture nearest to the model; and the inverse of its variance.
    """
    towards = colour - ground.guess
    power = np.square(towards).sum(axis=2)
    along = ((picture - ground.guess) * towards).sum(axis=2)
    return along / (power + _DAMPING**2), power / np.square(ground.spread)


def denoised(
    opacity: Picture, trust: Picture, smoothness: float, hole: NDArray[np.uint8], rounds: int = 80
) -> Picture:
    """An opacity map of few edges: least squares with a penalty on the total variation (Rudin, Osher and Fatemi, 1992).

    By the primal-dual method of Chambolle and Pock (J. Math. Imaging Vis. 2011).

    Args:
        opacity: float32 (H, W), noisy, of any values.
        trust: float32 (H, W), the inverse of its variance.
        smoothness: weight of the total variation.
        hole: uint8 (H, W), 1 where there may be a mark.
        rounds: of the method.

    Returns:
        float32 (H, W), 0..1; 0 outside the hole.
    """
    inside = hole > 0
    found = np.where(inside, np.clip(opacity, 0, 1), 0).astype(np.float32)
    ahead, across, down = found.copy(), np.zeros_like(found), np.zeros_like(found)
    step = np.float32(0.15 / smoothness)
    dual_step = 1 / (8 * step)
    pull, share = step * trust * opacity, 1 / (1 + step * trust)
    for _ in range(rounds):
        across[:, :-1] += dual_step * (ahead[:, 1:] - ahead[:, :-1])
        down[:-1] += dual_step * (ahead[1:] - ahead[:-1])
        excess = np.maximum(1, np.sqrt(across * across + down * down) / smoothness)
        across /= excess
        down /= excess
        flow = across + down
        flow[:, 1:] -= across[:, :-1]
        flow[1:] -= down[:-1]
        new = np.where(inside, np.clip((found + step * flow + pull) * share, 0, 1), 0)
        ahead, found = 2 * new - found, new
    return found.astype(np.float32)


def _explanations(picture: Picture, ground: Ground, hole: NDArray[np.uint8]) -> list[tuple[Layer, ...]]:
    """The sets of layers that may make the picture of the ground."""
    signs = [(colour, *_pushed(picture, ground, colour, hole)) for colour in (_WHITE, _BLACK)]
    pushes = [push for _, _, push in signs]
    size = [float(push.sum()) for push in pushes]
    ones = [
        _layer(picture, ground, np.where(push >= np.maximum(*pushes), alpha, 0), colour, hole)
        for colour, alpha, push in signs
    ]
    found: list[tuple[Layer | None, ...]] = [(ones[int(size[1] > size[0])],)]
    if min(size) > _OTHER_SHARE * max(size):
        found += [(ones[0], ones[1]), (_one_colour(picture, ground, np.maximum(*pushes), hole),)]
    return [tuple(layer for layer in layers if layer) for layers in found if all(layers)]


def _pushed(
    picture: Picture, ground: Ground, colour: Picture, hole: NDArray[np.uint8]
) -> tuple[Picture, Picture]:
    """Opacity of a mark of that colour, and by how many grey levels it would push the picture."""
    alpha = denoised(*evidence(picture, ground, colour), _SMOOTHNESS, hole)
    return alpha, alpha * np.abs(colour - ground.guess).mean(axis=2)


def _layer(
    picture: Picture, ground: Ground, alpha: Picture, colour: Picture, hole: NDArray[np.uint8]
) -> Layer | None:
    """A layer from the pixels that an opacity map of an extreme colour covers."""
    where = _covered(alpha, hole)
    if where is None:
        return None
    opacity = float(np.median(alpha[where]))
    for _ in range(2):
        slope, intercept = _line(picture, ground, where, 1 - opacity)
        if 1 - slope < _LEAST_OPACITY:
            return Layer(colour, max(opacity, _LEAST_OPACITY))
        colour = np.clip(intercept / (1 - slope), 0, 255).astype(np.float32)
        opacities, trust = evidence(picture, ground, colour)
        opacity = float(np.average(opacities[where], weights=trust[where] + 1e-9))  # where the gamut cut the colour
    return Layer(_snapped(colour), float(np.clip(1 - slope, _LEAST_OPACITY, 1)))


def _one_colour(picture: Picture, ground: Ground, push: Picture, hole: NDArray[np.uint8]) -> Layer | None:
    """A layer whose colour lies between those of the ground, so that it brightens some and darkens other."""
    pushed = push[(hole > 0) & (push > 2)]
    if len(pushed) < _FEWEST_PX:
        return None
    slope, intercept = _line(picture, ground, push > 0.5 * np.percentile(pushed, 85), 0.6)
    if 1 - slope < _LEAST_OPACITY:
        return None
    colour = intercept / (1 - slope)
    if colour.min() < -20 or colour.max() > 275:
        return None
    return Layer(np.clip(colour, 0, 255).astype(np.float32), float(np.clip(1 - slope, _LEAST_OPACITY, 1)))


def _line(picture: Picture, ground: Ground, where: NDArray[np.bool_], usual: float) -> tuple[float, Picture]:
    """Slope and intercept of picture over guess, robustly; where the ground is all alike, the usual slope."""
    guess, seen = ground.guess[where], picture[where]
    variance = np.square(ground.spread[where])
    share, belief = np.ones(len(guess), np.float32), _BELIEF / _BELIEF_SPREAD**2
    slope, intercept = usual, np.zeros(3, np.float32)
    for _ in range(6):
        weight = (share / variance)[:, None]
        middle, height = ((weight * values).sum(axis=0) / weight.sum() for values in (guess, seen))
        across = guess - middle
        slope = float((weight * across * (seen - height)).sum() + belief * usual)
        slope /= float((weight * across * across).sum()) + belief
        slope = min(slope, _steepest(middle, height))
        intercept = height - slope * middle
        off = np.abs(seen - slope * guess - intercept).max(axis=1) / np.sqrt(variance)
        share = 1 / np.maximum(1, off / _HUBER)
    return slope, intercept.astype(np.float32)


def _steepest(ground: Picture, seen: Picture) -> float:
    """The largest slope from a mean ground to a mean picture for which the mark's colour is one, in all channels.

    On white paper nothing else tells how opaque a red stamp is; with less its ink would have to be darker than black.
    """
    above_black = (seen + _GAMUT_SLACK) / (ground + 1e-6)
    below_white = (255 + _GAMUT_SLACK - seen) / (255 - ground + 1e-6)
    return float(min(above_black.min(), below_white.min()))


def _snapped(colour: Picture) -> Picture:
    """White and black are what most marks are."""
    return next((pure for pure in (_WHITE, _BLACK) if np.abs(colour - pure).max() < _SNAP), colour)


def _covered(alpha: Picture, hole: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
    """The pixels that a mark covers wholly; None where there is none to speak of."""
    values = alpha[(hole > 0) & (alpha > _LEAST_OPACITY)]
    if len(values) < _FEWEST_PX:
        return None
    covered = alpha > _COVERED * np.percentile(values, 70)
    inner = cv2.erode(covered.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return inner if int(inner.sum()) >= _FEWEST_INNER_PX else covered


def _level(alpha: Picture, hole: NDArray[np.uint8], otherwise: float) -> float:
    where = _covered(alpha, hole)
    return otherwise if where is None else float(np.median(alpha[where]))


def _explained(
    picture: Picture, ground: Ground, layers: Sequence[Layer], hole: NDArray[np.uint8]
) -> tuple[Mark, float]:
    """The opacity map of some layers, and what they leave unexplained."""
    maps = np.stack([denoised(*evidence(picture, ground, layer.colour), _SMOOTHNESS, hole) for layer in layers])
    contrast = np.stack([np.abs(layer.colour - ground.guess).mean(axis=2) for layer in layers])
    which = (maps * contrast).argmax(axis=0)
    mark = Mark(tuple(layers), np.take_along_axis(maps, which[None], 0)[0], which)
    modelled = ground.guess + mark.alpha[..., None] * (mark.colour - ground.guess)
    left = np.square(picture - modelled).sum(axis=2) / np.square(ground.spread)
    edges = sum(float(np.abs(np.diff(mark.alpha, axis=axis)).sum()) for axis in (0, 1))
    return mark, float(np.minimum(left, _MOST_LEFT)[hole > 0].sum()) + 2 * _SMOOTHNESS * edges


def _places(mark: Mark, hole: NDArray[np.uint8], wide: bool) -> tuple[NDArray[np.uint8], Picture]:
    """The rim, uint8, and the opacity that each pixel's place suggests: whole, none, or in the rim as it is."""
    share = mark.alpha / mark.full
    free = share < _NONE
    covered: NDArray[Any] = (share > _SURE).astype(np.uint8)
    if wide:
        covered = cv2.erode(covered, cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)))
        free &= cv2.dilate((share > 0.5).astype(np.uint8), np.ones((3, 3), np.uint8)) == 0
    rim = ((hole > 0) & (covered == 0) & ~free).astype(np.uint8)
    likely = np.where(covered > 0, mark.full, np.where(free, 0, mark.alpha))
    return rim, likely.astype(np.float32)


def _held(picture: Picture, ground: Ground, mark: Mark, likely: Picture, hold: Picture) -> Picture:
    """The opacity by what the pixel says and what its place suggests, weighed."""
    opacity, trust = evidence(picture, ground, mark.colour)
    return np.clip((trust * opacity + hold * likely) / (trust + hold), 0, _HIGHEST_OPACITY).astype(np.float32)


def _closer(ground: Ground, known: Picture, rim: NDArray[np.uint8]) -> Ground:
    """The ground with a rim continued from what is known on both sides of it."""
    filled = diffuse(np.rint(known).astype(np.uint8), rim, "biharmonic")
    depth = cv2.distanceTransform(rim, cv2.DIST_L2, cv2.DIST_MASK_3)
    spread = 0.5 * ground.detail * (1 + 0.3 * np.maximum(0, depth - 1)) + 0.5
    inside = rim > 0
    return replace(
        ground,
        guess=np.where(inside[..., None], filled, ground.guess).astype(np.float32),
        spread=np.where(inside, spread, ground.spread).astype(np.float32),
    )
