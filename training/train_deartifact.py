"""Trains the deartifact network on photographs after JPEG, resuming from its checkpoint.

python training/train_deartifact.py --photos DIR [DIR ...] --minutes 60
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from card import write_deartifact_card
from crops import split_photographs
from loop import ROOT, Trainer, parsed, run
from patches import JpegCrop, Photographs, compress, make_jpeg_crop
from perceptual import VGG, Perceptual
from torch import Tensor

from cleanplate.config import load_config
from cleanplate.metrics.lpips import Lpips
from cleanplate.models.deartifact_net import BLIND, KNOTS, DeartifactNet
from cleanplate.models.ffdnet import load_ffdnet
from cleanplate.models.registry import Registry

WEIGHTS = ROOT / "lib/cleanplate/weights"
_EMA = 0.99
_FLOOR = 0.01  # of the grey scale: what a crop's own error is weighed by, at the least
_CHOSEN_SIDE_PX = 192
_CHOSEN_COUNT = 14
QUALITIES = (10, 20, 40)
_MEASURED_PX, _MEASURED_COUNT = 128, 40  # photographs' patches that JPEG's noise is measured on


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


def measure_levels(network: DeartifactNet, photographs: Photographs, rng: np.random.Generator) -> None:
    """Sets the noise level of each knot to the root mean square of what JPEG changes at its quality."""
    patches = [photographs.patch(_MEASURED_PX, rng) for _ in range(_MEASURED_COUNT)]
    changes = [
        np.mean([np.square(compress(patch, round(knot)) / 255.0 - patch / 255.0).mean() for patch in patches]) ** 0.5
        for knot in KNOTS
    ]
    levels = torch.tensor([*changes, float(np.exp(np.mean(np.log(changes))))])
    with torch.no_grad():
        network.log_level.copy_(levels.log())


class DeartifactTrainer(Trainer):
    """The deartifact network in training; its scores are the figures of `measure`."""

    def __init__(self, args: argparse.Namespace, photographs: Photographs) -> None:
        """Makes the network, from FFDNet's weights, or takes it from the checkpoint."""
        super().__init__(
            args, lambda: DeartifactNet(),
            lambda network: torch.optim.Adam(network.parameters(), lr=args.rate, betas=(0.9, 0.99)), _EMA,
        )  # fmt: skip
        self.photographs = photographs
        self.perceptual = Perceptual(args.vgg).to(args.device) if args.perceptual else None
        if not self.resumed:
            self.network.start_from(load_ffdnet(args.denoiser, args.device))
            measure_levels(self.network, photographs, np.random.default_rng(args.seed))
            self.mean.load_state_dict(self.network.state_dict())
        self.lpips = Lpips.load(Registry.load(load_config().models), "cpu")

    def step(self, share: float) -> float:
        """One batch; `share` of the time is over. Returns the loss."""
        args = self.args
        crops = [make_jpeg_crop(self.photographs, args.crop_px, self.rng) for _ in range(args.batch)]
        seen, truth, quality, grid = to_tensors(crops, args.device)

        def loss() -> Tensor:
            cleaned = self.network(seen, quality, grid).float()
            found = loss_of(cleaned, seen, truth)
            if self.perceptual is None:
                return found
            return found + args.perceptual * self.perceptual.over_own(cleaned, seen, truth)

        return self.learn(share, loss)

    def report(self, losses: Sequence[float], chosen: Sequence[np.ndarray]) -> None:
        """Measures on held-out photographs, exports weights and card, keeps the checkpoint."""
        figures = measure(self.mean, chosen, self.args.device, self.lpips)
        self.record(losses, figures, ", ".join(f"{figure:+.3f}" for figure in figures))
        self.export(write_deartifact_card)
        self.save()


def measure(network: DeartifactNet, patches: Sequence[np.ndarray], device: str, lpips: Lpips) -> list[float]:
    """How the result compares with the JPEG (4:2:0), mean over the patches.

    Returns:
        Gain in PSNR at each of QUALITIES, then at the middle one with nothing told; change of LPIPS at each of them.
    """
    network.eval()
    told = [(quality, float(quality), (0, 0)) for quality in QUALITIES] + [(QUALITIES[1], BLIND, (-1, -1))]
    found = []
    for quality, value, grid in told:
        crops = [JpegCrop(compress(patch, quality), patch, value, grid) for patch in patches]
        found.append(np.mean([_compared(network, crop, device, lpips) for crop in crops], axis=0))
    network.train()
    return [float(gain) for gain, _ in found] + [float(change) for _, change in found[: len(QUALITIES)]]


def _compared(network: DeartifactNet, crop: JpegCrop, device: str, lpips: Lpips) -> tuple[float, float]:
    """Gain in PSNR, dB, and change of LPIPS over the JPEG."""
    seen, truth, quality, grid = to_tensors([crop], device)
    with torch.inference_mode():
        cleaned = network(seen, quality, grid).clamp(0, 1)
    before, after = ((each - truth).square().mean() for each in (seen, cleaned))
    pixels = cleaned[0].mul(255).round().byte().permute(1, 2, 0).cpu().numpy()
    change = lpips.distance(pixels, crop.truth) - lpips.distance(crop.seen, crop.truth)
    return float(10 * (before / after).log10()), change


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
    trainer = DeartifactTrainer(args, Photographs.read(train_photos))
    run(trainer.progress, args.minutes, args.validate_s, trainer.step, lambda losses: trainer.report(losses, chosen))


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, nargs="+", required=True, help="folders of photographs")
    parser.add_argument("--work", type=Path, default=ROOT / ".work/deartifact", help="checkpoint")
    parser.add_argument("--out", type=Path, default=WEIGHTS / "deartifact.safetensors")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--crop-px", type=int, default=64, help="side of a crop, a multiple of 8")
    parser.add_argument("--rate", type=float, default=5e-5)
    parser.add_argument("--denoiser", type=Path, default=WEIGHTS / "ffdnet_color.safetensors", help="where it starts")
    parser.add_argument("--perceptual", type=float, default=0.0, help="weight of VGG16's features in the loss")
    parser.add_argument("--vgg", type=Path, default=VGG)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--validate-s", type=float, default=240.0)
    return parsed(parser, argv, "float32")


if __name__ == "__main__":
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    train(arguments)
