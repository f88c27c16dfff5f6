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
class Seen:
    """A mark and what may lie under it, before the network has looked.

    Attributes:
        ground: a guess.
        mark: the mark.
        most: float32 (H, W), 0..1: how opaque it may be there.
        own: uint8 (H, W), 1 where it may be.
    """

    ground: opacity.Ground
    mark: opacity.Mark
    most: opacity.Picture
    own: NDArray[np.uint8]

    @property
    def hidden_share(self) -> float:
        """How much of what the mark covers it hides wholly, 0..1."""
        full = self.mark.full
        covered = (self.own > 0) & (self.mark.alpha > 0.5 * full)
        return float((full[covered] > _OPAQUE).mean()) if covered.any() else 0.0


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
        """See `Engine.fill`; unlike all other engines it looks at what lies under `core`, but not at other marks'."""
        priors = self._prior.fill(requests)
        filled = [prior.copy() for prior in priors]
        kept = [np.zeros(request.core.shape, np.float32) for request in requests]
        looks = [_part(request, prior) for request, prior in zip(requests, priors, strict=True)]
        parts = {index: look for index, look in enumerate(looks) if isinstance(look, _Part)}
        numbers = list(parts)
        for tiles in _GRID.batches([parts[index].seen.own for index in numbers]):
            self._run([replace(tile, index=numbers[tile.index]) for tile in tiles], parts, filled, kept)
        self.remarks = [self._remark(*each) for each in zip(requests, looks, filled, kept, strict=True)]
        return [
            prior if remark.refusal else own for prior, own, remark in zip(priors, filled, self.remarks, strict=True)
        ]

    def _run(
        self,
        members: Sequence[Tile],
        parts: dict[int, _Part],
        filled: Sequence[NDArray[np.uint8]],
        kept: Sequence[NDArray[np.float32]],
    ) -> None:
        """Runs tiles of one size and writes their results into `filled`, how far they are believed into `kept`."""
        with torch.inference_mode():
            found = self._network(*self._tensors(members, parts))
        pixels = found.picture.float().mul(255).round().permute(0, 2, 3, 1).to(torch.uint8).cpu().numpy()
        trusts = found.trust[:, 0].float().cpu().numpy()
        for tile, values, trust in zip(members, pixels, trusts, strict=True):
            part = parts[tile.index]
            inside = part.seen.own[tile.used.slices] > 0
            at = part.window.slices
            filled[tile.index][at][tile.used.slices][inside] = values[tile.used_in_seen][inside]
            kept[tile.index][at][tile.used.slices][inside] = trust[tile.used_in_seen][inside]

    def _tensors(self, members: Sequence[Tile], parts: dict[int, _Part]) -> list[Tensor]:
        """What `UnblendNet.forward` takes, of tiles of one size, mirrored up to a multiple."""
        planes = zip(*(_planes(parts[tile.index], tile.seen.slices) for tile in members), strict=True)
        stacks = (np.stack([windows.mirrored(plane, _GRID.step_px) for plane in each]) for each in planes)
        return [torch.from_numpy(stack).to(self._device).permute(0, 3, 1, 2) for stack in stacks]

    def _remark(
        self,
        request: FillRequest,
        look: _Part | str | None,
        filled: NDArray[np.uint8],
        kept: NDArray[np.float32],
    ) -> Remark:
        if look is None:
            return Remark(kept=kept)
        own = request.alpha > 0
        share = float(kept[own].mean())
        refusal = look if isinstance(look, str) else HIDDEN.format(share=share) if share < _LEAST_TRUST else ""
        if refusal:
            return Remark(f"{refusal}, fallback to {self._prior.spec.name}", refusal)
        return Remark(kept=kept, rest=_rest(request, filled, kept))


def _rest(request: FillRequest, filled: NDArray[np.uint8], kept: NDArray[np.float32]) -> FillRequest | None:
    """What a mark hides, as a hole of its own in the picture without the mark; None where that is next to nothing."""
    own = request.alpha > 0
    strict = request.lossy and request.kind == "overlay_text"
    high, low, growth_px = (_STRICT_HIDDEN, _STRICT_LOST, _STRICT_GROWTH_PX) if strict else (_HIDDEN, _LOST, 0)
    lost = dilate((own & (kept < low)).astype(np.uint8), growth_px)
    alpha = np.where(own, np.maximum(np.clip((high - kept) / (high - low), 0, 1), lost), 0).astype(np.float32)
    core = (alpha > 0).astype(np.uint8)
    if int(core.sum()) < _FEWEST_HIDDEN_PX:
        return None
    others = request.hole * (1 - own.astype(np.uint8))
    crop = np.where(own[..., None], filled, request.crop)
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
    seen = look(crop, hole, own, prior)
    if seen is None:
        return NO_MARK
    if request.lossy and seen.hidden_share > _MOST_OPAQUE:
        return OPAQUE.format(opacity=max(layer.opacity for layer in seen.mark.layers))
    return _Part(seen, np.where(((hole > 0) & (own == 0))[..., None], prior, crop), window)


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
