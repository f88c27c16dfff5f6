"""Trains the fill network on photographs with holes, resuming from its checkpoint.

python training/train_fill.py --photos DIR [DIR ...] --minutes 100
"""

from __future__ import annotations

import argparse
import copy
import multiprocessing
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from card import write_fill_card
from crops import split_photographs, wait_for
from holes import CROPS_PER_FILE, fill_cache
from loop import ROOT, average, command, descend, load_checkpoint, parsed, run, save_checkpoint, schedule, set_rate
from perceptual import VGG, Perceptual
from safetensors.torch import save_file
from torch import Tensor, nn

from cleanplate.evaluation.overlays import FontLibrary
from cleanplate.models.fill_net import FillNet, load_fill_net

_EMA = 0.998
_FLOOR = 1e-5  # of a crop's mean squared error: below 50 dB there is nothing to gain
_CHOSEN_SEED, _CHOSEN_FILES = 900_000, 4
_FIRST_FILES = 12


@dataclass
class Progress:
    """How far the training is, over all calls.

    Attributes:
        steps: batches seen.
        seconds: spent in the loop.
        losses: mean loss of the batches between two validations.
        scores: (steps, gain in dB over the mean of the given fills, and over the best of them) of each validation.
        command: how the last call was made.
    """

    steps: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    scores: list[tuple[int, float, float]] = field(default_factory=list)
    command: str = ""


