"""The protocol that every fill engine follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cleanplate.enhance.footprint import Footprint
from cleanplate.records import Template


@dataclass(frozen=True)
class EngineSpec:
    """What an engine says of itself.

    Attributes:
        name: its name in the registry, the configuration and the tables.
        licence: SPDX licence of its code and weights.
        cost_units_per_mpx: deterministic cost of one megapixel of crop, relative to flat fill = 1.
        size_multiple: height and width of what the network sees are padded to a multiple of this.
        minimum_px: smallest height and width that it takes.
        batchable: whether several crops of one size run together.
        generative: whether it invents content (the forensic profile forbids those).
        exemplars: whether it copies from the picture, and does so at another scale for another `variant`.
        diffuses: whether it runs a diffusion model, whose share of the regions is bounded.
        smooth: whether its fills have no texture: grain may give them what the calmest places nearby have.
        uncovers: whether it looks at what lies under a mark: what then still shows is no matter of a wider mask.
        stand_in: the engine whose fill it returns where it has none of its own (see `Engine`); "" for one of no name.
    """

    name: str
    licence: str
    cost_units_per_mpx: float
    size_multiple: int = 1
    minimum_px: int = 1
    batchable: bool = False
    generative: bool = False
    exemplars: bool = False
    diffuses: bool = False
    smooth: bool = False
    uncovers: bool = False
    stand_in: str = ""


@dataclass(frozen=True)
class FillRequest:
    """One hole to fill.

    Attributes:
        crop: uint8 (H, W, 3), RGB: the region with a margin of context.
        alpha: float32 (H, W), 0..1, 1 = replace.
        core: uint8 (H, W), 0 or 1: the hard mask of this region.
        invalid: uint8 (H, W), 0 or 1: all that may not be used as a source, `core` and other regions' cores.
        seed: of this region.
        kind: of this region.
        prompt: words for engines that take them.
        strength: 0..1 for engines that take it.
        variant: 0 first; 1 where an engine's answer had broken structure and it should look at another scale.
        footprint: how the crop's file quantises it, if it is a JPEG.
        lossy: whether the crop's file stores it with losses, which spread the edges of a mark.
        known: the recurring mark that lies there, as the crop shows it; None for anything else.
    """

    crop: NDArray[np.uint8]
    alpha: NDArray[np.float32]
    core: NDArray[np.uint8]
    invalid: NDArray[np.uint8]
    seed: int = 0
    kind: str = "object"
    prompt: str = ""
    strength: float = 1.0
    variant: int = 0
    footprint: Footprint | None = None
    lossy: bool = False
    known: Template | None = None

    @property
    def hole(self) -> NDArray[np.uint8]:
        """uint8 (H, W), 1 on all that may not be a source: what the blend mixes in is no background either."""
        return ((self.alpha > 0) | (self.invalid > 0)).astype(np.uint8)


@dataclass(frozen=True)
class Remark:
    """What an engine says of one of its fills.

    Attributes:
        note: what a reader of the attempt should know, such as why it fell back to another fill; "" for nothing.
        refusal: why the fill is not of its own making; "" where it is.
        kept: float32 (H, W), 0..1: how much of each pixel is the photograph's own, with its own grain; None where all
            was painted over.
        rest: what the fill only guesses, to be filled anew; its crop is the picture as far as it is known by now. None
            where there is no such part.
    """

    note: str = ""
    refusal: str = ""
    kept: NDArray[np.float32] | None = None
    rest: FillRequest | None = None


class Engine(Protocol):
    """Fills holes; adding one is a new file in this folder and a line in the registry.

    An engine may keep `remarks`, one per request of its last call. A refused request goes to the engine that the rules
    name next, and so does the `rest` of one.
    """

    spec: EngineSpec

    def fill(self, requests: Sequence[FillRequest]) -> list[NDArray[np.uint8]]:
        """Fills every request.

        Args:
            requests: crops of any sizes; padding, bucketing and batching are the engine's business.

        Returns:
            One uint8 (H, W, 3) RGB per request, of its crop's size. It must be filled wherever alpha > 0; elsewhere
            it is ignored. No pixel with `invalid` = 1 may influence it.
        """
        ...
