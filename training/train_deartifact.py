"""Trains the deartifact network on photographs after JPEG, resuming from its checkpoint.

python training/train_deartifact.py --photos DIR [DIR ...] --minutes 60
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
from card import write_deartifact_card
from crops import split_photographs
from loop import ROOT, average, command, descend, load_checkpoint, run, save_checkpoint, schedule, set_rate
from muon import Muon
from patches import JpegCrop, Photographs, compress, draw_quality, make_jpeg_crop
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from cleanplate.models.deartifact_net import BLIND, KNOTS, DeartifactNet, guided

_EMA = 0.99
_FLOOR = 0.01  # of the grey scale: what a crop's own error is weighed by, at the least
_CHOSEN_SIDE_PX = 192
_CHOSEN_COUNT = 14
QUALITIES = (10, 20, 40)
_MEASURED_PX, _MEASURED_COUNT = 128, 40  # photographs' patches that the sliding DCT's noise is measured on
_FITTED_PX, _FITTED_COUNT = 96, 15  # those that luma's guidance of chroma is fitted on


@dataclass
class Progress:
    """How far the training is, over all calls.

    Attributes:
        steps: batches seen.
        seconds: spent in the loop.
        losses: mean loss of the batches between two validations.
        scores: (steps, gain in dB over the JPEG at each of QUALITIES, and at the middle one blind) of each validation.
        command: how the last call was made.
    """

    steps: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    scores: list[list[float]] = field(default_factory=list)
    command: str = ""


def to_tensors(crops: Sequence[JpegCrop], device: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Seen and truth, float (N, 3, S, S), 0..1; quality (N,); grid (N, 2)."""
    seen, truth = (
        torch.from_numpy(np.stack([getattr(crop, name) for crop in crops])).to(device).permute(0, 3, 1, 2).float() / 255
        for name in ("seen", "truth")
    )
    quality = torch.tensor([crop.quality for crop in crops], dtype=torch.float32, device=device)
    grid = torch.tensor([crop.grid for crop in crops], dtype=torch.float32, device=device)
    return seen, truth, quality, grid


