"""Trains the stroke network on photographs with drawn overlays, resuming from its checkpoint.

python training/train_strokes.py --photos DIR [DIR ...] --minutes 120
"""

from __future__ import annotations

import argparse
import copy
import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from card import write_stroke_card
from crops import Crop, fill_cache, read_crop, split_photographs, wait_for
from growing import grow
from loop import ROOT, Progress, Trainer, parsed, run
from muon import Muon
from stacks import beside
from torch import Tensor, nn
from torch.nn import functional

from cleanplate.evaluation.overlays import FontLibrary
from cleanplate.models.stroke_net import CHANNELS, FEATURE_STRIDES, MULTIPLE, WIDER, StrokeNet, load_stroke_net

_OVERLAY_WEIGHT = 2.0  # of the first channel, which masks are made of
_EMA = 0.997
_VALIDATE_S = 150.0
_FIRST_CROPS = 300
_BLIND = 0.1  # share of crops whose line map is withheld: text that PP-OCR misses is to be found too
_CHOSEN_CROPS = 96
_CALIBRATION_CROPS = 256
_CHOSEN_SEED = 9_000_000


@dataclass
class BestProgress(Progress):
    """Progress with the best score so far.

    Attributes:
        best: best validation score, the mean of the channels' soft Dice.
    """

    best: float = 0.0


def loss_of(logits: Tensor, truth: Tensor) -> Tensor:
    """Binary cross-entropy plus soft Dice (Milletari et al., 3DV 2016), the overlay channel weighing double.

    Args:
        logits: float (N, 7, H, W).
        truth: float (N, 7, H, W), 0..1.
    """
    weights = torch.ones(logits.shape[1], device=logits.device)
    weights[0] = _OVERLAY_WEIGHT
    weights = weights / weights.sum()
    entropy = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean(dim=(0, 2, 3))
    return ((entropy * 4 + 1 - soft_dice(torch.sigmoid(logits), truth)) * weights).sum()


def soft_dice(probability: Tensor, truth: Tensor) -> Tensor:
    """Soft Dice of each channel over a batch, float (7,), 0..1."""
    both = (probability * truth).sum(dim=(0, 2, 3))
    total = (probability.square() + truth.square()).sum(dim=(0, 2, 3))
    return (2 * both + 50) / (total + 50)


def to_tensors(crops: Sequence[Crop], device: str) -> tuple[Tensor, list[Tensor], Tensor]:
    """Pictures with line maps (N, 4, H, W) and truths (N, 7, H, W), float 0..1; between them PP-OCR's features."""

    def stacked(arrays: Sequence[np.ndarray[Any, Any]]) -> Tensor:
        return torch.from_numpy(np.stack(arrays)).to(device).float()

    pictures = stacked([crop.picture for crop in crops]).permute(0, 3, 1, 2).div(255)
    features = [stacked(level) for level in zip(*(crop.features for crop in crops), strict=True)]
    inputs = (each.contiguous(memory_format=torch.channels_last) for each in (pictures, *features))
    return next(inputs), list(inputs), stacked([crop.truth for crop in crops]).div(255)


