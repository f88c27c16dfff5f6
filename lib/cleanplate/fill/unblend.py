"""Takes a see-through mark off instead of painting over it, and fills only what it hides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from cleanplate.config import Config
from cleanplate.fill import opacity
from cleanplate.fill.base import Engine, EngineSpec, FillRequest, Remark
from cleanplate.fill.network import NetworkEngine, base_fills
from cleanplate.models.registry import Registry
from cleanplate.records import Box

NO_GROUND = "nothing is left of the picture to compare with"
NO_MARK = "nothing differs from its surroundings as a see-through mark would"
OPAQUE = "opacity {opacity:.2f} hides what is under it"
NO_FIT = "no linear relation to the surroundings ({share:.2f} explained)"

_MARGIN_PX = 24  # of surroundings that are compared with
_FADE = (0.9, 0.98)  # opacities between which the fill takes over
_MOST_OUTSIDE = 32.0  # grey levels beyond black or white, from which the model does not hold for a pixel
_NEAR_SIGMA_PX = 2.5
_LARGEST_LEVER = 10.0
_BELIEF, _BELIEF_BIAS = np.array([-1.03, 1.83, -4.54, 3.25], np.float32), 5.41  # training/fit_unblend.py
_LEAST_TRUST = 0.1
_MOST_HIDDEN = 0.5  # of what a mark covers: opaque letters stay opaque where their shadow is see-through
_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


class Diffusions:
    """The mean of three diffusion fills, which is nearer to the truth than any of them, and invents nothing."""

    spec = EngineSpec("pde", "Apache-2.0", cost_units_per_mpx=15.0)

    def fill(self, requests: Sequence[FillRequest]) -> list[NDArray[np.uint8]]:
        """See `Engine.fill`."""
        means = (base_fills(request.crop, request.hole).mean(axis=0, dtype=np.float32) for request in requests)
        return [np.rint(mean).astype(np.uint8) for mean in means]


class UnblendEngine:
    """Estimates a mark's opacity and colour (`opacity.py`) and inverts the compositing.

    A fill, the prior, says what may lie under the mark. It takes over where the mark hides its ground, where inverting
    makes the picture rougher than its surroundings, and everywhere where no see-through mark is found.

    Attributes:
        remarks: of the last call of `fill`, one per request.
    """

    def __init__(self, prior: Engine) -> None:
        """Keeps the fill."""
        self._prior = prior
        self.spec = EngineSpec(
            "unblend", "Apache-2.0", cost_units_per_mpx=30.0 + prior.spec.cost_units_per_mpx,
            size_multiple=prior.spec.size_multiple, batchable=prior.spec.batchable, generative=prior.spec.generative,
            uncovers=True, stand_in="" if isinstance(prior, Diffusions) else prior.spec.name,
        )  # fmt: skip
        self.remarks: list[Remark] = []

    @classmethod
    def build(cls, config: Config, registry: Registry, device: str) -> UnblendEngine:
        """Builds the prior that `fill.unblend_prior` names.

        Raises:
            ModelError: the network's weights are missing, tampered with or not permitted.
        """
        if config.fill.unblend_prior == "pde":
            return cls(Diffusions())
        return cls(NetworkEngine.build(config, registry, device))

    def fill(self, requests: Sequence[FillRequest]) -> list[NDArray[np.uint8]]:
        """See `Engine.fill`; unlike all other engines it looks at what lies under `core`, but not at other marks'."""
        priors = self._prior.fill(requests)
        answers = [_uncovered(request, prior) for request, prior in zip(requests, priors, strict=True)]
        self.remarks = [self._remark(answer) for answer in answers]
        return [
            prior if isinstance(answer, str) else answer[0] for answer, prior in zip(answers, priors, strict=True)
        ]

    def _remark(self, answer: tuple[NDArray[np.uint8], opacity.Picture] | str) -> Remark:
        if isinstance(answer, str):
            return Remark(f"{answer}, fallback to {self._prior.spec.name}", answer)
        return Remark(kept=answer[1])


def _uncovered(request: FillRequest, prior: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], opacity.Picture] | str:
    """The picture under a mark, uint8 (H, W, 3), and how much is the photograph's own; or why it could not be had."""
    own = (request.alpha > 0).astype(np.uint8)
    kept = np.zeros(own.shape, np.float32)
    if not own.any():
        return prior, kept
    if request.hole.all():
        return NO_GROUND
    rows, columns = np.flatnonzero(own.any(axis=1)), np.flatnonzero(own.any(axis=0))
    tight = Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    window = tight.expand(_MARGIN_PX, own.shape[1], own.shape[0]).slices
    seen = look(*(layer[window] for layer in (request.crop, request.hole, own, prior)))
    if isinstance(seen, str):
        return seen
    trust = believed(seen)
    share = float(trust[seen.covered].mean()) if seen.covered.any() else 0.0
    if share < _LEAST_TRUST:
        return NO_FIT.format(share=share)
    guess = seen.ground.guess
    mixed = guess + trust[..., None] * (np.clip(seen.under, 0, 255) - guess)
    filled = prior.copy()
    filled[window] = np.where(seen.own[..., None] > 0, np.rint(mixed).astype(np.uint8), filled[window])
    kept[window] = trust * seen.own
    return filled, kept


