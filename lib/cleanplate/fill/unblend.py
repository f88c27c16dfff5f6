"""Takes a see-through mark off instead of painting over it; what it hides is left to be filled, a smaller hole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cleanplate import windows
from cleanplate.config import Config
from cleanplate.fill import opacity
from cleanplate.fill.base import Engine, EngineSpec, FillRequest, Remark
from cleanplate.fill.network import NetworkEngine, base_fills
from cleanplate.fill.tiling import Grid, Tile
from cleanplate.models.cache import load_once
from cleanplate.models.registry import Registry
from cleanplate.models.unblend_net import UnblendNet, load_unblend_net
from cleanplate.models.unet import MULTIPLE
from cleanplate.records import Box
from cleanplate.ring import dilate

MODEL_ID = "unblend"
NO_GROUND = "nothing is left of the picture to compare with"
NO_MARK = "nothing differs from its surroundings as a see-through mark would"
OPAQUE = "opacity {opacity:.2f} hides what is under it, and the file's compression has spread its edges"
HIDDEN = "next to nothing of the picture is to be had back there ({share:.2f})"

_MARGIN_PX = 24  # of surroundings that are compared with
_LEAST_TRUST = 0.1
_HIDDEN, _LOST = 0.5, 0.1  # trust below which a pixel is left to be filled, in part and wholly
# Captions are hardly ever see-through, and in a file with losses even their opacity is a guess: there only what is
# surely the photograph's own is believed, and nothing beside what is lost.
_STRICT_HIDDEN, _STRICT_LOST, _STRICT_GROWTH_PX = 0.8, 0.5, 2
_OPAQUE, _MOST_OPAQUE = 0.93, 0.5  # opacity that counts so, and its share of what a mark covers
_FEWEST_HIDDEN_PX = 12
_FREE_OPACITY, _FREE_TRUST = 0.1, 0.7  # below and above which a pixel was masked, but is free of the mark
_LEAST_FREED = 0.1  # of what was masked: what makes a second look worth its time
_NETWORK_ERROR = 0.6  # of the ground's spread; chosen on held-out photographs (docs/results.md, "Recurring marks")
_TINY = 1e-6
_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
_GRID = Grid(tile_px=320, margin_px=32, step_px=2 * MULTIPLE, batch_pixels=600_000)


class Diffusions:
    """The mean of three diffusion fills, which is nearer to the truth than any of them, and invents nothing."""

    spec = EngineSpec("pde", "Apache-2.0", cost_units_per_mpx=15.0)

    def fill(self, requests: Sequence[FillRequest]) -> list[NDArray[np.uint8]]:
        """See `Engine.fill`."""
        means = (base_fills(request.crop, request.hole).mean(axis=0, dtype=np.float32) for request in requests)
        return [np.rint(mean).astype(np.uint8) for mean in means]


@dataclass(frozen=True)
class Known:
    """A recurring mark, as `opacity.Mark` tells one that is estimated from one picture.

    Attributes:
        alpha: float32 (H, W), 0..1: opacity; 0 outside the hole.
        colour: float32 (H, W, 3), grey levels.
    """

    alpha: opacity.Picture
    colour: opacity.Picture

    @property
    def full(self) -> opacity.Picture:
        """float32 (H, W): each pixel's own opacity; no other says how opaque the mark may be there."""
        return self.alpha

    @property
    def opacity(self) -> float:
        """Of its most opaque part."""
        return float(self.alpha.max())


@dataclass(frozen=True)
class Seen:
    """A mark and what may lie under it, before the network has looked.

    Attributes:
        ground: a guess.
        mark: the mark, estimated or known.
        most: float32 (H, W), 0..1: how opaque it may be there.
        own: uint8 (H, W), 1 where it may be.
    """

    ground: opacity.Ground
    mark: opacity.Mark | Known
    most: opacity.Picture
    own: NDArray[np.uint8]

    @property
    def hidden_share(self) -> float:
        """How much of what the mark covers it hides wholly, 0..1."""
        full = self.mark.full
        covered = (self.own > 0) & (self.mark.alpha > 0.5 * full)
        return float((full[covered] > _OPAQUE).mean()) if covered.any() else 0.0


