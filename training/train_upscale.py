"""Trains the faithful upscaler on photographs and pages that were made half as large, resuming from its checkpoint.

python training/train_upscale.py --photos DIR [DIR ...] --minutes 25
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from card import write_upscale_card
from crops import split_photographs
from loop import ROOT, Trainer, parsed, run
from muon import Muon
from numpy.typing import NDArray
from pages import draw_page
from patches import Photographs, compress
from PIL import Image
from torch import Tensor

from cleanplate.evaluation.overlays import FontLibrary
from cleanplate.models.upscale_net import SCALE, UpscaleNet, enlarge

_EMA = 0.99
_FLOOR = 0.004  # of the grey scale: what a crop's own error is weighed by, at the least
_PAGES, _CHOSEN_PAGES = 48, 6
_PAGE_SHARE, _JPEG_SHARE, _NOISE_SHARE = 0.25, 0.2, 0.15
_CHOSEN_SIDE_PX, _CHOSEN_COUNT = 256, 16


def halve(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture of half the size by antialiased bicubic resampling, as Pillow and MATLAB do."""
    height, width = picture.shape[:2]
    return np.asarray(Image.fromarray(picture).resize((width // SCALE, height // SCALE), Image.Resampling.BICUBIC))


def degrade(small: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """The small picture as it is, or as a mild JPEG, or with a scanner's noise."""
    chance = rng.random()
    if chance < _JPEG_SHARE:
        return compress(small, int(rng.integers(70, 97)), "420" if rng.random() < 0.5 else "444")
    if chance < _JPEG_SHARE + _NOISE_SHARE:
        noise = rng.standard_normal(small.shape, dtype=np.float32) * float(rng.uniform(0.5, 4.0))
        noise = cv2.GaussianBlur(noise, (0, 0), 0.6) * 1.5 if rng.random() < 0.5 else noise
        return np.clip(np.rint(small + noise), 0, 255).astype(np.uint8)
    return small


class Sources:
    """Photographs and pages to cut crops from."""

    def __init__(self, photographs: Photographs, pages: Photographs) -> None:
        """Keeps both."""
        self.photographs, self.pages = photographs, pages

    def draw(self, side_px: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """A small picture, uint8 (side_px, side_px, 3), and its truth of twice the side."""
        source = self.pages if rng.random() < _PAGE_SHARE else self.photographs
        truth = source.patch(SCALE * side_px, rng)
        return degrade(halve(truth), rng), truth


def to_tensor(pictures: Sequence[NDArray[np.uint8]], device: str) -> Tensor:
    """Pictures as float (N, 3, H, W), 0..1."""
    return torch.from_numpy(np.stack(pictures)).to(device).permute(0, 3, 1, 2).float() / 255


def loss_of(found: Tensor, small: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute error over that of bicubic interpolation, crop by crop, so that flat ones count too."""
    error = (found - truth).square().add(1e-6).sqrt().mean(dim=(1, 2, 3))
    own = (enlarge(small) - truth).abs().mean(dim=(1, 2, 3))
    return (error / (own + _FLOOR)).mean()


class UpscaleTrainer(Trainer):
    """The upscaler in training; its scores are gains in dB over bicubic interpolation on photographs, on pages."""

    def __init__(self, args: argparse.Namespace, sources: Sources) -> None:
        """Makes the network, or takes it from the checkpoint."""
        super().__init__(args, lambda: UpscaleNet(), lambda network: Muon(network, args.rate), _EMA)
        self.sources = sources

    def step(self, share: float) -> float:
        """One batch; `share` of the time is over. Returns the loss."""
        args = self.args
        pairs = [self.sources.draw(args.crop_px, self.rng) for _ in range(args.batch)]
        small, truth = (to_tensor(part, args.device) for part in zip(*pairs, strict=True))
        return self.learn(share, lambda: loss_of(self.network(small).float(), small, truth))

    def report(self, losses: Sequence[float], chosen: Sequence[Sequence[NDArray[np.uint8]]]) -> None:
        """Measures on held-out photographs and pages, exports weights and card, keeps the checkpoint."""
        gains = [measure(self.mean, truths, self.args.device) for truths in chosen]
        self.record(losses, gains, ", ".join(f"{gain:+.3f}" for gain in gains) + " dB")
        self.export(write_upscale_card)
        self.save()


def measure(network: UpscaleNet, truths: Sequence[NDArray[np.uint8]], device: str) -> float:
    """Mean gain in PSNR over bicubic interpolation of clean small pictures."""
    gains = []
    with torch.inference_mode():
        for picture in truths:
            small, truth = to_tensor([halve(picture)], device), to_tensor([picture], device)
            before, after = ((each.clamp(0, 1) - truth).square().mean() for each in (enlarge(small), network(small)))
            gains.append(float(10 * (before / after).log10()))
    return float(np.mean(gains))


def choose(paths: Sequence[Path], fonts: FontLibrary) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]]:
    """The fixed patches of held-out photographs, and pages, that the report is measured on."""
    rng = np.random.default_rng(5)
    photographs = Photographs.read(paths)
    patches = [photographs.patch(_CHOSEN_SIDE_PX, rng) for _ in range(_CHOSEN_COUNT)]
    return patches, [draw_page(rng, fonts)[:_CHOSEN_SIDE_PX, :_CHOSEN_SIDE_PX] for _ in range(_CHOSEN_PAGES)]


def train(args: argparse.Namespace) -> None:
    """Trains until the minutes are over."""
    args.work.mkdir(parents=True, exist_ok=True)
    train_photos, heldout = split_photographs(args.photos)
    fonts = FontLibrary.load("train")
    rng = np.random.default_rng([args.seed, 11])
    pages = Photographs([draw_page(rng, fonts) for _ in range(_PAGES)])
    chosen = choose(heldout, fonts)
    trainer = UpscaleTrainer(args, Sources(Photographs.read(train_photos), pages))
    run(trainer.progress, args.minutes, args.validate_s, trainer.step, lambda losses: trainer.report(losses, chosen))


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, nargs="+", required=True, help="folders of photographs")
    parser.add_argument("--work", type=Path, default=ROOT / ".work/upscale", help="checkpoint")
    parser.add_argument("--out", type=Path, default=ROOT / "lib/cleanplate/weights/upscale.safetensors")
    parser.add_argument("--minutes", type=float, default=25.0)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--crop-px", type=int, default=40, help="side of a small picture")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--validate-s", type=float, default=180.0)
    return parsed(parser, argv, "float32")


if __name__ == "__main__":
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    train(arguments)
