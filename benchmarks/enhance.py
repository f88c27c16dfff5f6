"""Measures what enhancement is worth, on photographs that nothing was trained on; tables in Markdown.

    python benchmarks/enhance.py denoise order upscale tiles --photos ../shared/data/kodak --realesrgan FILE
    python benchmarks/enhance.py memory --megapixels 50

denoise   FFDNet against the published Kodak24 table: colour Gaussian noise, not clipped, seed 0 for each image, PSNR
          over RGB of the unclipped output, on centre crops of 500x500 and on whole pictures.
order     remove-then-denoise (with regrain and without) against denoise-then-remove, and remove-then-upscale against
          upscale-then-remove: captions with their true masks, by the whole loop (route, fill, blend, regrain, verify);
          PSNR and LPIPS in the mask.
upscale   the upscalers against bicubic: crops of 256x256, downscaled by Pillow's bicubic, enlarged again.
tiles     the largest difference between tiled and at once, in grey levels.
memory    peak resident memory of a process that upscales a picture by two. `--every N` runs the network on each Nth
          tile only (the others are written to the same buffers), because memory does not depend on the rest.
encode    what of the deartifact network's gain is left when the JPEG is written with the source's own tables.
"""

from __future__ import annotations

import argparse
import hashlib
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
import yaml
from common import print_table
from numpy.typing import NDArray
from PIL import Image as PillowImage

from cleanplate import attempts
from cleanplate.codec import decode, rewrite
from cleanplate.config import Config, ModelsConfig, SourceConfig, load_config
from cleanplate.enhance import build_enhancer, build_upscaler
from cleanplate.enhance.analyse import Analysis, analyse
from cleanplate.enhance.base import Enhancer
from cleanplate.enhance.denoise import Denoise
from cleanplate.enhance.polish import sharpen
from cleanplate.enhance.tiling import Tile
from cleanplate.enhance.upscale import GenerativeUpscaler
from cleanplate.errors import CleanplateError
from cleanplate.evaluation.cases import Case, lpips_round, make_cases
from cleanplate.evaluation.overlays import FontLibrary
from cleanplate.evaluation.photographs import list_photographs, read_rgb
from cleanplate.image import Carried, Image
from cleanplate.metrics.lpips import Lpips
from cleanplate.metrics.noise import noise_ratio
from cleanplate.metrics.psnr import psnr
from cleanplate.models.ffdnet import Ffdnet, load_ffdnet
from cleanplate.models.registry import Registry
from cleanplate.pipeline import Plan
from cleanplate.records import Box, Job, Region
from cleanplate.windows import shrink_mask

Picture = NDArray[np.uint8]
PUBLISHED = {15: 34.63, 25: 32.13, 50: 28.98}
QUIET = Analysis(None, "none", (0, 0), False, 0.0, 0.0, 0.0, 0.0, 0.0, 0.5, "camera")


def as_image(rgb: Picture) -> Image:
    """Pixels as the image of a PNG file."""
    return Image(rgb, rgb, Carried("PNG", "image/png", "RGB"), b"")


def denoise_table(paths: Sequence[Path], registry: Registry, with_whole: bool, sigmas: Sequence[int]) -> None:
    """FFDNet's PSNR beside the published one."""
    network = load_ffdnet(registry.path("ffdnet"))
    rows: list[list[object]] = []
    for name, crop in (("500x500 centre crops", 500), ("whole pictures", 0))[: 2 if with_whole else 1]:
        for sigma in sigmas:
            found = [_denoise_psnr(network, _centre(read_rgb(path), crop), sigma) for path in paths]
            before, after = np.mean(found, axis=0)
            published = PUBLISHED.get(sigma) if crop else None
            gap = f"{after - published:+.3f}" if published else ""
            rows.append([name, len(paths), sigma, f"{before:.2f}", f"{after:.3f}", published or "", gap])
    print_table(["pictures", "count", "sigma", "noisy, dB", "FFDNet, dB", "published", "difference"], rows)


def _denoise_psnr(network: Ffdnet, rgb: Picture, sigma: int) -> tuple[float, float]:
    clean = torch.from_numpy(rgb.copy()).permute(2, 0, 1)[None].float() / 255
    noise = np.random.default_rng(0).normal(0, sigma / 255, clean.shape)
    noisy = clean + torch.from_numpy(noise).float()
    with torch.inference_mode():
        found = network(noisy, torch.full((1, 1, *rgb.shape[:2]), sigma / 255))
    return tuple(float(-10 * torch.log10(torch.mean((x - clean) ** 2))) for x in (noisy, found))  # type: ignore[return-value]