@dataclass(frozen=True)
class _Answer:
    """What came of a look at a request.

    Attributes:
        picture: uint8 (H, W, 3), RGB: the crop without the mark, where it is not believed with the prior in its place.
        kept: float32 (H, W), 0..1: how far it is believed; 0 outside the mask.
        opacity: float32 (H, W), 0..1: the mark's; 0 outside the mask.
        refusal: why nothing could be had back; "" where something was, or there is nothing to fill.
    """

    picture: NDArray[np.uint8]
    kept: NDArray[np.float32]
    opacity: NDArray[np.float32]
    refusal: str = ""


@dataclass(frozen=True)
class _Part:
    """The part of a request that the network sees.

    Attributes:
        seen: the mark.
        picture: uint8 (H, W, 3), RGB: with this mark, but no other.
        window: where the part lies in the crop.
    """

    seen: Seen
    picture: NDArray[np.uint8]
    window: Box


class UnblendEngine:
    """Estimates a mark's opacity and colour (`opacity.py`), and has a network sharpen that and invert the compositing.

    A fill, the prior, says what may lie under the mark. It stands where the mark hides its ground, and everywhere where
    no see-through mark is found.

    Attributes:
        remarks: of the last call of `fill`, one per request.
    """

    def __init__(self, prior: Engine, network: UnblendNet, device: str = "cpu") -> None:
        """Keeps the fill and the network (shared by the process)."""
        self._prior = prior
        self._network = network
        self._device = device
        self.spec = EngineSpec(
            "unblend", "Apache-2.0", cost_units_per_mpx=45.0 + prior.spec.cost_units_per_mpx,
            size_multiple=MULTIPLE, batchable=True, generative=prior.spec.generative,
            uncovers=True, stand_in="" if isinstance(prior, Diffusions) else prior.spec.name,
        )  # fmt: skip
        self.remarks: list[Remark] = []

    @classmethod
    def build(cls, config: Config, registry: Registry, device: str) -> UnblendEngine:
        """Loads the network, once per process, and builds the prior that `fill.unblend_prior` names.

        Raises:
            ModelError: a network's weights are missing, tampered with or not permitted.
        """
        network = load_once(registry, MODEL_ID, device, lambda path: load_unblend_net(path, device))
        if config.fill.unblend_prior == "pde":
            return cls(Diffusions(), network, device)
        return cls(NetworkEngine.build(config, registry, device), network, device)

    def fill(self, requests: Sequence[FillRequest]) -> list[NDArray[np.uint8]]:
        """See `Engine.fill`; unlike all other engines it looks at what lies under `core`, but not at other marks'.

        Masks are wider than marks. Where the first look frees a good part of one, a second look knows more ground, so
        the fill of what is left is better, and so is all that is estimated with it.
        """
        answers = self._look(requests)
        closer = {n: _closer(*both) for n, both in enumerate(zip(requests, answers, strict=True))}
        narrowed = {number: request for number, request in closer.items() if request is not None}
        for (number, request), answer in zip(narrowed.items(), self._look(list(narrowed.values())), strict=True):
            answers[number] = _joined(answers[number], request, answer)
        self.remarks = [self._remark(*both) for both in zip(requests, answers, strict=True)]
        return [answer.picture for answer in answers]

    def _look(self, requests: Sequence[FillRequest]) -> list[_Answer]:
        priors = self._prior.fill(requests)
        looks = [_part(request, prior) for request, prior in zip(requests, priors, strict=True)]
        answers = [
            _Answer(
                prior.copy(), np.zeros(prior.shape[:2], np.float32), np.zeros(prior.shape[:2], np.float32),
                look if isinstance(look, str) else "",
            )
            for prior, look in zip(priors, looks, strict=True)
        ]  # fmt: skip
        parts = {index: look for index, look in enumerate(looks) if isinstance(look, _Part)}
        numbers = list(parts)
        for tiles in _GRID.batches([parts[index].seen.own for index in numbers]):
            self._run([replace(tile, index=numbers[tile.index]) for tile in tiles], parts, answers)
        for index in numbers:
            answers[index] = _with_known(requests[index], answers[index], parts[index])
        hidden = [_refused(*each) for each in zip(requests, answers, priors, strict=True)]
        return [found or answer for found, answer in zip(hidden, answers, strict=True)]

    def _run(self, members: Sequence[Tile], parts: dict[int, _Part], answers: Sequence[_Answer]) -> None:
        """Runs tiles of one size and writes what it finds into the answers."""
        with torch.inference_mode():
            found = self._network(*self._tensors(members, parts))
        pixels = found.picture.float().mul(255).round().permute(0, 2, 3, 1).to(torch.uint8).cpu().numpy()
        trusts, opacities = (values[:, 0].float().cpu().numpy() for values in (found.trust, found.opacity))
        for number, tile in enumerate(members):
            part, answer = parts[tile.index], answers[tile.index]
            inside = part.seen.own[tile.used.slices] > 0
            for into, values in ((answer.picture, pixels), (answer.kept, trusts), (answer.opacity, opacities)):
                into[part.window.slices][tile.used.slices][inside] = values[number][tile.used_in_seen][inside]

    def _tensors(self, members: Sequence[Tile], parts: dict[int, _Part]) -> list[Tensor]:
        """What `UnblendNet.forward` takes, of tiles of one size, mirrored up to a multiple."""
        planes = zip(*(_planes(parts[tile.index], tile.seen.slices) for tile in members), strict=True)
        stacks = (np.stack([windows.mirrored(plane, _GRID.step_px) for plane in each]) for each in planes)
        return [torch.from_numpy(stack).to(self._device).permute(0, 3, 1, 2) for stack in stacks]

    def _remark(self, request: FillRequest, answer: _Answer) -> Remark:
        if answer.refusal:
            return Remark(f"{answer.refusal}, fallback to {self._prior.spec.name}", answer.refusal)
        return Remark(kept=answer.kept, rest=_rest(request, answer))


