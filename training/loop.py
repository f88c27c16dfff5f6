"""What the trainings share: the loop, the step and its rate, averaged weights, checkpoints, the file of weights."""

from __future__ import annotations

import argparse
import copy
import json
import math
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from cleanplate.models.weights import has_bfloat16

ROOT = Path(__file__).resolve().parents[1]
_LONGEST_STEP_S = 60.0  # what is longer was a pause of the process
_WARM_SHARE = 0.06


@dataclass
class Progress:
    """How far a training is, over all calls.

    Attributes:
        steps: batches seen.
        seconds: spent in the loop.
        losses: mean loss of the batches between two validations.
        scores: the step of each validation, then what the training measures there (see its `report`).
        command: how the last call was made.
    """

    steps: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    scores: list[Sequence[float]] = field(default_factory=list)
    command: str = ""


class Trainer:
    """A network with its optimiser, averaged weights and checkpoint; a training adds what a batch is, and its measure.

    Attributes:
        args: of the command line.
        network: what learns.
        mean: its averaged weights, which are measured and exported.
        optimizer: of the network's parameters.
        progress: over all calls.
        resumed: whether a checkpoint was found.
        rng: for what a batch is made of.
    """

    def __init__(
        self,
        args: argparse.Namespace,
        make: Callable[[], nn.Module],
        optimizer: Callable[[nn.Module], torch.optim.Optimizer],
        keep: float,
        progress: Progress | None = None,
    ) -> None:
        """Makes the network, or takes it from the checkpoint.

        Args:
            args: seed, device, rate, work (the checkpoint's folder), out, and precision where it is a choice.
            make: the network to start from; it is called after the seed is set.
            optimizer: makes one of its parameters.
            keep: share of the averaged weights that a step keeps.
            progress: to start from, where it counts more than `Progress` does.
        """
        torch.manual_seed(args.seed)
        self.args = args
        self.network: Any = make().to(args.device, memory_format=torch.channels_last)
        self.optimizer = optimizer(self.network)
        self.mean: Any = copy.deepcopy(self.network).requires_grad_(False)
        self.progress = progress or Progress()
        self._keep = keep
        self._checkpoint = args.work / "checkpoint.pt"
        self.resumed = self._checkpoint.exists()
        if self.resumed:
            state = load_checkpoint(self._checkpoint, self._parts(), args.device)
            self.progress = type(self.progress)(**state)
            print(f"resumes at step {self.progress.steps}", flush=True)
        if args.minutes > 0 or not self.progress.command:  # no minutes: only measure and export
            self.progress.command = command()
        self.rng = np.random.default_rng([args.seed, self.progress.steps])

    def _parts(self) -> dict[str, Any]:
        """What a checkpoint holds besides the progress."""
        return {"network": self.network, "mean": self.mean, "optimizer": self.optimizer}

    def learn(self, share: float, loss: Callable[[], Tensor], most_norm: float = 1.0) -> float:
        """One step along a loss, at the rate of the share of the time that is over; returns it."""
        set_rate(self.optimizer, self.args.rate * schedule(share))
        with torch.autocast(torch.device(self.args.device).type, torch.bfloat16, enabled=self.args.precision == "bf16"):
            found = loss()
        value = descend(self.network, self.optimizer, found, most_norm)
        self.progress.steps += 1
        average(self.mean, self.network, self.progress.steps, self._keep)
        return value

    def record(self, losses: Sequence[float], scores: Sequence[float], words: str) -> None:
        """Adds a validation to the progress, and says it."""
        progress = self.progress
        progress.losses.append(float(np.mean(losses)) if losses else (progress.losses or [0.0])[-1])
        progress.scores.append((progress.steps, *scores))
        print(f"step {progress.steps} {progress.seconds:.0f} s loss {progress.losses[-1]:.4f} {words}", flush=True)

    def export(
        self,
        write_card: Callable[[Path, Mapping[str, Any], int], None],
        dtype: torch.dtype = torch.float32,
        network: nn.Module | None = None,
    ) -> None:
        """Writes weights, the averaged ones if no others are given, and their card.

        Args:
            write_card: takes the file, the progress as a mapping, and the number of parameters.
            dtype: of the file's floats.
            network: whose weights are written.
        """
        chosen = network or self.mean
        save_weights(chosen, self.args.out, dtype)
        write_card(self.args.out, asdict(self.progress), sum(value.numel() for value in chosen.parameters()))

    def save(self) -> None:
        """Writes the checkpoint."""
        save_checkpoint(self._checkpoint, self._parts(), self.progress)