def _centre(rgb: Picture, side: int) -> Picture:
    if not side:
        return rgb
    top, left = (rgb.shape[0] - side) // 2, (rgb.shape[1] - side) // 2
    return np.ascontiguousarray(rgb[top : top + side, left : left + side])


def order_tables(cases: Sequence[Case], plan: Plan, lpips: Lpips, sigma: float) -> None:
    """Removal before and after denoising and upscaling."""
    enhancer = build_enhancer("denoise", plan.config, plan.registry, "cpu")
    upscaler = build_upscaler("faithful", 2, plan.config, plan.registry, "cpu")
    smooth = plan.config.regrain.model_copy(update={"enabled": False})
    grainless = replace(plan, config=plan.config.model_copy(update={"regrain": smooth}))
    scores: dict[str, list[list[float]]] = {}
    for number, case in enumerate(cases):
        noise = np.random.default_rng(number).normal(0, sigma, case.before.shape)
        noisy = np.clip(np.rint(case.before + noise), 0, 255).astype(np.uint8)
        analysis = analyse(as_image(noisy))
        results = {
            "remove with regrain, then denoise": enhancer.apply(removed(noisy, case, plan), analysis),
            "remove, then denoise (what is done)": enhancer.apply(removed(noisy, case, grainless), analysis),
            "denoise, then remove": removed(enhancer.apply(noisy, analysis), case, plan),
        }
        small = _shrunk(case)
        results |= {
            "remove, then upscale x2": upscaler.apply(removed(small.before, small, plan), QUIET),
            "upscale x2, then remove": removed(upscaler.apply(small.before, QUIET), _mask_doubled(small), plan),
        }
        for name, result in results.items():
            scores.setdefault(name, []).append(_judge(case, result, lpips))
    rows = [[name, len(found), *(f"{v:.3f}" for v in np.mean(found, axis=0))] for name, found in scores.items()]
    print_table(["order", "cases", "PSNR in the mask, dB", "LPIPS", "noise in the fill / round it"], rows)


def removed(rgb: Picture, case: Case, plan: Plan) -> Picture:
    """The whole loop over one given mask; with no confidence asked for, so that every method fills."""
    mask = case.mask
    region = Region(0, "overlay_text", 1.0, Box(0, 0, mask.shape[1], mask.shape[0]), mask.astype(np.float32), mask,
                    mask.astype(np.float32))  # fmt: skip
    return attempts.run([attempts.Work(Job("case", as_image(rgb), seed=1), (region,))], plan)[0].rgb