def _with_known(request: FillRequest, answer: _Answer, part: _Part) -> _Answer:
    """An answer mixed with what a known mark's inverse is, by how far off either may be.

    The inverse of a template is nearer to the truth than the network's answer where the ground is rough. On smooth
    ground, which is guessed rightly, its error would be all that is seen; where the mark hides nearly all it is noise.
    """
    template = request.known
    if template is None:
        return answer
    off = np.zeros(request.alpha.shape, np.float32)
    off[part.window.slices] = _NETWORK_ERROR * part.seen.ground.spread
    inverse = opacity.invert(request.crop.astype(np.float32), template.alpha, template.colour)
    belief = np.square(off) / np.maximum(np.square(off) + np.square(template.error), _TINY)
    belief = np.where((request.alpha > 0) & (template.alpha <= opacity.LOST_OPACITY), belief, 0).astype(np.float32)
    mixed = answer.picture + belief[..., None] * (inverse - answer.picture)
    kept = np.asarray(belief + (1 - belief) * answer.kept, np.float32)
    return replace(
        answer, picture=np.rint(mixed).astype(np.uint8), kept=kept,
        opacity=np.where(request.alpha > 0, template.alpha, 0).astype(np.float32),
    )  # fmt: skip


def _refused(request: FillRequest, answer: _Answer, prior: NDArray[np.uint8]) -> _Answer | None:
    """The prior, where next to nothing of an answer is believed."""
    own = request.alpha > 0
    if answer.refusal or not own.any():
        return None
    share = float(answer.kept[own].mean())
    if share >= _LEAST_TRUST:
        return None
    nothing = np.zeros_like(answer.kept)
    return _Answer(prior, nothing, nothing, HIDDEN.format(share=share))


def _closer(request: FillRequest, answer: _Answer) -> FillRequest | None:
    """The request without what turned out to be free of the mark; None where that is little, or all."""
    if request.known is not None:  # its mask ends where the mark does
        return None
    own = request.alpha > 0
    free = own & (answer.opacity < _FREE_OPACITY) & (answer.kept > _FREE_TRUST)
    left = own & (dilate((own & ~free).astype(np.uint8), 1) > 0)
    freed = own & ~left
    if answer.refusal or not left.any() or freed.sum() < _LEAST_FREED * own.sum():
        return None
    return replace(
        request,
        crop=np.where(freed[..., None], answer.picture, request.crop),
        alpha=np.where(left, request.alpha, np.float32(0)),
        core=request.core * left,
        invalid=request.invalid * ~freed,
    )


