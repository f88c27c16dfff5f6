"""Takes a see-through mark off instead of painting over it, and fills only what it hides."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.config import Config
from cleanplate.fill import opacity
from cleanplate.fill.base import Engine, EngineSpec, FillRequest
from cleanplate.fill.network import NetworkEngine, base_fills
from cleanplate.models.registry import Registry
from cleanplate.records import Box

NO_GROUND = "nothing is left of the picture to compare with"
NO_MARK = "nothing differs from its surroundings as a see-through mark would"
OPAQUE = "opacity {opacity:.2f} hides what is under it"
NO_FIT = "no linear relation to the surroundings ({share:.2f} explained)"

_MARGIN_PX = 24  # of surroundings that are compared with
_FADE = (0.75, 0.9)  # opacities between which the fill takes over
_MOST_OUTSIDE = 32.0  # grey levels beyond black or white, from which the model does not hold for a pixel
_ROUGHER = 2.5  # how much rougher than its surroundings a picture may come out, before the fill is believed more
_FLAT_OFF = 0.7  # grey levels: on flat ground the fill is right, and what remains of a mark is seen
_TRUST_SIGMA_PX = 2.5
_LEAST_TRUST = 0.3
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
        refusals: of the last call of `fill`, one string per request: why the prior was used; "" where it was not.
        notes: the same, and which fill was used.
    """

    def __init__(self, prior: Engine) -> None:
        """Keeps the fill."""
        self._prior = prior
        self.spec = EngineSpec(
            "unblend", "Apache-2.0", cost_units_per_mpx=30.0 + prior.spec.cost_units_per_mpx,
            size_multiple=prior.spec.size_multiple, batchable=prior.spec.batchable, generative=prior.spec.generative,
            uncovers=True, stand_in="" if isinstance(prior, Diffusions) else prior.spec.name,
        )  # fmt: skip
        self.refusals: list[str] = []

    @property
    def notes(self) -> list[str]:
        """What is said of each fill where it is taken as it is."""
        return [f"{why}, fallback to {self._prior.spec.name}" if why else "" for why in self.refusals]

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
        outcomes = [self._one(*each) for each in zip(requests, self._prior.fill(requests), strict=True)]
        self.refusals = [refusal for _, refusal in outcomes]
        return [filled for filled, _ in outcomes]

    def _one(self, request: FillRequest, prior: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], str]:
        own = (request.alpha > 0).astype(np.uint8)
        if not own.any():
            return prior, ""
        if request.hole.all():
            return prior, NO_GROUND
        rows, columns = np.flatnonzero(own.any(axis=1)), np.flatnonzero(own.any(axis=0))
        tight = Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
        window = tight.expand(_MARGIN_PX, own.shape[1], own.shape[0]).slices
        part, refusal = self._uncovered(*(layer[window] for layer in (request.crop, request.hole, own, prior)))
        filled = prior.copy()
        filled[window] = np.where(own[window][..., None] > 0, part, filled[window])
        return filled, refusal

    def _uncovered(
        self, crop: NDArray[np.uint8], hole: NDArray[np.uint8], own: NDArray[np.uint8], prior: NDArray[np.uint8]
    ) -> tuple[NDArray[np.uint8], str]:
        """The picture under the mark of a window, and why not, where it could not be had."""
        picture, ground = crop.astype(np.float32), opacity.Ground.of(crop, hole, prior)
        mark = opacity.find(picture, ground, own)
        if mark is None:
            return prior, NO_MARK
        strongest = max(layer.opacity for layer in mark.layers)
        if min(layer.opacity for layer in mark.layers) > opacity.LOST_OPACITY:
            return prior, OPAQUE.format(opacity=strongest)
        found, mark = mark.alpha, opacity.refine(picture, ground, mark, own)
        under = opacity.unclipped(picture, mark.alpha, mark.colour)
        # Refining takes each layer for evenly opaque; what is much more so was seen before.
        trust = believed(under, ground, own) * _recoverable(under, np.maximum(mark.alpha, cv2.dilate(found, _CROSS)))
        seen = (own > 0) & (mark.alpha > 0.5 * mark.full)
        share = float(trust[seen].mean()) if seen.any() else 0.0
        if share < _LEAST_TRUST:
            return prior, NO_FIT.format(share=share)
        mixed = ground.guess + trust[..., None] * (np.clip(under, 0, 255) - ground.guess)
        return np.rint(mixed).astype(np.uint8), ""


def believed(under: opacity.Picture, ground: opacity.Ground, hole: NDArray[np.uint8]) -> opacity.Picture:
    """How much an un-blended picture is believed against the guess: no rougher than its surroundings are.

    Where opacity or colour are wrong, or JPEG noise was amplified, it differs from the guess by more than the texture
    nearby does; the share that is kept brings the difference down to that (James and Stein, 1961).

    Args:
        under: float32 (H, W, 3), grey levels.
        ground: the guess and its usual error.
        hole: uint8 (H, W), 1 where the mark may be.

    Returns:
        float32 (H, W), 0..1.
    """
    inside = hole.astype(np.float32)
    off = np.square(np.clip(under, 0, 255) - ground.guess).mean(axis=2) * inside
    near = cv2.GaussianBlur(off, (0, 0), _TRUST_SIGMA_PX) / (cv2.GaussianBlur(inside, (0, 0), _TRUST_SIGMA_PX) + 1e-6)
    most = _ROUGHER * np.maximum(0, ground.spread - opacity.ROUNDING) + _FLAT_OFF
    return np.minimum(1, np.square(most) / np.maximum(near, 1e-6)).astype(np.float32)


def _recoverable(under: opacity.Picture, alpha: opacity.Picture) -> opacity.Picture:
    """1 where the ground shines through, 0 where it is hidden or the result leaves the grey scale by far."""
    low, high = _FADE
    outside = np.maximum(-under, under - 255).max(axis=2) > _MOST_OUTSIDE
    return np.where(outside, 0, np.clip((high - alpha) / (high - low), 0, 1)).astype(np.float32)
