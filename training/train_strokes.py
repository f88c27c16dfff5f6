"""Trains the stroke network on photographs with drawn overlays, resuming from its checkpoint.

python training/train_strokes.py --photos DIR [DIR ...] --minutes 120
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import multiprocessing
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from card import write_card
from crops import fill_cache, read_crop, split_photographs, wait_for
from loop import ROOT, average, command, descend, load_checkpoint, parsed, run, save_checkpoint, schedule, set_rate
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from cleanplate.evaluation.overlays import FontLibrary
from cleanplate.models.stroke_net import CHANNELS, StrokeNet, load_stroke_net

_OVERLAY_WEIGHT = 2.0  # of the first channel, which masks are made of
_EMA = 0.995
_VALIDATE_S = 150.0
_FIRST_CROPS = 300
_BLIND = 0.15  # share of crops whose line map is withheld: text that PP-OCR misses is to be found too
_CHOSEN_CROPS = 96
_CALIBRATION_CROPS = 256
_CHOSEN_SEED = 9_000_000


@dataclass
class Progress:
    """How far the training is, over all calls.

    Attributes:
        steps: batches seen.
        seconds: spent in the loop.
        best: best validation score, the mean of the channels' soft Dice.
        losses: mean loss of the batches between two validations.
        scores: (steps, score) of each validation.
        command: how the last call was made.
    """

    steps: int = 0
    seconds: float = 0.0
    best: float = 0.0
    losses: list[float] = field(default_factory=list)
    scores: list[tuple[int, float]] = field(default_factory=list)
    command: str = ""


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


def to_tensors(crops: Sequence[tuple[np.ndarray, np.ndarray]], device: str) -> tuple[Tensor, Tensor]:
    """Pictures with line maps (N, 4, H, W) and truths (N, 7, H, W), float 0..1."""
    pictures = torch.from_numpy(np.stack([picture for picture, _ in crops])).to(device)
    truths = torch.from_numpy(np.stack([truth for _, truth in crops])).to(device)
    pictures = pictures.permute(0, 3, 1, 2).float().div(255).contiguous(memory_format=torch.channels_last)
    return pictures, truths.float().div(255)


def sample_batch(paths: Sequence[Path], size: int, rng: np.random.Generator, side_px: int) -> list:
    """Crops at random, each cut to `side_px` at random, some with gamma or swapped colours, some with no line map."""
    crops = []
    for index in rng.integers(len(paths), size=size):
        picture, truth = read_crop(paths[int(index)])
        top, left = rng.integers(picture.shape[0] - side_px + 1, size=2)
        cut = (slice(top, top + side_px), slice(left, left + side_px))
        crops.append((_recolour(picture[cut], rng), truth[(slice(None), *cut)]))
    return crops


def _recolour(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    colours, lines = picture[..., :3], picture[..., 3]
    if rng.random() < 0.3:
        table = np.round(255 * (np.arange(256) / 255) ** np.exp(rng.normal(0, 0.3))).astype(np.uint8)
        colours = table[colours]
    if rng.random() < 0.2:
        colours = colours[..., rng.permutation(3)]
    if rng.random() < _BLIND:
        lines = np.zeros_like(lines)
    return np.dstack([colours, lines])


def validate(network: nn.Module, paths: Sequence[Path], device: str) -> list[float]:
    """Soft Dice of each channel over some crops."""
    network.eval()
    sums = torch.zeros(3, len(CHANNELS))
    with torch.inference_mode():
        for start in range(0, len(paths), 8):
            pictures, truths = to_tensors([read_crop(path) for path in paths[start : start + 8]], device)
            found = torch.sigmoid(network(pictures))
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
            copied(to_tensors([read_crop(path) for path in chosen[start : start + 8]], device)[0])
    return copied.eval()


class Trainer:
    """The loop with its optimiser, averaged weights and checkpoint."""

    def __init__(self, args: argparse.Namespace) -> None:
        """Makes the network, or takes it from the checkpoint, or else from the weights to start from."""
        torch.manual_seed(args.seed)
        self.args = args
        self.device = args.device
        network = load_stroke_net(args.start) if args.start else StrokeNet()
        self.network = network.to(self.device, memory_format=torch.channels_last)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=args.rate, weight_decay=0.01)
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self.progress = Progress()
        self.checkpoint = args.work / "checkpoint.pt"
        if self.checkpoint.exists():
            self._resume()
        if args.minutes > 0 or not self.progress.command:  # no minutes: only calibrate, measure and export
            self.progress.command = command()
        self.rng = np.random.default_rng([args.seed, self.progress.steps])

    def _resume(self) -> None:
        self.progress = Progress(**load_checkpoint(self.checkpoint, self._parts(), self.device))
        print(f"resumes at step {self.progress.steps}, best score {self.progress.best:.3f}", flush=True)

    def _parts(self) -> dict[str, Any]:
        """What a checkpoint holds besides the progress."""
        return {"network": self.network, "average": self.average, "optimizer": self.optimizer}

    def save(self) -> None:
        """Writes the checkpoint."""
        save_checkpoint(self.checkpoint, self._parts(), self.progress)

    def step(self, paths: Sequence[Path], share: float) -> float:
        """One batch; `share` of the time is over. Returns the loss."""
        self.network.train()
        set_rate(self.optimizer, self.args.rate * schedule(share))
        batch = sample_batch(paths, self.args.batch, self.rng, self.args.side)
        pictures, truths = to_tensors(batch, self.device)
        with torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=self.args.precision == "bf16"):
            logits = self.network(pictures)
        loss = loss_of(logits.float(), truths)
        value = descend(self.network, self.optimizer, loss, 2.0)
        self.progress.steps += 1
        average(self.average, self.network, self.progress.steps, _EMA)
        return value

    def report(self, losses: Sequence[float], paths: Sequence[Path], chosen: Sequence[Path]) -> None:
        """Validates, keeps the checkpoint, and exports weights and card where the score is the best so far."""
        network = calibrate(self.average, paths, self.device)
        dice = validate(network, chosen, self.device)
        score = float(np.mean(dice))
        progress = self.progress
        progress.losses.append(float(np.mean(losses)) if losses else progress.losses[-1])
        progress.scores.append((progress.steps, score))
        shown = " ".join(f"{name}={value:.3f}" for name, value in zip(CHANNELS, dice, strict=True))
        print(f"step {progress.steps} {progress.seconds:.0f} s loss {progress.losses[-1]:.4f} {shown}", flush=True)
        if score > progress.best:
            progress.best = score
            export(network, progress, dict(zip(CHANNELS, dice, strict=True)), self.args.out)
        self.save()


def export(network: nn.Module, progress: Progress, dice: dict[str, float], out: Path) -> None:
    """Writes weights, float32, and their card."""
    save_file({name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}, out)
    out.chmod(0o644)
    digest = hashlib.sha256(out.read_bytes()).hexdigest()
    parameters = sum(value.numel() for value in network.parameters())
    write_card(out.with_suffix(".md"), asdict(progress), dice, digest, parameters)


def _make_crops(args: argparse.Namespace) -> None:
    """Runs in a process of its own: first the crops that choose the best step, then those to train on.

    The step is chosen on held-out photographs with the training fonts: held-out fonts are for measuring only.
    """
    os.nice(5)
    train, heldout = split_photographs(args.photos)
    fonts = FontLibrary.load("train")
    fill_cache(heldout, fonts, args.work / "chosen", _CHOSEN_SEED, _CHOSEN_CROPS)
    fill_cache(train, fonts, args.work / "train", args.seed, args.crops)


def train(args: argparse.Namespace) -> None:
    """Trains until the minutes are over."""
    args.work.mkdir(parents=True, exist_ok=True)
    maker = multiprocessing.get_context("spawn").Process(target=_make_crops, args=(args,), daemon=True)
    maker.start()
    wait_for(args.work / "chosen", min(_CHOSEN_CROPS, args.crops), maker)
    wait_for(args.work / "train", min(_FIRST_CROPS, args.crops), maker)
    chosen = sorted((args.work / "chosen").glob("*.npz"))
    trainer = Trainer(args)
    paths: list[Path] = []

    def listed() -> list[Path]:
        return sorted((args.work / "train").glob("*.npz"))

    def step(share: float) -> float:
        if trainer.progress.steps % 50 == 0 or not paths:
            paths[:] = listed()
        return trainer.step(paths, share)

    run(trainer.progress, args.minutes, args.validate_s, step, lambda losses: trainer.report(losses, listed(), chosen))
    maker.terminate()


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, nargs="+", required=True, help="folders of photographs")
    parser.add_argument("--work", type=Path, default=ROOT / ".work/strokes", help="crops and checkpoint")
    parser.add_argument("--out", type=Path, default=ROOT / "lib/cleanplate/weights/strokes.safetensors")
    parser.add_argument("--start", type=Path, help="weights to start from, such as the package's; a checkpoint wins")
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--crops", type=int, default=6000, help="how many crops are kept to draw from")
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