def _shrunk(case: Case) -> Case:
    """The case at half its size, as if it had been photographed so."""
    height, width = (side // 2 for side in case.mask.shape)
    before, truth = (cv2.resize(p, (width, height), interpolation=cv2.INTER_AREA) for p in (case.before, case.truth))
    mask = shrink_mask(case.mask, (width, height))
    return replace(case, before=before, truth=truth, mask=mask)


def _mask_doubled(case: Case) -> Case:
    """The mask at twice its size, two pixels wider: the upscaler has spread the letters."""
    doubled = case.mask.repeat(2, axis=0).repeat(2, axis=1)
    return replace(case, mask=cv2.dilate(doubled, np.ones((3, 3), np.uint8)))


def _judge(case: Case, result: Picture, lpips: Lpips) -> list[float]:
    height, width = result.shape[:2]
    whole = replace(case, truth=case.truth[:height, :width], mask=case.mask[:height, :width])
    return [
        psnr(result, whole.truth, whole.mask), lpips_round(whole, result, lpips),
        noise_ratio(result, whole.mask, whole.mask),
    ]  # fmt: skip


def upscale_table(paths: Sequence[Path], upscalers: dict[str, Callable[[int], Enhancer]], lpips: Lpips) -> None:
    """Upscalers against bicubic, on downscaled crops."""
    crops = [_centre(read_rgb(path), 256) for path in paths]
    rows: list[list[object]] = []
    for scale in (2, 4):
        for name, make in upscalers.items():
            upscaler, started = make(scale), time.perf_counter()
            pairs = [(crop, upscaler.apply(_downscaled(crop, scale), QUIET)) for crop in crops]
            seconds = (time.perf_counter() - started) / sum(crop.size / 3e6 for crop in crops)
            found = [(psnr(result, crop), lpips.distance(result, crop)) for crop, result in pairs]
            values = np.mean(found, axis=0)
            rows.append([f"x{scale}", name, len(crops), f"{values[0]:.2f}", f"{values[1]:.3f}", f"{seconds:.1f}"])
    print_table(["factor", "upscaler", "crops", "PSNR, dB", "LPIPS", "s per megapixel of result"], rows)


def _downscaled(crop: Picture, scale: int) -> Picture:
    size = (crop.shape[1] // scale, crop.shape[0] // scale)
    return np.array(PillowImage.fromarray(crop).resize(size, PillowImage.Resampling.BICUBIC))


class Bicubic:
    """The peer."""

    name, synthetic = "bicubic", False

    def __init__(self, scale: int) -> None:
        self.scale = scale

    def apply(self, rgb: Picture, analysis: Analysis) -> Picture:
        """Pillow's bicubic."""
        size = (rgb.shape[1] * self.scale, rgb.shape[0] * self.scale)
        return np.array(PillowImage.fromarray(rgb).resize(size, PillowImage.Resampling.BICUBIC))


def tiles_table(path: Path, registry: Registry, generative: Registry | None) -> None:
    """Tiled against at once."""
    rgb = _centre(read_rgb(path), 320)
    noisy = replace(QUIET, noise_rgb=15.0, noise_luma=10.0, noise_slope=0.3)
    whole, tiled = (Denoise(registry, tile_px=side).apply(rgb, noisy) for side in (400, 160))
    rows: list[list[object]] = [["denoise", "320x320", 160, _apart(whole, tiled)]]
    sharp = sharpen(rgb, 0.0)
    from cleanplate.enhance import polish  # the tile is a constant there

    kept, polish._TILE_PX = polish._TILE_PX, 96
    rows.append(["polish", "320x320", 96, _apart(sharp, polish.Polish().apply(rgb, QUIET))])
    polish._TILE_PX = kept
    if generative is not None:
        part = np.ascontiguousarray(rgb[:32, :208])
        at_once = GenerativeUpscaler(generative, "cpu", 4, tile_px=400).apply(part, QUIET)
        for halo in (16, 32, 48, 64):
            cut = GenerativeUpscaler(generative, "cpu", 4, tile_px=2 * halo + 32, halo_px=halo).apply(part, QUIET)
            rows.append([f"generative, halo {halo}", "208x32", 2 * halo + 32, _apart(at_once, cut)])
    print_table(["enhancer", "picture", "tile, px", "largest difference; share beyond 1"], rows)


def _apart(first: Picture, second: Picture) -> str:
    apart = np.abs(first.astype(int) - second)
    return f"{apart.max()}; {100 * (apart > 1).mean():.4f} %"


def encode_table(paths: Sequence[Path], registry: Registry, config: Config) -> None:
    """Deartifacted JPEGs, written with their own tables and with finer ones."""
    enhancer, limits = build_enhancer("deartifact", config, registry, "cpu"), SourceConfig(guard="none")
    rows: list[list[object]] = []
    for quality in (10, 20, 40):
        found, sizes = [], []
        for path in paths:
            truth = _centre(read_rgb(path), 256)
            data = cv2.imencode(".jpg", truth[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
            image = decode(data, limits)
            better = enhancer.apply(image.rgb, analyse(image))
            files = [rewrite(image, better, least) for least in (1, config.enhance.jpeg_quality)]
            read = [decode(file, limits).rgb for file in files]
            found.append([psnr(picture, truth) for picture in (image.rgb, better, *read)])
            sizes.append([len(data), *map(len, files)])
        values, bytes_ = np.mean(found, axis=0), np.mean(sizes, axis=0) / 1000
        gains = [f"{value - values[0]:+.2f}" for value in values[1:]]
        rows.append([quality, len(paths), f"{values[0]:.2f}", *gains, " / ".join(f"{size:.0f}" for size in bytes_)])
    columns = ["quality", "crops", "JPEG, dB", "network", "own tables", "finer tables", "kB: source / own / finer"]
    print_table(columns, rows)


def memory_row(name: str, megapixels: float, every: int, realesrgan: Path | None) -> None:
    """Upscales by two in this process and prints its peak memory."""
    registry = generative_registry(realesrgan) if realesrgan else Registry.load(ModelsConfig())
    upscaler = build_upscaler(name, 2, load_config(), registry, "cpu")
    height = round((megapixels * 1e6 * 2 / 3) ** 0.5)
    rgb = np.random.default_rng(0).integers(0, 256, (height, round(megapixels * 1e6 / height), 3), np.uint8)
    if every > 1:
        _sample_tiles(every)
    started = time.perf_counter()
    result = upscaler.apply(rgb, QUIET)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    seconds = time.perf_counter() - started
    size = f"{rgb.shape[1]} x {rgb.shape[0]} to {result.shape[1]} x {result.shape[0]}"
    print(f"| {name} | {size} | {'all' if every == 1 else f'one in {every}'} | {peak:.2f} | {seconds:.0f} |")


def _sample_tiles(every: int) -> None:
    """Lets only each Nth tile go through its network; the rest is repeated pixels, written to the same buffers."""
    from cleanplate.enhance import upscale, upscale_faithful

    original = upscale.tiled

    def sampled(
        rgb: Picture, function: Tile, tile_px: int, halo_px: int, scale: int = 1, align_px: int = 1
    ) -> Picture:
        count = 0

        def some(tile: Picture, box: Box) -> Picture:
            nonlocal count
            count += 1
            return function(tile, box) if count % every == 1 else tile.repeat(scale, axis=0).repeat(scale, axis=1)

        return original(rgb, some, tile_px, halo_px, scale, align_px)

    upscale.tiled = upscale_faithful.tiled = sampled  # type: ignore[assignment]


def generative_registry(path: Path) -> Registry:
    """The registry with the entry `realesrgan` for a file."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    entry = {"uri": str(path.resolve()), "sha256": digest, "licence": "BSD-3-Clause", "commercial": True}
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(yaml.safe_dump({"models": {"realesrgan": entry}}))
        file.flush()
        return Registry.load(ModelsConfig(registry_files=(file.name,)))


def main() -> None:
    """Runs the parts that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=["denoise", "order", "upscale", "tiles", "encode", "memory", "one"])
    parser.add_argument("--photos", type=Path, help="folder of photographs never trained on")
    parser.add_argument("--names", nargs="*", help="stems of those to take")
    parser.add_argument("--limit", type=int, help="photographs at most")
    parser.add_argument("--crops-only", action="store_true", help="no whole pictures in the table of `denoise`")
    parser.add_argument("--sigmas", type=int, nargs="*", default=[15, 25, 50])
    parser.add_argument("--sigma", type=float, default=10.0, help="noise of `order`")
    parser.add_argument("--realesrgan", type=Path, help="weights of Real-ESRGAN x4plus")
    parser.add_argument("--megapixels", type=float, default=50.0)
    parser.add_argument("--every", type=int, default=1, help="of `memory`: only each Nth tile; Real-ESRGAN is slow")
    parser.add_argument("--upscaler", default="faithful", help="of the part `one`, which `memory` starts")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    for part in options.parts:
        print(f"\n{part}\n", flush=True)
        run(part, options)


def run(part: str, options: argparse.Namespace) -> None:
    """One part."""
    if part == "one":
        memory_row(options.upscaler, options.megapixels, options.every, options.realesrgan)
        return
    if part == "memory":
        _memory(options)
        return
    registry = Registry.load(ModelsConfig())
    paths = [p for p in list_photographs([options.photos]) if not options.names or p.stem in options.names]
    paths = paths[: options.limit]
    generative = generative_registry(options.realesrgan) if options.realesrgan else None
    config = load_config(overrides=["models.device=cpu", "models.threads=1", "verify.min_confidence=0"])
    if part == "denoise":
        denoise_table(paths, registry, not options.crops_only, options.sigmas)
    elif part == "order":
        plan = Plan.load(config)
        cases = make_cases(paths, FontLibrary.load("heldout"), ("overlay_text",))
        order_tables(cases, plan, Lpips.load(registry), options.sigma)
    elif part == "upscale":
        upscale_table(paths, _upscalers(config, registry, generative), Lpips.load(registry))
    elif part == "tiles":
        tiles_table(paths[0], registry, generative)
    else:
        encode_table(paths, registry, config)


def _upscalers(config: Config, registry: Registry, generative: Registry | None) -> dict[str, Callable[[int], Enhancer]]:
    found: dict[str, Callable[[int], Enhancer]] = {
        "bicubic": Bicubic,
        "lanczos": lambda scale: build_upscaler("lanczos", scale, config, registry, "cpu"),
        "faithful": lambda scale: build_upscaler("faithful", scale, config, registry, "cpu"),
    }
    if generative is not None:
        found["generative (Real-ESRGAN)"] = lambda scale: GenerativeUpscaler(generative, "cpu", scale)
    return found


def _memory(options: argparse.Namespace) -> None:
    print_table(["upscaler", "size", "tiles through the network", "peak resident memory, GB", "s"], [])
    names = ["lanczos", "faithful", *(["generative"] if options.realesrgan else [])]
    for name in names:
        command = [sys.executable, __file__, "one", "--upscaler", name, "--megapixels", str(options.megapixels)]
        command += ["--every", str(options.every)]
        command += ["--realesrgan", str(options.realesrgan)] if name == "generative" else []
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise CleanplateError(done.stderr[-2000:])
        print(done.stdout.strip().splitlines()[-1], flush=True)


if __name__ == "__main__":
    main()
