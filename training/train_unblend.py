"""Trains the un-blending network on marks whose ground is known, resuming from its checkpoint.

python training/train_unblend.py --photos DIR [DIR ...] --minutes 80
"""

from __future__ import annotations

import argparse
import copy
import multiprocessing
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from card import write_unblend_card
from crops import split_photographs, wait_for
from loop import ROOT, average, command, descend, load_checkpoint, parsed, run, save_checkpoint, schedule, set_rate
from marks import CROPS_PER_FILE, fill_cache
from muon import Muon
from safetensors.torch import save_file
from torch import Tensor, nn

from cleanplate.evaluation.overlays import FontLibrary
from cleanplate.models.unblend_net import MOST_OPACITY, UnblendNet, Uncovered, inverted, load_unblend_net

_EMA = 0.998
_FLOOR = 1e-5  # of a crop's mean squared error: below 50 dB there is nothing to gain
_OPACITY_WEIGHT = 1.0  # of the mean error of the opacity, beside the logarithm of the picture's
_UNDER_WEIGHT = 4.0  # of the mean error of what inverting gives, where enough of the ground shines through
_SHINES_THROUGH = 0.8  # opacity up to which it does
_CHOSEN_SEED, _CHOSEN_FILES = 900_000, 4
_FIRST_FILES = 12
_GIVEN = ("picture", "guess", "colour", "opacity", "most", "own")
_KNOWN = ("truth", "alpha")


@dataclass
class Progress:
    """How far the training is, over all calls.

    Attributes:
        steps: batches seen.
        seconds: spent in the loop.
        losses: mean loss of the batches between two validations.
        scores: (steps, PSNR in dB of the guess, of the estimate inverted as it is, of the network's picture) of each
            validation.
        command: how the last call was made.
    """

    steps: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    scores: list[tuple[int, float, float, float]] = field(default_factory=list)
    command: str = ""


