"""Files of stacked crops, written by a process in the background, and the training that draws from them."""

from __future__ import annotations

import argparse
import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from crops import split_photographs, wait_for
from loop import Progress, run
from numpy.typing import NDArray

from cleanplate.evaluation.overlays import FontLibrary

_CHOSEN_SEED, _CHOSEN_FILES = 900_000, 4
_FIRST_FILES = 12
_REFRESH_DRAWS = 50
Crop = dict[str, NDArray[Any]]
# Photographs, fonts, folder, first seed, how many: writes that many files, each of arrays (N, ...) by name.
FillCache = Callable[[Sequence[Path], FontLibrary, Path, int, int], None]


class Stacks:
    """The files of a folder, read as they come to be."""

    def __init__(self, folder: Path, turned: Callable[[Mapping[str, NDArray[Any]], np.random.Generator], Crop]) -> None:
        """Starts empty.

        Args:
            folder: of the .npz files; all arrays of all of them are equally long.
            turned: what makes another crop of one, at random.
        """
        self._folder = folder
        self._turned = turned
        self._files: dict[Path, Crop] = {}
        self._draws = 0

    def refresh(self) -> int:
        """Reads files that came since; returns how many there are."""
        for path in sorted(self._folder.glob("*.npz")):
            if path not in self._files:
                with np.load(path) as stored:
                    self._files[path] = {name: stored[name] for name in stored.files}
        return len(self._files)

    def all(self) -> list[Crop]:
        """All files, in the order of their names."""
        return [self._files[path] for path in sorted(self._files)]

    def draw(self, size: int, rng: np.random.Generator) -> Crop:
        """Crops at random, each turned, stacked; looks for new files now and then."""
        if self._draws % _REFRESH_DRAWS == 0:
            self.refresh()
        self._draws += 1
        files = list(self._files.values())
        length = len(next(iter(files[0].values())))
        numbers = rng.integers(len(files) * length, size=size)
        found = [self._turned({k: v[n % length] for k, v in files[n // length].items()}, rng) for n in numbers]
        return {name: np.stack([crop[name] for crop in found]) for name in found[0]}


class StackTrainer(Protocol):
    """A trainer that takes its batches from stacks."""

    progress: Progress

    def step(self, crops: Stacks, share: float) -> float:
        """One batch; `share` of the time is over. Returns the loss."""
        ...

    def report(self, losses: Sequence[float], chosen: Stacks) -> None:
        """Measures on held-out photographs, exports weights and card, keeps the checkpoint."""
        ...


@contextmanager
def beside(make: Callable[..., None], *args: Any) -> Iterator[BaseProcess]:
    """Runs a maker of crops in a process of its own, as long as the block lasts."""
    maker = multiprocessing.get_context("spawn").Process(target=make, args=args, daemon=True)
    maker.start()
    try:
        yield maker
    finally:
        maker.terminate()


def train_on_stacks(
    args: argparse.Namespace,
    folder: Path,
    fill_cache: FillCache,
    start: Callable[[argparse.Namespace], StackTrainer],
    turned: Callable[[Mapping[str, NDArray[Any]], np.random.Generator], Crop],
) -> None:
    """Trains until the minutes are over, on crops that are made meanwhile.

    Args:
        args: photos, work, seed, files, minutes, validate_s.
        folder: of the crops; a training of another network may have made them.
        fill_cache: makes crops, in a process of its own: of held-out photographs first.
        start: makes the trainer once there are crops.
        turned: see `Stacks`.
    """
    args.work.mkdir(parents=True, exist_ok=True)
    folders = {folder / "chosen": _CHOSEN_FILES, folder / "train": _FIRST_FILES}
    with beside(_make, args, folder, fill_cache) as maker:
        for part, count in folders.items():
            wait_for(part, min(count, args.files), maker)
        chosen, crops = (Stacks(part, turned) for part in folders)
        chosen.refresh()
        trainer = start(args)
        run(
            trainer.progress, args.minutes, args.validate_s, lambda share: trainer.step(crops, share),
            lambda losses: trainer.report(losses, chosen),
        )  # fmt: skip


def _make(args: argparse.Namespace, folder: Path, fill_cache: FillCache) -> None:
    os.nice(5)
    train_photos, heldout = split_photographs(args.photos)
    fonts = FontLibrary.load("train")
    fill_cache(heldout, fonts, folder / "chosen", _CHOSEN_SEED, min(_CHOSEN_FILES, args.files))
    fill_cache(train_photos, fonts, folder / "train", args.seed * args.files, args.files)
