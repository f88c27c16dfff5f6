"""Measures the deartifact network and the faithful upscaler on photographs never trained on; tables in Markdown.

    python benchmarks/deartifact.py --photos ../shared/data/kodak --sheet docs/deartifact.webp

Gains are means over pictures of the colour PSNR (all three channels) over the JPEG's own. Bilateral, non-local means
and FFDNet are the best of a few strengths, chosen by PSNR on these very pictures, which favours them. "Estimated" has
the quality and the grid found in the pixels; "nothing told" is the network without either.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import torch
from common import print_table
from numpy.typing import NDArray
from PIL import Image

from cleanplate.config import load_config
from cleanplate.enhance.deartifact import Deartifact
from cleanplate.enhance.jpeg_past import find_past
from cleanplate.enhance.upscale_faithful import FaithfulUpscaler
from cleanplate.evaluation.photographs import list_photographs, read_rgb
from cleanplate.metrics.lpips import Lpips
from cleanplate.metrics.psnr import psnr
from cleanplate.models.deartifact_net import BLIND
from cleanplate.models.registry import Registry

Rgb = NDArray[np.uint8]
Filter = Callable[[Rgb, int], Rgb]
QUALITIES = (10, 20, 40)
TWICE = ((10, 40), (20, 20), (30, 10), (40, 75))  # first quality, last quality
SHIFT = (5, 3)  # column and row that are cut off between the two
SAMPLING = {"4:2:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420, "4:4:4": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444}


@dataclass
class Scores:
    """What one method reached, by picture."""

    psnr: list[float] = field(default_factory=list)
    lpips: list[float] = field(default_factory=list)
    seconds: float = 0.0
    megapixels: float = 0.0


def jpeg(picture: Rgb, quality: int, sampling: str = "4:2:0") -> Rgb:
    """A picture after JPEG."""
    settings = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, SAMPLING[sampling]]
    _, data = cv2.imencode(".jpg", picture[..., ::-1], settings)
    return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])


class Methods:
    """The peers and the network in its ways of being told."""

    def __init__(self, registry: Registry, enhancer: Deartifact, with_peers: bool) -> None:
        """Builds them."""
        self._enhancer = enhancer
        self._registry = registry
        self.with_peers = with_peers

    def all(self) -> dict[str, Filter]:
        """By name; a name with a bracket is one strength of a peer."""
        found: dict[str, Filter] = {"JPEG": lambda seen, quality: seen}
        if self.with_peers:
            for level in (8, 20):
                found[f"bilateral ({level})"] = lambda s, q, v=level: cv2.bilateralFilter(s, 7, v, 3)  # type: ignore[misc]
            for level in (3, 6):
                found[f"non-local means ({level})"] = (  # type: ignore[misc]
                    lambda s, q, v=level: cv2.fastNlMeansDenoisingColored(s, None, v, v, 5, 15)
                )
            found |= self._ffdnet()
        found["network"] = lambda seen, quality: self._enhancer.clean(seen, quality, (0, 0))
        found["network, all the way"] = lambda seen, quality: self._enhancer.clean(seen, quality, (0, 0), 1.0)
        found["network, estimated"] = self.estimated
        found["network, nothing told"] = lambda seen, quality: self._enhancer.clean(seen, BLIND, None)
        return found

    def estimated(self, seen: Rgb, quality: int) -> Rgb:
        """The enhancer, with what the pixels say of their past."""
        past = find_past(seen)
        known = SimpleNamespace(
            jpeg_quality=past.quality, grid_offset=past.offset, jpeg_first_quality=past.first_quality
        )
        return self._enhancer.apply(seen, known)  # type: ignore[arg-type]

    def _ffdnet(self) -> dict[str, Filter]:
        from cleanplate.enhance.denoise import Denoise

        denoiser = Denoise(self._registry)
        return {
            f"FFDNet ({v})": lambda s, q, v=v: denoiser.denoise(s, np.full(s.shape[:2], v, np.float32))  # type: ignore[misc]
            for v in (6, 14)
        }


def compare(
    pairs: Sequence[tuple[Rgb, Rgb]], filters: dict[str, Filter], quality: int, lpips: Lpips | None
) -> dict[str, Scores]:
    """Scores of all methods on pairs of a picture and its truth; of a peer's strengths only the best stays."""
    table: dict[str, Scores] = defaultdict(Scores)
    for seen, truth in pairs:
        for name, method in filters.items():
            started = time.perf_counter()
            found = method(seen, quality)
            scores = table[name]
            scores.seconds += time.perf_counter() - started
            scores.megapixels += seen.shape[0] * seen.shape[1] / 1e6
            scores.psnr.append(psnr(found, truth))
            if lpips is not None:
                scores.lpips.append(lpips.distance(found, truth))
    best: dict[str, Scores] = {}
    for name, scores in table.items():
        label = name.split(" (")[0]
        if label not in best or np.mean(scores.psnr) > np.mean(best[label].psnr):
            best[label] = scores
    return best


