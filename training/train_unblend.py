"""Trains the un-blending network on marks whose ground is known, resuming from its checkpoint.

python training/train_unblend.py --photos DIR [DIR ...] --minutes 80
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from card import write_unblend_card
from loop import ROOT, Trainer, masked_errors, parsed
from muon import Muon
from stacks import Crop, Stacks, train_on_stacks
from torch import Tensor, nn

from cleanplate.models.unblend_net import MOST_OPACITY, UnblendNet, Uncovered, inverted, load_unblend_net
from marks import CROPS_PER_FILE, fill_cache

_EMA = 0.998
_FLOOR = 1e-5  # of a crop's mean squared error: below 50 dB there is nothing to gain
_OPACITY_WEIGHT = 1.0  # of the mean error of the opacity, beside the logarithm of the picture's
_UNDER_WEIGHT = 4.0  # of the mean error of what inverting gives, where enough of the ground shines through
_SHINES_THROUGH = 0.8  # opacity up to which it does
_GIVEN = ("picture", "guess", "colour", "opacity", "most", "own")
_KNOWN = ("truth", "alpha")


def turned(crop: Mapping[str, np.ndarray], rng: np.random.Generator) -> Crop:
    """A crop (see `marks.cut_marks`) turned, flipped, its colours permuted, and perhaps a negative."""
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


class UnblendTrainer(Trainer):
    """The un-blending network in training; its scores are PSNR in dB where marks may be, see `measure`."""

    def __init__(self, args: argparse.Namespace) -> None:
        """Makes the network, or takes it from the checkpoint, or else from the weights to start from."""
        super().__init__(
            args,
            lambda: load_unblend_net(args.start).train() if args.start else UnblendNet(),
            lambda network: Muon(network, args.rate),
            _EMA,
        )

    def step(self, crops: Stacks, share: float) -> float:
        """One batch; `share` of the time is over. Returns the loss."""
        batch = to_tensors(crops.draw(self.args.batch, self.rng), self.args.device)
        return self.learn(share, lambda: loss_of(self.network, batch))

    def report(self, losses: Sequence[float], chosen: Stacks) -> None:
        """Measures on held-out photographs, exports weights and card, keeps the checkpoint."""
        reached = measure(self.mean, chosen.all(), self.args.device)
        names = ("guess", "inverted", "network")
        self.record(
            losses, reached, ", ".join(f"{name} {value:.2f} dB" for name, value in zip(names, reached, strict=True))
        )
        self.export(write_unblend_card, torch.float16)
        self.save()


def loss_of(network: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    """Mean log of each crop's error, that of the opacity, and that of what inverting gives where it shines through."""
    found = Uncovered(*(values.float() for values in network(*(batch[name] for name in _GIVEN))))
    own = batch["own"]
    wrong = ((found.opacity - batch["alpha"]).abs() * own).sum() / own.sum()
    clear = own * (batch["alpha"] < _SHINES_THROUGH)
    off = ((found.under - batch["truth"]).abs() * clear).sum() / (3 * clear.sum()).clamp_min(1)
    loss = (masked_errors(found.picture, batch["truth"], own) + _FLOOR).log().mean()
    return loss + _OPACITY_WEIGHT * wrong + _UNDER_WEIGHT * off


def measure(network: nn.Module, files: Sequence[Mapping[str, np.ndarray]], device: str) -> tuple[float, float, float]:
    """Mean PSNR in dB where marks may be: of the guess, of the estimate as it is, of the network's picture."""
    logs: list[Tensor] = []
    network.eval()
    with torch.inference_mode():
        for stored in files:
            given = to_tensors(stored, device)
            back = inverted(given["picture"], given["opacity"].clamp(max=MOST_OPACITY), given["colour"]).clamp(0, 1)
            pictures = (given["guess"], back, network(*(given[name] for name in _GIVEN)).picture)
            logs.append(torch.stack([masked_errors(each, given["truth"], given["own"]) for each in pictures]))
    network.train()
    guess, estimate, found = (-10 * (torch.cat(logs, dim=1) + _FLOOR).log10()).mean(dim=1).tolist()
    return guess, estimate, found


def train(args: argparse.Namespace) -> None:
    """Trains until the minutes are over."""
    train_on_stacks(args, args.work, fill_cache, UnblendTrainer, turned)


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