def run(
    progress: Progress,
    minutes: float,
    validate_s: float,
    step: Callable[[float], float],
    report: Callable[[Sequence[float]], None],
) -> None:
    """Trains until the minutes are over.

    Args:
        progress: its seconds are counted here, its steps by `step`.
        minutes: of this call.
        validate_s: seconds between two reports; there is one more at the end.
        step: takes the share of the minutes that is over, trains on one batch and returns its loss.
        report: takes the losses since the last report.
    """
    last = validated = time.monotonic()
    begun = progress.seconds
    losses: list[float] = []
    while (spent := progress.seconds - begun) < minutes * 60:
        losses.append(step(spent / (minutes * 60)))
        now = time.monotonic()
        progress.seconds += min(now - last, _LONGEST_STEP_S)
        last = now
        if now - validated > validate_s:
            report(losses)
            losses, validated, last = [], time.monotonic(), time.monotonic()
    report(losses)


def descend(network: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor, most_norm: float) -> float:
    """One step of the optimiser along a loss, its gradient clipped; returns the loss."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), most_norm)
    optimizer.step()
    return float(loss.detach())


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Sets the learning rate of all parameters."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def save_weights(network: nn.Module, path: Path, dtype: torch.dtype = torch.float32) -> None:
    """Writes a network's state, its floats in `dtype`, readable by all."""
    state = {name: value.detach().cpu() for name, value in network.state_dict().items()}
    floats = {name: value.to(dtype) if value.dtype.is_floating_point else value for name, value in state.items()}
    save_file({name: value.contiguous() for name, value in floats.items()}, path)
    path.chmod(0o644)


def masked_errors(found: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error of each crop inside its mask, float (N,).

    Args:
        found: float (N, 3, H, W).
        truth: float (N, 3, H, W).
        mask: float (N, 1, H, W), 0 or 1.
    """
    squared = ((found - truth).square() * mask).sum(dim=(1, 2, 3))
    return squared / (3 * mask.sum(dim=(1, 2, 3))).clamp_min(1)


def save_checkpoint(path: Path, parts: Mapping[str, Any], progress: Any) -> None:
    """Writes networks and optimiser with the progress, under another name first."""
    part = path.with_suffix(".part")
    state = {name: value.state_dict() for name, value in parts.items()}
    torch.save(state | {"progress": json.dumps(asdict(progress))}, part)
    os.replace(part, path)


def load_checkpoint(path: Path, parts: Mapping[str, Any], device: str) -> dict[str, Any]:
    """Reads what `save_checkpoint` wrote into networks and optimiser; returns the progress's fields."""
    state = torch.load(path, map_location=device, weights_only=True)
    for name, value in parts.items():
        value.load_state_dict(state[name])
    return dict(json.loads(state["progress"]))


def fast_precision(device: str) -> str:
    """What a device computes in: "bf16", but "float32" on a CPU that only emulates that, in three times the time.

    Args:
        device: "cpu", "cuda:0", ...
    """
    place = torch.device(device)
    asked = getattr(torch.cpu, "_is_avx512_bf16_supported", None)  # torch has no public question for it
    on_cpu = place.type == "cpu" and asked is not None and asked()
    return "bf16" if on_cpu or has_bfloat16(place) else "float32"


def parsed(
    parser: argparse.ArgumentParser, argv: Sequence[str] | None, precision: str | None = None
) -> argparse.Namespace:
    """Reads a command line, with the options of the device and of the precision, `precision` or what suits it."""
    suits = "of both passes" if precision else "of both passes; the device's faster one"
    parser.add_argument("--precision", choices=["bf16", "float32"], default=precision, help=suits)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args(argv)
    args.precision = args.precision or fast_precision(args.device)
    return args


def schedule(share: float) -> float:
    """Linear warm-up, then a cosine down to one hundredth, by the share of the time that is over."""
    if share < _WARM_SHARE:
        return max(share, 0.002) / _WARM_SHARE
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, (share - _WARM_SHARE) / (1 - _WARM_SHARE))))


def average(mean: nn.Module, network: nn.Module, steps: int, keep: float) -> None:
    """Moves averaged weights towards a network's, faster over its first steps."""
    keep = min(keep, steps / (steps + 20))
    own = network.state_dict()
    for name, value in mean.state_dict().items():
        if value.dtype.is_floating_point:
            value.lerp_(own[name], 1 - keep)
        else:
            value.copy_(own[name])


def command() -> str:
    """How this process was called, without what is only this machine's."""
    return "python " + " ".join(os.path.relpath(w, ROOT) if Path(w).is_absolute() else w for w in sys.argv)
