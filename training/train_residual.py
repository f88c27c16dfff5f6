"""Trains the residual network on the crops of the fill network's training, resuming from its checkpoint.

python training/train_residual.py --minutes 40
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from card import write_residual_card
from loop import ROOT, average, command, descend, load_checkpoint, parsed, run, save_checkpoint, schedule, set_rate
from safetensors.torch import save_file
from torch import Tensor, nn
from train_fill import Crops, to_tensors

from cleanplate.models.fill_net import load_fill_net
from cleanplate.models.residual_net import ResidualNet, detail_of, detail_scale, mixture

_EMA = 0.998
_EASIEST = 1e-3  # share of noise: none at all teaches nothing
_CHOSEN_TIMES = (0.15, 0.4, 0.65, 0.9)


@dataclass
class Progress:
    """How far the training is, over all calls.

    Attributes:
        steps: batches seen.
        seconds: spent in the loop.
        losses: mean loss of the batches between two validations.
        scores: (steps, loss on held-out photographs) of each validation.
        command: how the last call was made.
    """

    steps: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    scores: list[tuple[int, float]] = field(default_factory=list)
    command: str = ""


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


class Trainer:
    """The loop with its optimiser, averaged weights and checkpoint."""

    def __init__(self, args: argparse.Namespace, prefill: nn.Module) -> None:
        """Makes the network, or takes it from the checkpoint.

        Args:
            args: of the command line.
            prefill: the fill network, which is not trained.
        """
        torch.manual_seed(args.seed)
        self.args = args
        self.prefill = prefill
        self.network = ResidualNet().to(args.device, memory_format=torch.channels_last)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=args.rate, weight_decay=1e-4)
        self.mean = copy.deepcopy(self.network).requires_grad_(False)
        self.progress = Progress()
        self.checkpoint = args.work / "checkpoint.pt"
        if self.checkpoint.exists():
            self.progress = Progress(**load_checkpoint(self.checkpoint, self._parts(), args.device))
            print(f"resumes at step {self.progress.steps}", flush=True)
        self.progress.command = command()
        self.rng = np.random.default_rng([args.seed, self.progress.steps])
        self.noise = torch.Generator().manual_seed(args.seed * 1_000_003 + self.progress.steps)

    def _parts(self) -> dict[str, Any]:
        """What a checkpoint holds besides the progress."""
        return {"network": self.network, "mean": self.mean, "optimizer": self.optimizer}

    def _filled(self, batch: Sequence[np.ndarray]) -> tuple[Tensor, Tensor, Tensor]:
        """Pre-fill, hole and truth of a batch."""
        fills, hole, truth = to_tensors(batch, self.args.device)
        with torch.inference_mode():
            filled = self.prefill(fills, hole).clamp(0, 1)
        return filled.clone(), hole, truth

    def step(self, crops: Crops, share: float) -> float:
        """One batch; `share` of the time is over. Returns the loss."""
        set_rate(self.optimizer, self.args.rate * schedule(share))
        filled, hole, truth = self._filled(crops.draw(self.args.batch, self.rng))
        times = torch.rand(len(filled), generator=self.noise).clamp_min(_EASIEST).to(filled)
        noise = torch.randn(filled.shape, generator=self.noise).to(filled)
        with torch.autocast(torch.device(self.args.device).type, torch.bfloat16, enabled=self.args.precision == "bf16"):
            loss = velocity_loss(self.network, filled, hole, truth, times, noise)
        value = descend(self.network, self.optimizer, loss, 1.0)
        self.progress.steps += 1
        average(self.mean, self.network, self.progress.steps, _EMA)
        return value

    def report(self, losses: Sequence[float], chosen: Crops) -> None:
        """Measures on held-out photographs, exports weights and card, keeps the checkpoint."""
        progress = self.progress
        progress.losses.append(float(np.mean(losses)) if losses else 0.0)
        progress.scores.append((progress.steps, self.measure(chosen.all())))
        print(
            f"step {progress.steps} {progress.seconds:.0f} s loss {progress.losses[-1]:.4f} "
            f"held out {progress.scores[-1][1]:.4f}", flush=True,
        )  # fmt: skip
        weights = {name: value.detach().cpu().half().contiguous() for name, value in self.mean.state_dict().items()}
        save_file(weights, self.args.out)
        self.args.out.chmod(0o644)
        write_residual_card(self.args.out, asdict(progress), sum(value.numel() for value in self.mean.parameters()))
        save_checkpoint(self.checkpoint, self._parts(), progress)

    def measure(self, files: Sequence[dict[str, np.ndarray]]) -> float:
        """Mean loss of the averaged weights, with times and noise that are always the same."""
        source, found = torch.Generator().manual_seed(1), []
        with torch.inference_mode():
            for stored in files:
                filled, hole, truth = self._filled((stored["fills"], stored["hole"], stored["truth"]))
                noise = torch.randn(filled.shape, generator=source).to(filled)
                share = torch.tensor(_CHOSEN_TIMES).repeat(len(filled))[: len(filled)].to(filled)
                found.append(float(velocity_loss(self.mean, filled, hole, truth, share, noise)))
        return float(np.mean(found))


def train(args: argparse.Namespace) -> None:
    """Trains until the minutes are over."""
    args.work.mkdir(parents=True, exist_ok=True)
    chosen, crops = Crops(args.crops / "chosen"), Crops(args.crops / "train")
    if not chosen.refresh() or not crops.refresh():
        raise SystemExit(f"no crops in {args.crops}: run training/train_fill.py first, which makes them")
    trainer = Trainer(args, load_fill_net(args.prefill, args.device))
    run(
        trainer.progress, args.minutes, args.validate_s, lambda share: trainer.step(crops, share),
        lambda losses: trainer.report(losses, chosen),
    )  # fmt: skip


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crops", type=Path, default=ROOT / ".work/fill", help="folder of the fill network's training")
    parser.add_argument("--work", type=Path, default=ROOT / ".work/residual", help="for the checkpoint")
    parser.add_argument("--out", type=Path, default=ROOT / "lib/cleanplate/weights/residual.safetensors")
    parser.add_argument("--prefill", type=Path, default=ROOT / "lib/cleanplate/weights/fill.safetensors")
    parser.add_argument("--minutes", type=float, default=40.0)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=6e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--validate-s", type=float, default=300.0)
    return parsed(parser, argv)


if __name__ == "__main__":
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    train(arguments)