def rows_of(label: str, table: dict[str, Scores]) -> list[list[object]]:
    """One row per method; the first is the JPEG."""
    base = table["JPEG"]
    rows: list[list[object]] = []
    for name, scores in table.items():
        gains = np.array(scores.psnr) - np.array(base.psnr)
        row = [label, name, f"{np.mean(scores.psnr):.2f}", f"{gains.mean():+.2f}", f"{gains.min():+.2f}"]
        if scores.lpips:
            worse = int((np.array(scores.lpips) > np.array(base.lpips)).sum())
            row += [f"{np.mean(scores.lpips):.4f}", f"{worse} of {len(gains)}"]
        else:
            row += ["", ""]
        rows.append([*row, f"{scores.seconds / scores.megapixels:.1f}"])
    return rows


def once(pictures: Sequence[Rgb], methods: Methods, lpips: Lpips) -> list[list[object]]:
    """JPEG once, both samplings; peers with 4:2:0 alone."""
    rows = []
    for sampling in SAMPLING:
        filters = methods.all()
        if sampling != "4:2:0":
            filters = {name: filters[name] for name in ("JPEG", "network")}
        for quality in QUALITIES:
            pairs = [(jpeg(picture, quality, sampling), picture) for picture in pictures]
            rows += rows_of(f"{quality}, {sampling}", compare(pairs, filters, quality, lpips))
    return rows


def twice(pictures: Sequence[Rgb], methods: Methods, lpips: Lpips) -> list[list[object]]:
    """JPEG twice, the second grid shifted; "network" is told the last quality, "estimated" is the enhancer."""
    column, row = SHIFT
    filters = {k: v for k, v in methods.all().items() if k in ("JPEG", "network", "network, estimated")}
    rows = []
    for first, last in TWICE:
        pairs = [(jpeg(jpeg(p, first)[row:, column:], last), p[row:, column:]) for p in pictures]
        rows += rows_of(f"{first}, then {last}", compare(pairs, filters, last, lpips))
    return rows


def enlarged(pictures: Sequence[Rgb], upscalers: dict[int, FaithfulUpscaler], lpips: Lpips) -> list[list[object]]:
    """Twice and four times, from antialiased bicubic pictures, and from JPEGs of them at quality 85."""
    rows: list[list[object]] = []
    for scale, upscaler in upscalers.items():
        for kind in ("clean", "JPEG 85"):
            table: dict[str, Scores] = defaultdict(Scores)
            for picture in pictures:
                truth, small = _reduced(picture, scale)
                small = jpeg(small, 85) if kind != "clean" else small
                _enlarge_all(small, truth, upscaler, table, lpips)
            base = np.array(table["bicubic"].psnr)
            for name, scores in table.items():
                gain = np.array(scores.psnr) - base
                rows.append(
                    [
                        f"x{scale}, {kind}", name, f"{np.mean(scores.psnr):.2f}", f"{gain.mean():+.2f}",
                        f"{gain.min():+.2f}", f"{np.mean(scores.lpips):.4f}",
                        f"{scores.seconds / scores.megapixels:.2f}",
                    ]
                )  # fmt: skip
    return rows


