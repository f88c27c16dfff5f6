"""Trains the residual network on crops like the fill network's, resuming from its checkpoint.

python training/train_residual.py --photos DIR [DIR ...] --minutes 40
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from card import write_residual_card
from holes import CROPS_PER_FILE, fill_cache
from loop import ROOT, Trainer, parsed
from stacks import Stacks, train_on_stacks
from torch import Tensor, nn
from train_fill import to_tensors, turned

from cleanplate.models.fill_net import load_fill_net
from cleanplate.models.residual_net import ResidualNet, detail_of, detail_scale, mixture

_EMA = 0.998
_EASIEST = 1e-3  # share of noise: none at all teaches nothing
_CHOSEN_TIMES = (0.15, 0.4, 0.65, 0.9)


def velocity_loss(
    network: nn.Module, prefill: Tensor, hole: Tensor, truth: Tensor, share: Tensor, noise: Tensor
) -> Tensor:
    """Squared error of the velocity inside the hole, mean over the crops.

    Args:
        network: a `ResidualNet`.
        prefill: float (N, 3, H, W), 0..1.
        hole: float (N, 1, H, W).
        truth: float (N, 3, H, W), 0..1.
        share: float (N,): of noise.
        noise: float (N, 3, H, W), standard normal.
    """
    given = detail_of(prefill)
    scale = detail_scale(given, hole)
    clean = detail_of(truth) / scale
    signal, sigma = (weight[:, None, None, None] for weight in mixture(share))
    noisy = torch.where(hole > 0, signal * clean + sigma * noise, given / scale)
    found = network(noisy, prefill, hole, share).float()
    squared = (found - (signal * noise - sigma * clean)).square() * hole
    return (squared.sum(dim=(1, 2, 3)) / (3 * hole.sum(dim=(1, 2, 3))).clamp_min(1)).clamp_max(20).mean()


class ResidualTrainer(Trainer):
    """The residual network in training; its score is the loss on held-out photographs."""

    def __init__(self, args: argparse.Namespace, prefill: nn.Module) -> None:
        """Makes the network, or takes it from the checkpoint.

        Args:
            args: of the command line.
            prefill: the fill network, which is not trained.
        """
        super().__init__(
            args, ResidualNet, lambda network: torch.optim.AdamW(network.parameters(), lr=args.rate, weight_decay=1e-4),
            _EMA,
        )  # fmt: skip
        self.prefill = prefill
        self.noise = torch.Generator().manual_seed(args.seed * 1_000_003 + self.progress.steps)

    def _filled(self, batch: Mapping[str, np.ndarray]) -> tuple[Tensor, Tensor, Tensor]:
        """Pre-fill, hole and truth of a batch."""
        fills, hole, truth = to_tensors(batch, self.args.device)
        with torch.inference_mode():
            filled = self.prefill(fills, hole).clamp(0, 1)
        return filled.clone(), hole, truth

    def step(self, crops: Stacks, share: float) -> float:
        """One batch; `share` of the time is over. Returns the loss."""
        filled, hole, truth = self._filled(crops.draw(self.args.batch, self.rng))
        times = torch.rand(len(filled), generator=self.noise).clamp_min(_EASIEST).to(filled)
        noise = torch.randn(filled.shape, generator=self.noise).to(filled)
        return self.learn(share, lambda: velocity_loss(self.network, filled, hole, truth, times, noise))

    def report(self, losses: Sequence[float], chosen: Stacks) -> None:
        """Measures on held-out photographs, exports weights and card, keeps the checkpoint."""
        score = self.measure(chosen.all())
        self.record(losses, (score,), f"held out {score:.4f}")
        self.export(write_residual_card, torch.float16)
        self.save()

    def measure(self, files: Sequence[Mapping[str, np.ndarray]]) -> float:
        """Mean loss of the averaged weights, with times and noise that are always the same."""
        source, found = torch.Generator().manual_seed(1), []
        with torch.inference_mode():
            for stored in files:
                filled, hole, truth = self._filled(stored)
                noise = torch.randn(filled.shape, generator=source).to(filled)
                share = torch.tensor(_CHOSEN_TIMES).repeat(len(filled))[: len(filled)].to(filled)
                found.append(float(velocity_loss(self.mean, filled, hole, truth, share, noise)))
        return float(np.mean(found))


def train(args: argparse.Namespace) -> None:
    """Trains until the minutes are over."""
    prefill = load_fill_net(args.prefill, args.device)
    train_on_stacks(args, args.crops, fill_cache, lambda args: ResidualTrainer(args, prefill), turned)


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, nargs="+", required=True, help="folders of photographs")
    parser.add_argument("--crops", type=Path, default=ROOT / ".work/fill", help="crops; the fill network's serve")
    parser.add_argument("--work", type=Path, default=ROOT / ".work/residual", help="for the checkpoint")
    parser.add_argument("--out", type=Path, default=ROOT / "lib/cleanplate/weights/residual.safetensors")
    parser.add_argument("--prefill", type=Path, default=ROOT / "lib/cleanplate/weights/fill.safetensors")
    parser.add_argument("--minutes", type=float, default=40.0)
    parser.add_argument("--files", type=int, default=320, help=f"how many files of {CROPS_PER_FILE} crops are made")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=6e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--validate-s", type=float, default=300.0)
    return parsed(parser, argv)


if __name__ == "__main__":
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    train(arguments)