def _joined(first: _Answer, closer: FillRequest, second: _Answer) -> _Answer:
    """What a second look says of what was left, and the first of all else."""
    left = closer.alpha > 0
    kept, opacity = (
        np.where(left, new, old)
        for new, old in ((second.kept, first.kept), (second.opacity, first.opacity))
    )
    return _Answer(second.picture, kept, opacity)


def _rest(request: FillRequest, answer: _Answer) -> FillRequest | None:
    """What a mark hides, as a hole of its own in the picture without the mark; None where that is next to nothing."""
    own, kept = request.alpha > 0, answer.kept
    strict = request.lossy and request.kind == "overlay_text"
    high, low, growth_px = (_STRICT_HIDDEN, _STRICT_LOST, _STRICT_GROWTH_PX) if strict else (_HIDDEN, _LOST, 0)
    lost = dilate((own & (kept < low)).astype(np.uint8), growth_px)
    alpha = np.where(own, np.maximum(np.clip((high - kept) / (high - low), 0, 1), lost), 0).astype(np.float32)
    core = (alpha > 0).astype(np.uint8)
    if int(core.sum()) < _FEWEST_HIDDEN_PX:
        return None
    others = request.hole * (1 - own.astype(np.uint8))
    crop = np.where(own[..., None], answer.picture, request.crop)
    return replace(request, crop=crop, alpha=alpha, core=core, invalid=others | core)


def _part(request: FillRequest, prior: NDArray[np.uint8]) -> _Part | str | None:
    """What of a request the network is to see; why nothing can be had back; None where there is nothing to fill."""
    own = (request.alpha > 0).astype(np.uint8)
    if not own.any():
        return None
    if request.hole.all():
        return NO_GROUND
    window = Box.around(own).expand(_MARGIN_PX, own.shape[1], own.shape[0])
    crop, hole, own, prior = (layer[window.slices] for layer in (request.crop, request.hole, own, prior))
    seen = look(crop, hole, own, prior) if request.known is None else _known(request, window, prior)
    if seen is None:
        return NO_MARK
    if request.lossy and seen.hidden_share > _MOST_OPAQUE:
        return OPAQUE.format(opacity=seen.mark.opacity)
    return _Part(seen, np.where(((hole > 0) & (own == 0))[..., None], prior, crop), window)


def _known(request: FillRequest, window: Box, prior: NDArray[np.uint8]) -> Seen | None:
    """What a template says of the mark in a window of a request; None where it lies nowhere in the mask."""
    template, at = request.known, window.slices
    own = (request.alpha[at] > 0).astype(np.uint8)
    if template is None or not (template.alpha[at] * own).any():
        return None
    alpha = template.alpha[at] * own
    ground = opacity.Ground.of(request.crop[at], request.hole[at], prior)
    return Seen(ground, Known(alpha, template.colour[at]), alpha, own)


def _planes(part: _Part, at: tuple[slice, slice]) -> list[NDArray[np.float32]]:
    """What `UnblendNet.forward` takes, float32 (H, W, 3 or 1), 0..1."""
    seen = part.seen
    pictures = (part.picture, seen.ground.guess, seen.mark.colour)
    maps = (seen.mark.alpha, seen.most, seen.own)
    return [
        *(np.asarray(picture[at] / np.float32(255), np.float32) for picture in pictures),
        *(np.asarray(values[at][..., None], np.float32) for values in maps),
    ]


def look(
    crop: NDArray[np.uint8], hole: NDArray[np.uint8], own: NDArray[np.uint8], prior: NDArray[np.uint8]
) -> Seen | None:
    """Estimates a mark.

    Args:
        crop: uint8 (H, W, 3), RGB, with the mark.
        hole: uint8 (H, W), 1 on all that is no ground.
        own: uint8 (H, W), 1 where this mark may be.
        prior: uint8 (H, W, 3), RGB: the crop, filled.

    Returns:
        None where nothing differs from the ground as a mark would.
    """
    picture, ground = crop.astype(np.float32), opacity.Ground.of(crop, hole, prior)
    found = opacity.find(picture, ground, own)
    if found is None:
        return None
    mark = opacity.refine(picture, ground, found, own)
    # Refining takes each layer for evenly opaque; what is much more so was seen before.
    return Seen(ground, mark, np.maximum(mark.alpha, cv2.dilate(found.alpha, _CROSS)), own)