def loss_of(cleaned: Tensor, seen: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute error over the JPEG's own, crop by crop, so that all qualities count."""
    error = (cleaned - truth).square().add(1e-6).sqrt().mean(dim=(1, 2, 3))
    own = (seen - truth).abs().mean(dim=(1, 2, 3))
    return (error / (own + _FLOOR)).mean()


def measure_noise(network: DeartifactNet, photographs: Photographs, rng: np.random.Generator) -> None:
    """Sets the sliding DCT's noise levels to what JPEG adds to photographs at each knot's quality."""
    patches = [photographs.patch(_MEASURED_PX, rng) for _ in range(_MEASURED_COUNT)]
    levels = [_noise_levels(network, patches, round(knot)) for knot in KNOTS]
    levels.append(torch.stack(levels).log().mean(dim=0).exp())
    with torch.no_grad():
        network.log_noise.copy_(torch.stack(levels).clamp_min(1e-4).log())


def _noise_levels(network: DeartifactNet, patches: Sequence[np.ndarray], quality: int) -> Tensor:
    """Root mean square of what JPEG changes, by channel and frequency, float (3, 64)."""
    total = torch.zeros(3, 64)
    for patch in patches:
        change = compress(patch, quality, "420").astype(np.float32) - patch
        planes = torch.from_numpy(change / 255).permute(2, 0, 1)[None].to(network.to_ycc.device)
        found = network.sliding.analyse(functional.conv2d(planes, network.to_ycc))
        total += found.square().mean(dim=(2, 3)).cpu()
    return (total / len(patches)).sqrt()


def fit_guidance(network: DeartifactNet, photographs: Photographs, rng: np.random.Generator) -> None:
    """Sets how far luma guides chroma at each knot to what is nearest to the truth, by least squares."""
    patches = [photographs.patch(_FITTED_PX, rng) for _ in range(_FITTED_COUNT)]
    shares = [_best_share(network, patches, [round(knot)] * len(patches), float(knot)) for knot in KNOTS]
    shares.append(_best_share(network, patches, [draw_quality(rng) for _ in patches], BLIND))
    network.guidance.copy_(torch.tensor(shares).clamp(0, 1))


def _best_share(
    network: DeartifactNet, patches: Sequence[np.ndarray], qualities: Sequence[int], told: float
) -> float:
    along, power = 0.0, 1e-9
    for number, (patch, quality) in enumerate(zip(patches, qualities, strict=True)):
        seen = compress(patch, quality, "444" if number % 3 == 0 else "420")
        device = str(network.to_ycc.device)
        given, truth, *condition = to_tensors([JpegCrop(seen, patch, told, (0, 0) if told >= 0 else (-1, -1))], device)
        with torch.inference_mode():
            planes = network.restore(given, *condition)
            missing = functional.conv2d(truth - 0.5, network.to_ycc)[:, 1:] - planes[:, 1:]
            change = guided(planes[:, :1], planes[:, 1:]) - planes[:, 1:]
        along += float((missing * change).sum())
        power += float(change.square().sum())
    return along / power


class Trainer:
    """The loop with its optimiser, averaged weights and checkpoint."""

    def __init__(self, args: argparse.Namespace, photographs: Photographs) -> None:
        """Makes the network, or takes it from the checkpoint."""
        torch.manual_seed(args.seed)
        self.args = args
        self.photographs = photographs
        self.network = DeartifactNet().to(args.device, memory_format=torch.channels_last)
        self.network.log_noise.requires_grad_(not args.hold_start)
        self.optimizer = Muon(self.network, args.rate)
        self.mean = copy.deepcopy(self.network).requires_grad_(False)
        self.progress = Progress()
        self.checkpoint = args.work / "checkpoint.pt"
        if self.checkpoint.exists():
            self.progress = Progress(**load_checkpoint(self.checkpoint, self._parts(), args.device))
            print(f"resumes at step {self.progress.steps}", flush=True)
        else:
            measure_noise(self.network, photographs, np.random.default_rng(args.seed))
            self.mean.load_state_dict(self.network.state_dict())
        self.progress.command = command()
        self.rng = np.random.default_rng([args.seed, self.progress.steps])

    def _parts(self) -> dict[str, Any]:
        """What a checkpoint holds besides the progress."""
        return {"network": self.network, "mean": self.mean, "optimizer": self.optimizer}

    def step(self, share: float) -> float:
        """One batch; `share` of the time is over. Returns the loss."""
        args = self.args
        set_rate(self.optimizer, args.rate * schedule(share))
        crops = [make_jpeg_crop(self.photographs, args.crop_px, self.rng) for _ in range(args.batch)]
        seen, truth, quality, grid = to_tensors(crops, args.device)
        with torch.autocast(torch.device(args.device).type, torch.bfloat16, enabled=args.precision == "bf16"):
            cleaned = self.network(seen, quality, grid).float()
        value = descend(self.network, self.optimizer, loss_of(cleaned, seen, truth), 1.0)
        self.progress.steps += 1
        average(self.mean, self.network, self.progress.steps, _EMA)
        return value

    def report(self, losses: Sequence[float], chosen: Sequence[np.ndarray]) -> None:
        """Measures on held-out photographs, exports weights and card, keeps the checkpoint."""
        progress = self.progress
        fit_guidance(self.mean, self.photographs, np.random.default_rng(self.args.seed))
        gains = measure(self.mean, chosen, self.args.device)
        progress.losses.append(float(np.mean(losses)) if losses else 0.0)
        progress.scores.append([progress.steps, *gains])
        words = ", ".join(f"{gain:+.3f}" for gain in gains)
        print(f"step {progress.steps} {progress.seconds:.0f} s loss {progress.losses[-1]:.4f} {words} dB", flush=True)
        weights = {name: value.detach().cpu().contiguous() for name, value in self.mean.state_dict().items()}
        save_file(weights, self.args.out)
        self.args.out.chmod(0o644)
        write_deartifact_card(self.args.out, asdict(progress), sum(v.numel() for v in self.mean.parameters()))
        save_checkpoint(self.checkpoint, self._parts(), progress)


def measure(network: DeartifactNet, patches: Sequence[np.ndarray], device: str) -> list[float]:
    """Mean gain in PSNR over the JPEG (4:2:0) at each of QUALITIES, then at the middle one with nothing told."""
    network.eval()
    told = [(quality, float(quality), (0, 0)) for quality in QUALITIES] + [(QUALITIES[1], BLIND, (-1, -1))]
    gains = [
        float(np.mean([_gain(network, JpegCrop(compress(p, quality), p, value, grid), device) for p in patches]))
        for quality, value, grid in told
    ]
    network.train()
    return gains


def _gain(network: DeartifactNet, crop: JpegCrop, device: str) -> float:
    seen, truth, quality, grid = to_tensors([crop], device)
    with torch.inference_mode():
        cleaned = network(seen, quality, grid).clamp(0, 1)
    before, after = ((each - truth).square().mean() for each in (seen, cleaned))
    return float(10 * (before / after).log10())


def choose(paths: Sequence[Path]) -> list[np.ndarray]:
    """The fixed patches of held-out photographs that the report is measured on."""
    rng = np.random.default_rng(5)
    photographs = Photographs.read(paths)
    return [photographs.patch(_CHOSEN_SIDE_PX, rng) for _ in range(_CHOSEN_COUNT)]


def train(args: argparse.Namespace) -> None:
    """Trains until the minutes are over."""
    args.work.mkdir(parents=True, exist_ok=True)
    train_photos, heldout = split_photographs(args.photos)
    chosen = choose(heldout)
    trainer = Trainer(args, Photographs.read(train_photos))
    run(trainer.progress, args.minutes, args.validate_s, trainer.step, lambda losses: trainer.report(losses, chosen))


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, nargs="+", required=True, help="folders of photographs")
    parser.add_argument("--work", type=Path, default=ROOT / ".work/deartifact", help="checkpoint")
    parser.add_argument("--out", type=Path, default=ROOT / "lib/cleanplate/weights/deartifact.safetensors")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--crop-px", type=int, default=64, help="side of a crop, a multiple of 8")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--hold-start", action="store_true", help="keep the sliding DCT as it is: a fifth faster")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", choices=["bf16", "float32"], default="float32", help="of forward and backward")
    parser.add_argument("--validate-s", type=float, default=240.0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args(argv)


if __name__ == "__main__":
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    train(arguments)