def sample_batch(paths: Sequence[Path], size: int, rng: np.random.Generator, side_px: int) -> list[Crop]:
    """Crops at random, each cut to `side_px` at random, some with no line map."""
    crops = []
    for index in rng.integers(len(paths), size=size):
        crop = read_crop(paths[int(index)])
        top, left = (int(MULTIPLE * at) for at in rng.integers((len(crop.picture) - side_px) // MULTIPLE + 1, size=2))
        crop = _cut(crop, top, left, side_px)
        if rng.random() < _BLIND:
            crop = replace(crop, picture=np.dstack([crop.picture[..., :3], np.zeros_like(crop.picture[..., 3])]))
        crops.append(crop)
    return crops


def _cut(crop: Crop, top: int, left: int, side_px: int) -> Crop:
    """A part of a crop; all are multiples of 16."""

    def part(stride: int) -> tuple[slice, slice]:
        return tuple(slice(start // stride, (start + side_px) // stride) for start in (top, left))  # type: ignore[return-value]

    levels = zip(crop.features, FEATURE_STRIDES, strict=True)
    features = tuple(level[(slice(None), *part(stride))] for level, stride in levels)
    return Crop(crop.picture[part(1)], crop.truth[(slice(None), *part(1))], features)


def validate(network: nn.Module, paths: Sequence[Path], device: str) -> list[float]:
    """Soft Dice of each channel over some crops."""
    network.eval()
    sums = torch.zeros(3, len(CHANNELS))
    with torch.inference_mode():
        for start in range(0, len(paths), 8):
            pictures, features, truths = to_tensors([read_crop(path) for path in paths[start : start + 8]], device)
            found = torch.sigmoid(network(pictures, features))
            for row, value in enumerate((found * truths, found.square(), truths.square())):
                sums[row] += value.sum(dim=(0, 2, 3)).cpu()
    return [float(value) for value in 2 * sums[0] / (sums[1] + sums[2] + 1e-6)]


def calibrate(network: nn.Module, paths: Sequence[Path], device: str) -> nn.Module:
    """A copy whose statistics of normalisation are those of its own weights (Izmailov et al., UAI 2018).

    Averaged weights see other features than the weights whose running statistics they carry.

    Args:
        network: with averaged weights.
        paths: crops to train on; about 256 of them are used.
        device: of the network.
    """
    copied = copy.deepcopy(network).train()
    for module in copied.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # a plain mean over the batches
    chosen = paths[:: max(1, len(paths) // _CALIBRATION_CROPS)]
    with torch.no_grad():
        for start in range(0, len(chosen), 8):
            copied(*to_tensors([read_crop(path) for path in chosen[start : start + 8]], device)[:2])
    return copied.eval()


class StrokeTrainer(Trainer):
    """The stroke network in training; its score is the mean of the channels' soft Dice."""

    def __init__(self, args: argparse.Namespace) -> None:
        """Makes the network, or takes it from the checkpoint, or else from the weights to start from."""
        super().__init__(
            args,
            lambda: _network(args),
            lambda network: _optimizer(network, args),
            _EMA,
            BestProgress(),
        )
        self._reader = ThreadPoolExecutor(max_workers=1)
        self._coming: Future[list[Crop]] | None = None

    def step(self, paths: Sequence[Path], share: float) -> float:
        """One batch; `share` of the time is over. Returns the loss."""
        self.network.train()
        coming = self._coming or self._read(paths)
        self._coming = self._read(paths)  # the next one, while this one is learnt from
        pictures, features, truths = to_tensors(coming.result(), self.args.device)
        return self.learn(share, lambda: loss_of(self.network(pictures, features).float(), truths), 2.0)

    def _read(self, paths: Sequence[Path]) -> Future[list[Crop]]:
        return self._reader.submit(sample_batch, list(paths), self.args.batch, self.rng, self.args.side)

    def report(self, losses: Sequence[float], paths: Sequence[Path], chosen: Sequence[Path]) -> None:
        """Validates, keeps the checkpoint, and exports weights and card where the score is the best so far."""
        network = calibrate(self.mean, paths, self.args.device)
        dice = dict(zip(CHANNELS, validate(network, chosen, self.args.device), strict=True))
        score = float(np.mean(list(dice.values())))
        self.record(losses, (score,), " ".join(f"{name}={value:.3f}" for name, value in dice.items()))
        progress = cast(BestProgress, self.progress)
        if score > progress.best:
            progress.best = score
            self.export(lambda *told: write_stroke_card(*told, dice), network=network)
        self.save()


def _network(args: argparse.Namespace) -> StrokeNet:
    """The network to start with; the wide one may begin as what a narrow one has learnt."""
    network = StrokeNet(WIDER, deeper=True) if args.wide else StrokeNet()
    if args.start:
        grow(network, load_stroke_net(args.start).state_dict())
    return network


def _optimizer(network: nn.Module, args: argparse.Namespace) -> torch.optim.Optimizer:
    """What each of them was trained by and measured with."""
    if args.wide:
        return Muon(network, args.rate)
    return torch.optim.AdamW(network.parameters(), lr=args.rate, weight_decay=0.01)


def _make_crops(args: argparse.Namespace) -> None:
    """Runs in a process of its own: first the crops that choose the best step, then those to train on.

    The step is chosen on held-out photographs with the training fonts: held-out fonts are for measuring only.
    """
    os.nice(5)
    train, heldout = split_photographs(args.photos)
    fonts = FontLibrary.load("train")
    fill_cache(heldout, fonts, args.work / "chosen", _CHOSEN_SEED, _CHOSEN_CROPS)
    bare = split_photographs(args.bare)[0] if args.bare else []
    fill_cache(train, fonts, args.work / "train", args.seed, args.crops, bare)


def train(args: argparse.Namespace) -> None:
    """Trains until the minutes are over."""
    args.work.mkdir(parents=True, exist_ok=True)
    with beside(_make_crops, args) as maker:
        wait_for(args.work / "chosen", min(_CHOSEN_CROPS, args.crops), maker)
        wait_for(args.work / "train", min(_FIRST_CROPS, args.crops), maker)
        chosen = sorted((args.work / "chosen").glob("*.npz"))
        trainer = StrokeTrainer(args)
        paths: list[Path] = []

        def listed() -> list[Path]:
            return sorted((args.work / "train").glob("*.npz"))

        def step(share: float) -> float:
            if trainer.progress.steps % 50 == 0 or not paths:
                paths[:] = listed()
            return trainer.step(paths, share)

        run(
            trainer.progress, args.minutes, args.validate_s, step,
            lambda losses: trainer.report(losses, listed(), chosen),
        )  # fmt: skip


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, nargs="+", required=True, help="folders of photographs")
    parser.add_argument("--bare", type=Path, nargs="*", default=[], help="more, with nothing on them: no caption")
    parser.add_argument("--work", type=Path, default=ROOT / ".work/strokes", help="crops and checkpoint")
    parser.add_argument("--out", type=Path, default=ROOT / "lib/cleanplate/weights/strokes.safetensors")
    parser.add_argument("--start", type=Path, help="weights to start from, such as the package's; a checkpoint wins")
    parser.add_argument("--wide", action="store_true", help="train the wide network; --start may be a narrow one's")
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--crops", type=int, default=6000, help="how many crops are kept to draw from, 1.8 MB each")
    parser.add_argument("--batch", type=int, default=6)
    parser.add_argument("--side", type=int, default=256, help="side of what is cut from a crop, multiple of 16")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--validate-s", type=float, default=_VALIDATE_S)
    return parsed(parser, argv)


if __name__ == "__main__":
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    train(arguments)