@dataclass(frozen=True)
class Seen:
    """A mark and what lies under it, by the model and by a guess.

    Attributes:
        ground: the guess.
        mark: the mark, as opaque as it may be.
        under: float32 (H, W, 3), grey levels, perhaps beyond 0..255: by the model.
        own: uint8 (H, W), 1 where the mark may be.
    """

    ground: opacity.Ground
    mark: opacity.Mark
    under: opacity.Picture
    own: NDArray[np.uint8]

    @property
    def covered(self) -> NDArray[np.bool_]:
        """Bool (H, W): where the mark is, by more than half."""
        return (self.own > 0) & (self.mark.alpha > 0.5 * self.mark.full)


def look(
    crop: NDArray[np.uint8], hole: NDArray[np.uint8], own: NDArray[np.uint8], prior: NDArray[np.uint8]
) -> Seen | str:
    """Estimates a mark and inverts it.

    Args:
        crop: uint8 (H, W, 3), RGB, with the mark.
        hole: uint8 (H, W), 1 on all that is no ground.
        own: uint8 (H, W), 1 where this mark may be.
        prior: uint8 (H, W, 3), RGB: the crop, filled.

    Returns:
        What is seen, or why nothing is.
    """
    picture, ground = crop.astype(np.float32), opacity.Ground.of(crop, hole, prior, base_fills(crop, hole))
    found = opacity.find(picture, ground, own)
    if found is None:
        return NO_MARK
    covered = (own > 0) & (found.alpha > 0.5 * found.full)
    hidden = covered & (found.full > opacity.LOST_OPACITY)
    if hidden.sum() > _MOST_HIDDEN * covered.sum():
        return OPAQUE.format(opacity=max(layer.opacity for layer in found.layers))
    mark = opacity.refine(picture, ground, found, own)
    under = opacity.unclipped(picture, mark.alpha, mark.colour)
    # Refining takes each layer for evenly opaque; what is much more so was seen before.
    at_least = replace(mark, alpha=np.maximum(mark.alpha, cv2.dilate(found.alpha, _CROSS)))
    return Seen(ground, at_least, under, own)


def believed(seen: Seen) -> opacity.Picture:
    """How much an un-blended picture is believed against the guess, float32 (H, W), 0..1.

    By how far the two are apart; the odds are a product of powers, fitted by `training/fit_unblend.py` so that the
    mixture is near the truth. Where both differ over the whole mark by more than guesses are usually off, colour or
    opacity are wrong; where they differ by more than elsewhere on the mark, the guess is. The more opaque the mark and
    the more it stands out, the more an error of its opacity weighs. Where it hides its ground, nothing is believed.
    """
    return np.asarray(expit(belief_terms(seen) @ _BELIEF + _BELIEF_BIAS) * _recoverable(seen), np.float32)


def belief_terms(seen: Seen) -> opacity.Picture:
    """What the odds of `believed` are made of, float32 (H, W, 4), logarithms of grey levels.

    The error of an un-blended pixel for each share of its opacity; how far it is from the guess nearby, and over the
    whole mark but for what it hides; the guess's usual error over the mark.
    """
    mark, guess = seen.mark, seen.ground.guess
    there = (seen.own > 0) & (_recoverable(seen) > 0)
    inside = there.astype(np.float32)
    power = np.square(np.clip(seen.under, 0, 255) - guess).mean(axis=2) * inside
    near = cv2.GaussianBlur(power, (0, 0), _NEAR_SIGMA_PX) / (cv2.GaussianBlur(inside, (0, 0), _NEAR_SIGMA_PX) + 1e-6)
    where = next((mask for mask in (seen.covered & there, there) if mask.any()), seen.own > 0)
    overall, usual = (float(values[where].mean()) for values in (power, np.square(seen.ground.error)))
    lever = np.minimum(mark.alpha / np.maximum(1 - mark.alpha, 1e-3), _LARGEST_LEVER)
    contrast = np.sqrt(np.square(mark.colour - guess).mean(axis=2))
    each = (lever * contrast, np.sqrt(near), np.full_like(inside, overall**0.5), np.full_like(inside, usual**0.5))
    return np.log1p(np.stack(each, axis=2)).astype(np.float32)


def _recoverable(seen: Seen) -> opacity.Picture:
    """1 where the ground shines through, 0 where it is hidden or the result leaves the grey scale by far."""
    low, high = _FADE
    outside = np.maximum(-seen.under, seen.under - 255).max(axis=2) > _MOST_OUTSIDE
    return np.where(outside, 0, np.clip((high - seen.mark.alpha) / (high - low), 0, 1)).astype(np.float32)