class Crops:
    """The files of a folder, read as they come to be."""

    def __init__(self, folder: Path) -> None:
        """Starts empty."""
        self._folder = folder
        self._files: dict[Path, dict[str, np.ndarray]] = {}

    def refresh(self) -> int:
        """Reads files that came since; returns how many there are."""
        for path in sorted(self._folder.glob("*.npz")):
            if path not in self._files:
                with np.load(path) as stored:
                    self._files[path] = {name: stored[name] for name in stored.files}
        return len(self._files)

    def all(self) -> list[dict[str, np.ndarray]]:
        """All files, in the order of their names."""
        return [self._files[path] for path in sorted(self._files)]

    def draw(self, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Crops at random, turned and flipped: fills (N, K, H, W, 3), hole (N, H, W), truth (N, H, W, 3), uint8."""
        files = list(self._files.values())
        found = []
        for number in rng.integers(len(files) * CROPS_PER_FILE, size=size):
            stored, place = files[number // CROPS_PER_FILE], number % CROPS_PER_FILE
            found.append(_turned(stored["fills"][place], stored["hole"][place], stored["truth"][place], rng))
        fills, holes, truths = zip(*found, strict=True)
        return np.stack(fills), np.stack(holes), np.stack(truths)


def _turned(
    fills: np.ndarray, hole: np.ndarray, truth: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    turns, flip, order = int(rng.integers(4)), bool(rng.random() < 0.5), rng.permutation(3)

    def one(values: np.ndarray, rows: int) -> np.ndarray:
        values = np.rot90(values, turns, (rows, rows + 1))
        return np.flip(values, rows + 1) if flip else values

    return one(fills, 1)[..., order], one(hole, 0), one(truth, 0)[..., order]


def to_tensors(batch: Sequence[np.ndarray], device: str) -> tuple[Tensor, Tensor, Tensor]:
    """Fills (N, K, 3, H, W), hole (N, 1, H, W), truth (N, 3, H, W), float 0..1."""
    fills, holes, truths = (torch.from_numpy(np.ascontiguousarray(part)).to(device) for part in batch)
    return (
        fills.permute(0, 1, 4, 2, 3).float().div(255),
        holes[:, None].float(),
        truths.permute(0, 3, 1, 2).float().div(255),
    )


def errors(filled: Tensor, hole: Tensor, truth: Tensor) -> Tensor:
    """Mean squared error of each crop inside its hole, float (N,)."""
    squared = ((filled - truth).square() * hole).sum(dim=(1, 2, 3))
    return squared / (3 * hole.sum(dim=(1, 2, 3))).clamp_min(1)


class Trainer:
    """The loop with its optimiser, averaged weights and checkpoint."""

    def __init__(self, args: argparse.Namespace) -> None:
        """Makes the network, or takes it from the checkpoint, or else from the weights to start from."""
        torch.manual_seed(args.seed)
        self.args = args
        network = load_fill_net(args.start).train() if args.start else FillNet()
        self.network = network.to(args.device, memory_format=torch.channels_last)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=args.rate, weight_decay=1e-4)
        self.mean = copy.deepcopy(self.network).requires_grad_(False)
        self.perceptual = Perceptual(args.vgg).to(args.device) if args.perceptual else None
        self.progress = Progress()
        self.checkpoint = args.work / "checkpoint.pt"
        if self.checkpoint.exists():
            self._resume()
        self.progress.command = command()
        self.rng = np.random.default_rng([args.seed, self.progress.steps])

    def _resume(self) -> None:
        self.progress = Progress(**load_checkpoint(self.checkpoint, self._parts(), self.args.device))
        print(f"resumes at step {self.progress.steps}", flush=True)

    def _parts(self) -> dict[str, Any]:
        """What a checkpoint holds besides the progress."""
        return {"network": self.network, "mean": self.mean, "optimizer": self.optimizer}

    def save(self) -> None:
        """Writes the checkpoint."""
        save_checkpoint(self.checkpoint, self._parts(), self.progress)

    def step(self, crops: Crops, share: float) -> float:
        """One batch; `share` of the time is over. Returns the loss: mean log of each crop's error, natural."""
        set_rate(self.optimizer, self.args.rate * schedule(share))
        fills, hole, truth = to_tensors(crops.draw(self.args.batch, self.rng), self.args.device)
        with torch.autocast(torch.device(self.args.device).type, torch.bfloat16, enabled=self.args.precision == "bf16"):
            filled = self.network(fills, hole).float()
            loss = (errors(filled, hole, truth) + _FLOOR).log().mean()
            if self.perceptual is not None:
                loss = loss + self.args.perceptual * self.perceptual(filled, truth)
        value = descend(self.network, self.optimizer, loss, 1.0)
        self.progress.steps += 1
        average(self.mean, self.network, self.progress.steps, _EMA)
        return value

    def report(self, losses: Sequence[float], chosen: Crops) -> None:
        """Measures on held-out photographs, exports weights and card, keeps the checkpoint."""
        gains = measure(self.mean, chosen.all(), self.args.device)
        progress = self.progress
        progress.losses.append(float(np.mean(losses)) if losses else 0.0)
        progress.scores.append((progress.steps, *gains))
        print(
            f"step {progress.steps} {progress.seconds:.0f} s loss {progress.losses[-1]:.4f} "
            f"over the mean {gains[0]:+.3f} dB, over the best {gains[1]:+.3f} dB", flush=True,
        )  # fmt: skip
        weights = {name: value.detach().cpu().half().contiguous() for name, value in self.mean.state_dict().items()}
        save_file(weights, self.args.out)
        self.args.out.chmod(0o644)
        write_fill_card(self.args.out, asdict(progress), sum(value.numel() for value in self.mean.parameters()))
        self.save()


def measure(network: nn.Module, files: Sequence[dict[str, np.ndarray]], device: str) -> tuple[float, float]:
    """Mean gain in dB inside the hole over the mean of the given fills, and over the best of them (by mean)."""
    logs: dict[str, list[Tensor]] = {"network": [], "mean": []}
    network.eval()
    with torch.inference_mode():
        for stored in files:
            fills, hole, truth = to_tensors((stored["fills"], stored["hole"], stored["truth"]), device)
            logs["network"].append(errors(network(fills, hole), hole, truth))
            logs["mean"].append(errors(fills.mean(dim=1), hole, truth))
            for number in range(fills.shape[1]):
                logs.setdefault(str(number), []).append(errors(fills[:, number], hole, truth))
    network.train()
    decibels = {k: float((-10 * (torch.cat(v) + _FLOOR).log10()).mean()) for k, v in logs.items()}
    best = max(value for name, value in decibels.items() if name.isdigit())
    return decibels["network"] - decibels["mean"], decibels["network"] - best


def _make_crops(args: argparse.Namespace) -> None:
    """Runs in a process of its own: first the crops of held-out photographs, then those to train on."""
    os.nice(5)
    train_photos, heldout = split_photographs(args.photos)
    fonts = FontLibrary.load("train")
    fill_cache(heldout, fonts, args.work / "chosen", _CHOSEN_SEED, min(_CHOSEN_FILES, args.files))
    fill_cache(train_photos, fonts, args.work / "train", args.seed * args.files, args.files)


def train(args: argparse.Namespace) -> None:
    """Trains until the minutes are over."""
    args.work.mkdir(parents=True, exist_ok=True)
    maker = multiprocessing.get_context("spawn").Process(target=_make_crops, args=(args,), daemon=True)
    maker.start()
    folders = {args.work / "chosen": _CHOSEN_FILES, args.work / "train": _FIRST_FILES}
    for folder, count in folders.items():
        wait_for(folder, min(count, args.files), maker)
    chosen, crops = (Crops(folder) for folder in folders)
    for each in (chosen, crops):
        each.refresh()
    trainer = Trainer(args)

    def step(share: float) -> float:
        if trainer.progress.steps % 50 == 0:
            crops.refresh()
        return trainer.step(crops, share)

    run(trainer.progress, args.minutes, args.validate_s, step, lambda losses: trainer.report(losses, chosen))
    maker.terminate()


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, nargs="+", required=True, help="folders of photographs")
    parser.add_argument("--work", type=Path, default=ROOT / ".work/fill", help="crops and checkpoint")
    parser.add_argument("--out", type=Path, default=ROOT / "lib/cleanplate/weights/fill.safetensors")
    parser.add_argument("--start", type=Path, help="weights to start from, such as the package's; a checkpoint wins")
    parser.add_argument("--minutes", type=float, default=100.0)
    parser.add_argument("--files", type=int, default=320, help=f"how many files of {CROPS_PER_FILE} crops are made")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=5e-4)
    parser.add_argument("--perceptual", type=float, default=0.0, help="weight of VGG16's features in the loss")
    parser.add_argument("--vgg", type=Path, default=VGG)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--validate-s", type=float, default=200.0)
    return parsed(parser, argv)


if __name__ == "__main__":
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    train(arguments)
