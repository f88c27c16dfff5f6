"""Holes to fill whose truth is known: overlays, free-form strokes and solid shapes on windows of photographs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.confidence import MARGIN_PX
from cleanplate.evaluation.holes import free_form, solid
from cleanplate.evaluation.overlays import FontLibrary, generate, sample_style
from cleanplate.evaluation.photographs import read_rgb
from cleanplate.fill.base import FillRequest
from cleanplate.metrics.lpips import Lpips
from cleanplate.records import Box, Kind, Region

TEXT_KINDS: tuple[Kind, ...] = ("overlay_text", "handwriting", "stamp", "watermark")
_HOLES: dict[str, Callable[[int, int, np.random.Generator], NDArray[np.uint8]]] = {
    "free-form": free_form,
    "object": lambda height, width, rng: solid(height, width, rng, (0.05, 0.15)),
}
_WINDOW_PX = {"object": 384}
_USUAL_WINDOW_PX = 256
_MOST_SHARE = 0.45  # of a window: a mark all over it is un-blended, not filled
CASE_KINDS = (*TEXT_KINDS, *_HOLES)
_TRIES = 8  # styles, until one of them fits the window


@dataclass(frozen=True)
class Case:
    """A hole to fill.

    Attributes:
        name: photograph and kind.
        kind: of CASE_KINDS.
        before: uint8 (H, W, 3), RGB, with what is to go.
        truth: uint8 (H, W, 3), RGB, as it was.
        mask: uint8 (H, W), 0 or 1: the true mask; of overlays dilated by one pixel.
    """

    name: str
    kind: str
    before: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    mask: NDArray[np.uint8]

    @property
    def region(self) -> Region:
        """The mask as a region of the window."""
        height, width = self.mask.shape
        alpha, kind = self.mask.astype(np.float32), self.request.kind
        return Region(0, kind, 1.0, Box(0, 0, width, height), alpha, self.mask, alpha)  # type: ignore[arg-type]

    @property
    def request(self) -> FillRequest:
        """What an engine gets."""
        kind = self.kind if self.kind in TEXT_KINDS else "object"
        return FillRequest(self.before, self.mask.astype(np.float32), self.mask, self.mask, 1, kind)


def merge(case: Case, filled: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The truth with a fill in the mask: only the mask's pixels are the method's."""
    return np.where(case.mask[..., None] > 0, filled, case.truth)


def lpips_round(case: Case, filled: NDArray[np.uint8], lpips: Lpips) -> float:
    """LPIPS in the mask's box with a margin of confidence.MARGIN_PX."""
    part = Box.around(case.mask).expand(MARGIN_PX, case.mask.shape[1], case.mask.shape[0]).slices
    return lpips.distance(*(np.ascontiguousarray(picture[part]) for picture in (merge(case, filled), case.truth)))


def make_cases(
    paths: Sequence[Path], fonts: FontLibrary, kinds: Sequence[str] = CASE_KINDS, seed: int = 61
) -> list[Case]:
    """One case of each kind on each photograph, but for windows with hardly any or nearly only mask.

    Args:
        paths: of photographs.
        fonts: to write with.
        kinds: of CASE_KINDS.
        seed: the same seed makes the same cases.
    """
    cases = []
    for number, path in enumerate(paths):
        photograph = read_rgb(path)
        for offset, kind in enumerate(CASE_KINDS):
            if kind in kinds:
                rng = np.random.default_rng([seed, number, offset])
                make = _text_case if kind in TEXT_KINDS else _hole_case
                case = make(photograph, kind, f"{path.stem} {kind}", rng, fonts)
                if case is not None:
                    cases.append(case)
    return cases


def _text_case(
    photograph: NDArray[np.uint8], kind: str, name: str, rng: np.random.Generator, fonts: FontLibrary
) -> Case | None:
    for _ in range(_TRIES):
        style = sample_style(rng, kind, 90.0)  # type: ignore[arg-type]
        sample = generate(photograph, int(rng.integers(1 << 30)), [style], fonts)
        if not sample.overlays:
            continue
        box = sample.overlays[0].box
        window = _window((box.left + box.right) // 2, (box.top + box.bottom) // 2, kind, photograph.shape)
        mask = cv2.dilate((sample.alpha > 0).astype(np.uint8), np.ones((3, 3), np.uint8))[window.slices]
        if 0.003 < mask.mean() <= _MOST_SHARE:
            before, truth = (np.ascontiguousarray(p[window.slices]) for p in (sample.picture, sample.clean))
            return Case(name, kind, before, truth, np.ascontiguousarray(mask))
    return None


def _hole_case(
    photograph: NDArray[np.uint8], kind: str, name: str, rng: np.random.Generator, fonts: FontLibrary
) -> Case:
    height, width = photograph.shape[:2]
    window = _window(int(rng.integers(width)), int(rng.integers(height)), kind, photograph.shape)
    truth = np.ascontiguousarray(photograph[window.slices])
    mask = _HOLES[kind](window.height, window.width, rng)
    before = truth.copy()
    before[mask > 0] = rng.integers(0, 256, 3)
    return Case(name, kind, before, truth, mask)


def _window(x: int, y: int, kind: str, shape: tuple[int, ...]) -> Box:
    side = _WINDOW_PX.get(kind, _USUAL_WINDOW_PX)
    left, top = (int(np.clip(c - side // 2, 0, max(0, s - side))) for c, s in ((x, shape[1]), (y, shape[0])))
    return Box(left, top, min(shape[1], left + side), min(shape[0], top + side))
