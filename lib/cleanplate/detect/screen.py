"""Tells overlays from what the photograph itself shows: how likely a line's strokes, or a mark's, lie on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from scipy.special import expit, logit

from cleanplate.detect.components import Group
from cleanplate.detect.terms import TERMS, Seen, ink_px, terms_of
from cleanplate.errors import ModelError

FEWEST_INK_PX = 12  # what has fewer is neither
MODELS = ("lines", "marks")
LOOKED_AT = ("lines",)  # of MODELS
FOREST, LOOKS = ("term", "limit", "lower", "upper", "odds", "start"), ("weight", "offset")
_UNLIKELY = 0.3  # chance by the forest up to which the look of a group is not asked too: it takes longer
_LOOKS_WEIGHT = 0.7  # of its odds, beside the forest's
_LEAST_CHANCE = 0.01  # neither may outweigh the other by more

Look = Callable[[NDArray[np.uint8], Sequence[Group]], NDArray[np.float32]]


@dataclass(frozen=True)
class Forest:
    """Boosted trees (Friedman, 2002) over TERMS, fitted by `training/fit_screen.py`.

    Attributes:
        term: int32 (trees, nodes), what a node asks about; -1 at a leaf.
        limit: float32, likewise: up to it to the lower child, beyond it to the upper one.
        lower: int32, likewise.
        upper: int32, likewise.
        odds: float32, likewise: what a leaf adds to the log odds; 0 elsewhere.
        start: float32 (1,), the log odds that they are added to.
    """

    term: NDArray[np.int32]
    limit: NDArray[np.float32]
    lower: NDArray[np.int32]
    upper: NDArray[np.int32]
    odds: NDArray[np.float32]
    start: NDArray[np.float32]

    def chances(self, terms: NDArray[np.float64]) -> NDArray[np.float64]:
        """How likely groups are overlays, float64 (G,), 0..1.

        Args:
            terms: float64 (G, T), one row of `terms_of` per group.
        """
        trees = np.arange(len(self.term))[None]
        rows = np.arange(len(terms))[:, None]
        node = np.zeros((len(terms), len(self.term)), np.int32)
        while (asked := self.term[trees, node]).max(initial=-1) >= 0:
            below = terms[rows, np.maximum(asked, 0)].astype(np.float32) <= self.limit[trees, node]
            node = np.where(asked < 0, node, np.where(below, self.lower[trees, node], self.upper[trees, node]))
        return np.asarray(expit(self.start[0] + self.odds[trees, node].sum(axis=1, dtype=np.float64)))


@dataclass(frozen=True)
class Looks:
    """A logistic regression on the features of `detect/appearance.py`, fitted with the forests.

    Attributes:
        weight: float32 (F,), of each feature.
        offset: float32 (1,).
    """

    weight: NDArray[np.float32]
    offset: NDArray[np.float32]

    def chances(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """How likely groups are overlays, float64 (G,), 0..1.

        Args:
            features: float32 (G, F).
        """
        return np.asarray(expit(features.astype(np.float64) @ self.weight + self.offset[0]))


@dataclass(frozen=True)
class Judge:
    """The judges of lines, or of marks: a forest of the groups' terms, and of likely lines also their looks.

    Marks are of all shapes: in photographs that neither judge knows their looks say less than nothing.
    """

    forest: Forest
    looks: Looks | None = None

    def chances(
        self, terms: NDArray[np.float64], features_of: Callable[[NDArray[np.intp]], NDArray[np.float32]]
    ) -> NDArray[np.float64]:
        """How likely groups are overlays, float64 (G,), 0..1.

        Args:
            terms: float64 (G, T), one row of `terms_of` per group.
            features_of: makes features, float32 (N, F), of the groups of N rows.
        """
        chance = self.forest.chances(terms)
        likely = np.flatnonzero(chance > _UNLIKELY)
        if self.looks is not None and len(likely):
            chance[likely] = _mean_odds(chance[likely], self.looks.chances(features_of(likely)))
        return chance


@cache
def load_screen() -> Mapping[str, Judge]:
    """The packaged judges of "lines" and "marks".

    Raises:
        ModelError: their file is of other terms than this module.
    """
    packaged = resources.files("cleanplate.weights").joinpath("screen.safetensors")
    with resources.as_file(packaged) as path, safe_open(path, framework="numpy") as stored:
        if (stored.metadata() or {}).get("terms", "").split() != list(TERMS):
            raise ModelError(f"{packaged} is of other terms: run training/fit_screen.py again")

        def parts(name: str, names: Sequence[str]) -> dict[str, NDArray[Any]]:
            return {part: stored.get_tensor(f"{name}.{part}") for part in names}

        return {
            name: Judge(Forest(**parts(name, FOREST)), Looks(**parts(name, LOOKS)) if name in LOOKED_AT else None)
            for name in MODELS
        }


def chances(
    inks: Sequence[Group], marks: Sequence[Group], seen: Seen, look: Look
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How likely the strokes of lines of text, and groups that are no line, lie on the picture and not in it.

    Args:
        inks: the strokes of each of L lines.
        marks: M groups of strokes that are part of no line.
        seen: the picture and its maps.
        look: makes features of groups, float32 (G, F), from a picture and the groups (`Appearance.features`).

    Returns:
        float64 (L,) and (M,), 0..1; 0 for what has too few strokes.
    """
    groups = [*inks, *marks]
    found = np.zeros(len(groups))
    inked, terms = table(inks, marks, seen)
    is_line = inked < len(inks)
    for name, own in zip(MODELS, (is_line, ~is_line), strict=True):
        if own.any():
            members = [groups[index] for index in inked[own]]
            found[inked[own]] = _judged(load_screen()[name], members, terms[own], seen, look)
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


def log_odds(chances: NDArray[np.float64], least: float) -> NDArray[np.float64]:
    """The logarithms of the odds of chances, which count as no less than `least` and no more than 1 - `least`."""
    return np.asarray(logit(np.clip(chances, least, 1 - least)))


def _judged(
    judge: Judge, members: Sequence[Group], terms: NDArray[np.float64], seen: Seen, look: Look
) -> NDArray[np.float64]:
    return judge.chances(terms, lambda rows: look(seen.picture, [members[int(row)] for row in rows]))


def _mean_odds(by_forest: NDArray[np.float64], by_looks: NDArray[np.float64]) -> NDArray[np.float64]:
    forest, looks = (log_odds(chance, _LEAST_CHANCE) for chance in (by_forest, by_looks))
    return np.asarray(expit((forest + _LOOKS_WEIGHT * looks) / (1 + _LOOKS_WEIGHT)))