def _reduced(picture: Rgb, scale: int) -> tuple[Rgb, Rgb]:
    height, width = (length // scale * scale for length in picture.shape[:2])
    truth = picture[:height, :width]
    small = Image.fromarray(truth).resize((width // scale, height // scale), Image.Resampling.BICUBIC)
    return truth, np.asarray(small).copy()


def _enlarge_all(
    small: Rgb, truth: Rgb, upscaler: FaithfulUpscaler, table: dict[str, Scores], lpips: Lpips
) -> None:
    size = truth.shape[1], truth.shape[0]
    ways: dict[str, Callable[[], Rgb]] = {
        "bicubic": lambda: np.asarray(Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)),
        "Lanczos": lambda: np.asarray(Image.fromarray(small).resize(size, Image.Resampling.LANCZOS)),
        "network": lambda: upscaler.apply(small),
    }
    for name, way in ways.items():
        started = time.perf_counter()
        found = way()
        scores = table[name]
        scores.seconds += time.perf_counter() - started
        scores.megapixels += truth.shape[0] * truth.shape[1] / 1e6
        scores.psnr.append(psnr(found, truth))
        scores.lpips.append(lpips.distance(found, truth))


def sheet(pictures: Sequence[Rgb], methods: Methods, path: Path) -> None:
    """Crops of 192 px: JPEG and network at the two lower qualities, then the truth; one row per picture."""
    rows = []
    for picture in pictures:
        picture = _middle(picture, 256)
        cut = (slice(32, 224), slice(32, 224))
        parts = [picture[cut]]
        for quality in QUALITIES[:2]:
            seen = jpeg(picture, quality)
            parts += [seen[cut], methods.all()["network"](seen, quality)[cut]]
        rows.append(np.concatenate(parts[1:] + parts[:1], axis=1))
    cv2.imwrite(str(path), np.concatenate(rows)[..., ::-1])


def _middle(picture: Rgb, side_px: int | None) -> Rgb:
    """The middle of a picture."""
    if side_px is None:
        return picture
    top, left = (max(0, length - side_px) // 2 for length in picture.shape[:2])
    return np.ascontiguousarray(picture[top : top + side_px, left : left + side_px])


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, nargs="+", required=True)
    parser.add_argument("--count", type=int, default=None, help="of the pictures, evenly chosen; default all")
    parser.add_argument("--crop-px", type=int, help="side of the middle that is looked at; default all of a picture")
    parser.add_argument("--only", choices=["once", "twice", "upscale"], nargs="+", default=["once", "twice", "upscale"])
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sheet", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    paths = list_photographs(args.photos)
    paths = paths[:: max(1, len(paths) // (args.count or len(paths)))]
    pictures = [_middle(read_rgb(path), args.crop_px) for path in paths]
    config = load_config()
    registry = Registry.load(config.models)
    lpips = Lpips.load(registry)
    methods = Methods(registry, Deartifact.build(config, registry, "cpu"), not args.no_peers)
    columns = ["quality", "method", "PSNR", "gain", "least gain", "LPIPS", "LPIPS worse", "s/MP"]
    for name, table in (("once", once), ("twice", twice)):
        if name in args.only:
            print_table(columns, table(pictures, methods, lpips))
            print()
    if "upscale" in args.only:
        upscalers = {scale: FaithfulUpscaler.build(config, registry, "cpu", scale) for scale in (2, 4)}
        columns = ["size", "method", "PSNR", "gain over bicubic", "least gain", "LPIPS", "s/MP"]
        print_table(columns, enlarged(pictures, upscalers, lpips))
    if args.sheet:
        sheet([pictures[i % len(pictures)] for i in (0, 4, 7, 18, 22)], methods, args.sheet)


if __name__ == "__main__":
    main()