class Crops:
    """The files of a folder, read as they come to be."""

    def __init__(self, folder: Path) -> None:
        """Starts empty."""
        self._folder = folder
        self._files: dict[Path, dict[str, np.ndarray]] = {}

    def refresh(self) -> None:
        """Reads files that came since."""
        for path in sorted(self._folder.glob("*.npz")):
            if path not in self._files:
                with np.load(path) as stored:
                    self._files[path] = {name: stored[name] for name in stored.files}

    def all(self) -> list[dict[str, np.ndarray]]:
        """All files, in the order of their names."""
        return [self._files[path] for path in sorted(self._files)]

    def draw(self, size: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Crops at random, turned, flipped, their colours permuted and some of them negatives; as `marks.cut_marks`."""
        files = list(self._files.values())
        numbers = rng.integers(len(files) * CROPS_PER_FILE, size=size)
        found = [
            _turned({k: v[n % CROPS_PER_FILE] for k, v in files[n // CROPS_PER_FILE].items()}, rng) for n in numbers
        ]
        return {name: np.stack([crop[name] for crop in found]) for name in found[0]}


def _turned(crop: Mapping[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
    turns, flip, negative, order = int(rng.integers(4)), rng.random() < 0.5, rng.random() < 0.5, rng.permutation(3)

    def one(values: np.ndarray) -> np.ndarray:
        values = np.rot90(values, turns)
        values = np.flip(values, 1) if flip else values
        if values.ndim < 3:
            return values
        return 255 - values[..., order] if negative else values[..., order]

    return {name: one(values) for name, values in crop.items()}


def to_tensors(crops: Mapping[str, np.ndarray], device: str) -> dict[str, Tensor]:
    """The planes as float (N, C, H, W), 0..1."""

    def one(name: str) -> Tensor:
        values = torch.from_numpy(np.ascontiguousarray(crops[name])).to(device).float()
        values = values.permute(0, 3, 1, 2) if values.ndim > 3 else values[:, None]
        return values if name == "own" else values / 255

    return {name: one(name) for name in (*_GIVEN, *_KNOWN)}


def errors(picture: Tensor, truth: Tensor, own: Tensor) -> Tensor:
    """Mean squared error of each crop where the mark may be, float (N,)."""
    squared = ((picture - truth).square() * own).sum(dim=(1, 2, 3))
    return squared / (3 * own.sum(dim=(1, 2, 3))).clamp_min(1)


class Trainer:
    """The loop with its optimiser, averaged weights and checkpoint."""

    def __init__(self, args: argparse.Namespace) -> None:
        """Makes the network, or takes it from the checkpoint, or else from the weights to start from."""
        torch.manual_seed(args.seed)
        self.args = args
        network = load_unblend_net(args.start).train() if args.start else UnblendNet()
        self.network = network.to(args.device, memory_format=torch.channels_last)
        self.optimizer = Muon(self.network, args.rate)
        self.mean = copy.deepcopy(self.network).requires_grad_(False)
        self.progress = Progress()
        self.checkpoint = args.work / "checkpoint.pt"
        if self.checkpoint.exists():
            self.progress = Progress(**load_checkpoint(self.checkpoint, self._parts(), args.device))
            print(f"resumes at step {self.progress.steps}", flush=True)
        self.progress.command = command()
        self.rng = np.random.default_rng([args.seed, self.progress.steps])

    def _parts(self) -> dict[str, Any]:
        """What a checkpoint holds besides the progress."""
        return {"network": self.network, "mean": self.mean, "optimizer": self.optimizer}

    def step(self, crops: Crops, share: float) -> float:
        """One batch; `share` of the time is over. Returns the loss."""
        set_rate(self.optimizer, self.args.rate * schedule(share))
        batch = to_tensors(crops.draw(self.args.batch, self.rng), self.args.device)
        with torch.autocast(torch.device(self.args.device).type, torch.bfloat16, enabled=self.args.precision == "bf16"):
            found = Uncovered(*(values.float() for values in self.network(*(batch[name] for name in _GIVEN))))
        own = batch["own"]
        wrong = ((found.opacity - batch["alpha"]).abs() * own).sum() / own.sum()
        clear = own * (batch["alpha"] < _SHINES_THROUGH)
        off = ((found.under - batch["truth"]).abs() * clear).sum() / (3 * clear.sum()).clamp_min(1)
        loss = (errors(found.picture, batch["truth"], own) + _FLOOR).log().mean()
        loss = loss + _OPACITY_WEIGHT * wrong + _UNDER_WEIGHT * off
        value = descend(self.network, self.optimizer, loss, 1.0)
        self.progress.steps += 1
        average(self.mean, self.network, self.progress.steps, _EMA)
        return value

    def report(self, losses: Sequence[float], chosen: Crops) -> None:
        """Measures on held-out photographs, exports weights and card, keeps the checkpoint."""
        reached = measure(self.mean, chosen.all(), self.args.device)
        progress = self.progress
        progress.losses.append(float(np.mean(losses)) if losses else 0.0)
        progress.scores.append((progress.steps, *reached))
        print(
            f"step {progress.steps} {progress.seconds:.0f} s loss {progress.losses[-1]:.4f} "
            f"guess {reached[0]:.2f} dB, inverted {reached[1]:.2f} dB, network {reached[2]:.2f} dB", flush=True,
        )  # fmt: skip
        weights = {name: value.detach().cpu().half().contiguous() for name, value in self.mean.state_dict().items()}
        save_file(weights, self.args.out)
        self.args.out.chmod(0o644)
        write_unblend_card(self.args.out, asdict(progress), sum(value.numel() for value in self.mean.parameters()))
        save_checkpoint(self.checkpoint, self._parts(), progress)


def measure(network: nn.Module, files: Sequence[Mapping[str, np.ndarray]], device: str) -> tuple[float, float, float]:
    """Mean PSNR in dB where marks may be: of the guess, of the estimate as it is, of the network's picture."""
    logs: list[Tensor] = []
    network.eval()
    with torch.inference_mode():
        for stored in files:
            given = to_tensors(stored, device)
            back = inverted(given["picture"], given["opacity"].clamp(max=MOST_OPACITY), given["colour"]).clamp(0, 1)
            pictures = (given["guess"], back, network(*(given[name] for name in _GIVEN)).picture)
            logs.append(torch.stack([errors(each, given["truth"], given["own"]) for each in pictures]))
    network.train()
    guess, estimate, found = (-10 * (torch.cat(logs, dim=1) + _FLOOR).log10()).mean(dim=1).tolist()
    return guess, estimate, found


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
    parser.add_argument("--work", type=Path, default=ROOT / ".work/unblend", help="crops and checkpoint")
    parser.add_argument("--out", type=Path, default=ROOT / "lib/cleanplate/weights/unblend.safetensors")
    parser.add_argument("--start", type=Path, help="weights to start from, such as the package's; a checkpoint wins")
    parser.add_argument("--minutes", type=float, default=80.0)
    parser.add_argument("--files", type=int, default=240, help=f"how many files of {CROPS_PER_FILE} crops are made")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--validate-s", type=float, default=200.0)
    return parsed(parser, argv)


if __name__ == "__main__":
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    train(arguments)
