"""What the trainings share: the loop with its learning rate, the step, averaged weights, checkpoints, the command."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from cleanplate.models.weights import has_bfloat16

ROOT = Path(__file__).resolve().parents[1]
_LONGEST_STEP_S = 60.0  # what is longer was a pause of the process
_WARM_SHARE = 0.06


class Progress(Protocol):
    """How far a training is, over all calls; a dataclass of plain values."""

    steps: int
    seconds: float


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
    """"bf16" where a device computes in it; a CPU that only emulates it takes three times as long as in "float32".

    Args:
        device: "cpu", "cuda:0", ...
    """
    place = torch.device(device)
    asked = getattr(torch.cpu, "_is_avx512_bf16_supported", None)  # torch has no public question for it
    on_cpu = place.type == "cpu" and asked is not None and asked()
    return "bf16" if on_cpu or has_bfloat16(place) else "float32"


def parsed(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """Reads a command line, with the options of the device and of the precision that suits it."""
    parser.add_argument("--precision", choices=["bf16", "float32"], help="of both passes; the device's faster one")
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
