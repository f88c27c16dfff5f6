"""Trains the object network on photographs with pasted objects, resuming from its checkpoint.

python training/train_objects.py --photos DIR [DIR ...] --minutes 60
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from card import write_object_card
from loop import ROOT, Trainer, parsed
from muon import Muon
from silhouettes import SAMPLES_PER_FILE, fill_cache
from stacks import Crop, Stacks, train_on_stacks
from torch import Tensor, nn
from torch.nn import functional

from cleanplate.models.object_net import ObjectNet, load_object_net, to_input

_EMA = 0.998
_SHADE_WEIGHT = 0.5  # of the shadow's loss, beside the object's
_GAMMA = 0.25
_GIVEN = ("picture", "sure", "maybe", "likely", "grabbed")
_SMOOTH = 20.0  # pixels; keeps the overlap of nothing with nothing finite


def turned(sample: Mapping[str, np.ndarray], rng: np.random.Generator) -> Crop:
    """A sample (see `silhouettes.make_sample`) flipped, its colours permuted, lighter or darker; shadows stay below."""
    flip, order = rng.random() < 0.5, rng.permutation(3)
    table = np.round(255 * (np.arange(256) / 255) ** np.exp(rng.normal(0, _GAMMA))).astype(np.uint8)
    found = {name: np.flip(values, 1) if flip else values for name, values in sample.items()}
    return {**found, "picture": table[found["picture"][..., order]]}


def to_tensors(samples: Mapping[str, np.ndarray], device: str) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """What the network takes, and the truth, float (N, 2, H, W): object and shadow."""
    planes = {name: torch.from_numpy(np.ascontiguousarray(values)).to(device) for name, values in samples.items()}
    truth = torch.stack([planes["thing"], planes["shade"]], dim=1).float()
    return to_input(*(planes[name] for name in _GIVEN)), truth


class ObjectTrainer(Trainer):
    """The object network in training; its scores are means of intersection over union, see `measure`."""

    def __init__(self, args: argparse.Namespace) -> None:
        """Makes the network, or takes it from the checkpoint, or else from the weights to start from."""
        super().__init__(
            args,
            lambda: load_object_net(args.start).train() if args.start else ObjectNet(),
            lambda network: Muon(network, args.rate),
            _EMA,
        )

    def step(self, samples: Stacks, share: float) -> float:
        """One batch; `share` of the time is over. Returns the loss."""
        given, truth = to_tensors(samples.draw(self.args.batch, self.rng), self.args.device)
        return self.learn(share, lambda: loss_of(self.network(*given).float(), truth))

    def report(self, losses: Sequence[float], chosen: Stacks) -> None:
        """Measures on held-out photographs, exports weights and card, keeps the checkpoint."""
        reached = measure(self.mean, chosen.all(), self.args.device)
        names = ("GrabCut", "object", "with shadow")
        self.record(losses, reached, ", ".join(f"{n} {value:.3f}" for n, value in zip(names, reached, strict=True)))
        self.export(write_object_card, torch.float16)
        self.save()


def loss_of(logits: Tensor, truth: Tensor) -> Tensor:
    """Binary cross-entropy, and one minus the soft overlap of each sample (Rahman and Wang, ISVC 2016), both maps.

    Args:
        logits: float (N, 2, H, W).
        truth: float (N, 2, H, W), 0 or 1.
    """
    weights = torch.tensor([1.0, _SHADE_WEIGHT], device=logits.device)
    entropy = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean(dim=(0, 2, 3))
    overlap = soft_overlap(torch.sigmoid(logits), truth).mean(dim=0)
    return ((entropy * 2 + 1 - overlap) * weights).sum()


def soft_overlap(probability: Tensor, truth: Tensor) -> Tensor:
    """Intersection over union of each sample's maps, float (N, C), 0..1."""
    both = (probability * truth).sum(dim=(2, 3))
    either = (probability + truth - probability * truth).sum(dim=(2, 3))
    return (both + _SMOOTH) / (either + _SMOOTH)


def measure(network: nn.Module, files: Sequence[Mapping[str, np.ndarray]], device: str) -> tuple[float, float, float]:
    """Mean intersection over union: of GrabCut with the object, of the network with it, and of both with shadows."""
    rows: list[Tensor] = []
    network.eval()
    with torch.inference_mode():
        for stored in files:
            given, truth = to_tensors(stored, device)
            found = (network(*given).float() > 0).float()
            together, wanted = found.amax(dim=1, keepdim=True), truth.amax(dim=1, keepdim=True)
            pairs = ((given[1][:, 3:4], truth[:, :1]), (found[:, :1], truth[:, :1]), (together, wanted))
            rows.append(torch.stack([_overlap(*pair) for pair in pairs]))
    network.train()
    grabbed, thing, both = torch.cat(rows, dim=1).mean(dim=1).tolist()
    return grabbed, thing, both


def _overlap(found: Tensor, truth: Tensor) -> Tensor:
    either = torch.maximum(found, truth).sum(dim=(1, 2, 3)).clamp_min(1)
    return (found * truth).sum(dim=(1, 2, 3)) / either


def train(args: argparse.Namespace) -> None:
    """Trains until the minutes are over."""
    train_on_stacks(args, args.work, fill_cache, ObjectTrainer, turned)


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, nargs="+", required=True, help="folders of photographs")
    parser.add_argument("--work", type=Path, default=ROOT / ".work/objects", help="samples and checkpoint")
    parser.add_argument("--out", type=Path, default=ROOT / "lib/cleanplate/weights/objects.safetensors")
    parser.add_argument("--start", type=Path, help="weights to start from, such as the package's; a checkpoint wins")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--files", type=int, default=300, help=f"how many files of {SAMPLES_PER_FILE} samples are made")
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
