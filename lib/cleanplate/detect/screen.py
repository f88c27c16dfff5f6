"""Tells overlays from what the photograph itself shows: how likely a line's strokes, or a mark's, lie on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from cleanplate.detect.components import Group
from cleanplate.detect.terms import TERMS, Seen, ink_px, terms_of
from cleanplate.errors import ModelError

FEWEST_INK_PX = 12  # what has fewer is neither
MODELS = ("lines", "marks")
PARTS = ("term", "limit", "lower", "upper", "chance")


@dataclass(frozen=True)
class Forest:
    """Extremely randomized trees (Geurts et al., 2006) over TERMS, fitted by `training/fit_screen.py`.

    Attributes:
        term: int32 (trees, nodes), what a node asks about; -1 at a leaf.
        limit: float32, likewise: up to it to the lower child, beyond it to the upper one.
        lower: int32, likewise.
        upper: int32, likewise.
        chance: float32, likewise: share of overlays among what came to the node.
    """

    term: NDArray[np.int32]
    limit: NDArray[np.float32]
    lower: NDArray[np.int32]
    upper: NDArray[np.int32]
    chance: NDArray[np.float32]

    def chances(self, terms: NDArray[np.float64]) -> NDArray[np.float64]:
        """How likely groups are overlays, float64 (G,), 0..1: the mean of the trees' leaves.

        Args:
            terms: float64 (G, T), one row of `terms_of` per group.
        """
        trees = np.arange(len(self.term))[None]
        rows = np.arange(len(terms))[:, None]
        node = np.zeros((len(terms), len(self.term)), np.int32)
        while (asked := self.term[trees, node]).max(initial=-1) >= 0:
            below = terms[rows, np.maximum(asked, 0)].astype(np.float32) <= self.limit[trees, node]
            node = np.where(asked < 0, node, np.where(below, self.lower[trees, node], self.upper[trees, node]))
        return np.asarray(self.chance[trees, node].mean(axis=1), np.float64)


@cache
def load_screen() -> Mapping[str, Forest]:
    """The packaged forests, "lines" and "marks".

    Raises:
        ModelError: their file is of other terms than this module.
    """
    packaged = resources.files("cleanplate.weights").joinpath("screen.safetensors")
    with resources.as_file(packaged) as path, safe_open(path, framework="numpy") as stored:
        if (stored.metadata() or {}).get("terms", "").split() != list(TERMS):
            raise ModelError(f"{packaged} is of other terms: run training/fit_screen.py again")
        names = [f"{name}.{part}" for name in MODELS for part in PARTS]
        tensors = {name: stored.get_tensor(name) for name in names}
    return {name: Forest(**{part: tensors[f"{name}.{part}"] for part in PARTS}) for name in MODELS}


def chances(
    inks: Sequence[Group], marks: Sequence[Group], seen: Seen
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How likely the strokes of lines of text, and groups that are no line, lie on the picture and not in it.

    Args:
        inks: the strokes of each of L lines.
        marks: M groups of strokes that are part of no line.
        seen: the picture and its maps.

    Returns:
        float64 (L,) and (M,), 0..1; 0 for what has too few strokes.
    """
    found = np.zeros(len(inks) + len(marks))
    inked, terms = table(inks, marks, seen)
    is_line = inked < len(inks)
    for name, own in zip(MODELS, (is_line, ~is_line), strict=True):
        if own.any():
            found[inked[own]] = load_screen()[name].chances(terms[own])
    return found[: len(inks)], found[len(inks) :]


def table(
    inks: Sequence[Group], marks: Sequence[Group], seen: Seen
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """What the forests are asked about: the strokes of lines, then the marks.

    Args:
        inks: the strokes of each line.
        marks: groups of strokes that are part of no line.
        seen: the picture and its maps.

    Returns:
        Which of both, in this order, have enough strokes to be judged, intp (G,); and their TERMS, float64 (G, T).
    """
    groups = [*inks, *marks]
    inked = [index for index, group in enumerate(groups) if ink_px(group, seen.threshold) >= FEWEST_INK_PX]
    return np.array(inked, np.intp), terms_of([groups[index] for index in inked], seen)
