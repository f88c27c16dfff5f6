"""Trains the fill network on photographs with holes, resuming from its checkpoint.

python training/train_fill.py --photos DIR [DIR ...] --minutes 100
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from card import write_fill_card
from holes import CROPS_PER_FILE, fill_cache
from loop import ROOT, Trainer, masked_errors, parsed
from perceptual import VGG, Perceptual
from stacks import Crop, Stacks, train_on_stacks
from torch import Tensor, nn

from cleanplate.models.fill_net import FillNet, load_fill_net

_EMA = 0.998
_FLOOR = 1e-5  # of a crop's mean squared error: below 50 dB there is nothing to gain


def turned(crop: Mapping[str, np.ndarray], rng: np.random.Generator) -> Crop:
    """A crop (fills (K, H, W, 3), hole (H, W), truth (H, W, 3)) turned and flipped, its colours in another order."""
    turns, flip, order = int(rng.integers(4)), bool(rng.random() < 0.5), rng.permutation(3)

    def one(values: np.ndarray, rows: int) -> np.ndarray:
        values = np.rot90(values, turns, (rows, rows + 1))
        return np.flip(values, rows + 1) if flip else values

    fills, hole, truth = crop["fills"], crop["hole"], crop["truth"]
    return {"fills": one(fills, 1)[..., order], "hole": one(hole, 0), "truth": one(truth, 0)[..., order]}


def to_tensors(crops: Mapping[str, np.ndarray], device: str) -> tuple[Tensor, Tensor, Tensor]:
    """Fills (N, K, 3, H, W), hole (N, 1, H, W), truth (N, 3, H, W), float 0..1."""
    fills, holes, truths = (
        torch.from_numpy(np.ascontiguousarray(crops[name])).to(device) for name in ("fills", "hole", "truth")
    )
    return (
        fills.permute(0, 1, 4, 2, 3).float().div(255),
        holes[:, None].float(),
        truths.permute(0, 3, 1, 2).float().div(255),
    )


class FillTrainer(Trainer):
    """The fill network in training; its scores are gains in dB over the mean of the given fills, and over the best."""

    def __init__(self, args: argparse.Namespace) -> None:
        """Makes the network, or takes it from the checkpoint, or else from the weights to start from."""
        super().__init__(
            args,
            lambda: load_fill_net(args.start).train() if args.start else FillNet(),
            lambda network: torch.optim.AdamW(network.parameters(), lr=args.rate, weight_decay=1e-4),
            _EMA,
        )
        self.perceptual = Perceptual(args.vgg).to(args.device) if args.perceptual else None

    def step(self, crops: Stacks, share: float) -> float:
        """One batch; `share` of the time is over. Returns the loss: mean log of each crop's error, natural."""
        fills, hole, truth = to_tensors(crops.draw(self.args.batch, self.rng), self.args.device)

        def loss() -> Tensor:
            filled = self.network(fills, hole).float()
            found = (masked_errors(filled, truth, hole) + _FLOOR).log().mean()
            if self.perceptual is None:
                return found
            return found + self.args.perceptual * self.perceptual(filled, truth)

        return self.learn(share, loss)

    def report(self, losses: Sequence[float], chosen: Stacks) -> None:
        """Measures on held-out photographs, exports weights and card, keeps the checkpoint."""
        gains = measure(self.mean, chosen.all(), self.args.device)
        self.record(losses, gains, f"over the mean {gains[0]:+.3f} dB, over the best {gains[1]:+.3f} dB")
        self.export(write_fill_card, torch.float16)
        self.save()


def measure(network: nn.Module, files: Sequence[dict[str, np.ndarray]], device: str) -> tuple[float, float]:
    """Mean gain in dB inside the hole over the mean of the given fills, and over the best of them (by mean)."""
    logs: dict[str, list[Tensor]] = {"network": [], "mean": []}
    network.eval()
    with torch.inference_mode():
        for stored in files:
            fills, hole, truth = to_tensors(stored, device)
            logs["network"].append(masked_errors(network(fills, hole), truth, hole))
            logs["mean"].append(masked_errors(fills.mean(dim=1), truth, hole))
            for number in range(fills.shape[1]):
                logs.setdefault(str(number), []).append(masked_errors(fills[:, number], truth, hole))
    network.train()
    decibels = {k: float((-10 * (torch.cat(v) + _FLOOR).log10()).mean()) for k, v in logs.items()}
    best = max(value for name, value in decibels.items() if name.isdigit())
    return decibels["network"] - decibels["mean"], decibels["network"] - best


def train(args: argparse.Namespace) -> None:
    """Trains until the minutes are over."""
    train_on_stacks(args, args.work, fill_cache, FillTrainer, turned)


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
