"""Whether regrain gives a fill the noise of its surroundings, measured in the re-decoded file; tables in Markdown.

    python benchmarks/regrain.py --photos ../shared/data/kodak --train ../shared/data/train

Windows of photographs, as they are, with noise of known kind, and as JPEGs; a blob and a stroke are painted in and
filled. Without regrain stands beside with it. `noise` is the median ratio of the fill's noise level to the ring's, `in
10 %` how many are so near, `spectrum` the mean difference of the power spectra in decibels, `smudges` the fills whose
energy in quick waves is less than half of the ring's. The classifier (random forest, features of 16x16 px patches and
of their difference to the picture's other patches) is fitted on the training photographs and has to tell filled flat
patches from untouched ones on the others; guessing is 50 %.
"""

from __future__ import annotations

import argparse
import io
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from common import print_table
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image as PillowImage
from sklearn.ensemble import RandomForestClassifier

from cleanplate import codec
from cleanplate.blend import composite
from cleanplate.config import Config, RegrainConfig, load_config
from cleanplate.enhance.blocks import dct, to_ycc
from cleanplate.enhance.footprint import Footprint, footprint_of
from cleanplate.enhance.regrain import regrain
from cleanplate.evaluation.cases import Case, lpips_round
from cleanplate.evaluation.holes import free_form
from cleanplate.evaluation.photographs import list_photographs, read_rgb
from cleanplate.fill import build_engines
from cleanplate.fill.base import Engine, FillRequest
from cleanplate.image import Image
from cleanplate.metrics.lpips import Lpips
from cleanplate.metrics.noise import noise_level
from cleanplate.models.registry import Registry
from cleanplate.records import Box
from cleanplate.ring import dilate, ring

Rgb = NDArray[np.uint8]
Noise = Callable[[Rgb, np.random.Generator], NDArray[np.float32]]
_WINDOW_PX = 224
_PATCH_PX, _PATCH_STEP_PX = 16, 8
_RING_PX = 16
_QUICK = np.add.outer(np.arange(8), np.arange(8)) >= 6
_FLOOR = 0.25  # grey levels: below this noise is rounding
_TRIES = 24


@dataclass(frozen=True)
class Setting:
    """A window with something painted in, as a file."""

    name: str
    source: Image
    truth: Rgb
    mask: NDArray[np.uint8]
    flat: bool

    @property
    def footprint(self) -> Footprint | None:
        """Of the file."""
        height, width = self.mask.shape
        return footprint_of(self.source, Box(0, 0, width, height))

    def request(self) -> FillRequest:
        """As the pipeline would ask for it."""
        alpha = self.mask.astype(np.float32)
        return FillRequest(self.source.rgb, alpha, self.mask, self.mask, 1, footprint=self.footprint)


@dataclass
class Scores:
    """What one way of finishing reached."""

    noise: list[float] = field(default_factory=list)
    spectrum: list[float] = field(default_factory=list)
    quick: list[float] = field(default_factory=list)
    lpips: list[float] = field(default_factory=list)
    patches: list[NDArray[np.float64]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)


def white(rgb: Rgb, rng: np.random.Generator, sigma: float) -> NDArray[np.float32]:
    """Independent in every sample."""
    return sigma * rng.standard_normal(rgb.shape, dtype=np.float32)


def film(rgb: Rgb, rng: np.random.Generator, sigma: float) -> NDArray[np.float32]:
    """Coarse, and alike in the channels, as film has it."""
    own = cv2.GaussianBlur(white(rgb, rng, 1.0), (0, 0), 0.8)
    shared = own[..., :1] + 0.4 * own
    return np.asarray(sigma * shared / shared.std(), dtype=np.float32)


def shot(rgb: Rgb, rng: np.random.Generator, sigma: float) -> NDArray[np.float32]:
    """Grows with light, as sensors have it; `sigma` at mid-grey."""
    return white(rgb, rng, sigma) * np.sqrt(rgb.astype(np.float32) / 128)


VARIANTS: dict[str, tuple[Noise | None, int | None]] = {
    "as it is": (None, None),
    "white 5": (lambda rgb, rng: white(rgb, rng, 5), None),
    "white 15": (lambda rgb, rng: white(rgb, rng, 15), None),
    "film 8": (lambda rgb, rng: film(rgb, rng, 8), None),
    "shot 8": (lambda rgb, rng: shot(rgb, rng, 8), None),
    "JPEG 90": (None, 90),
    "JPEG 60": (None, 60),
    "white 10, JPEG 85": (lambda rgb, rng: white(rgb, rng, 10), 85),
    "shot 8, JPEG 70": (lambda rgb, rng: shot(rgb, rng, 8), 70),
}


def settings(
    paths: Sequence[Path], variants: Sequence[str], config: Config, only_flat: bool = False
) -> Iterator[Setting]:
    """Two windows of every photograph (a flat one and any one), once per variant."""
    for number, path in enumerate(paths):
        photograph = read_rgb(path)
        for flat in (True,) if only_flat else (True, False):
            rng = np.random.default_rng([47, number, flat])
            window = _window(photograph, rng, flat)
            mask = _hole(rng)
            for variant in variants:
                yield _setting(f"{path.stem} {variant}", variant, window, mask, flat, config)


def _window(photograph: Rgb, rng: np.random.Generator, flat: bool) -> Rgb:
    side, found = _WINDOW_PX, []
    for _ in range(_TRIES if flat else 1):
        top, left = (int(rng.integers(0, size - side + 1)) // 8 * 8 for size in photograph.shape[:2])
        part = photograph[top : top + side, left : left + side]
        middle = cv2.GaussianBlur(part[48:-48, 48:-48], (0, 0), 2).astype(np.float32)
        clipped = float(((part <= 2) | (part >= 253)).mean())
        edges = float(np.abs(cv2.Laplacian(middle, cv2.CV_32F)).mean())
        found.append((edges + 100 * (clipped > 0.05), len(found), part))
    return np.ascontiguousarray(min(found)[2])


def _hole(rng: np.random.Generator) -> NDArray[np.uint8]:
    """A blob in the middle and a stroke somewhere."""
    mask = np.zeros((_WINDOW_PX, _WINDOW_PX), np.uint8)
    middle = _WINDOW_PX // 2
    axes = tuple(int(value) for value in rng.integers(22, 34, 2))
    cv2.ellipse(mask, (middle, middle), axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
    stroke = cv2.erode(free_form(_WINDOW_PX, _WINDOW_PX, rng), np.ones((3, 3), np.uint8))
    stroke[:, : middle + 44], stroke[:16], stroke[-16:], stroke[:, -16:] = 0, 0, 0, 0
    return mask | stroke


def _setting(name: str, variant: str, window: Rgb, mask: NDArray[np.uint8], flat: bool, config: Config) -> Setting:
    make, quality = VARIANTS[variant]
    rng = np.random.default_rng(int.from_bytes(name.encode()[-8:], "big"))
    noisy = window if make is None else np.clip(np.rint(window + make(window, rng)), 0, 255).astype(np.uint8)
    painted = noisy.copy()
    painted[mask > 0] = (200, 30, 40)
    files = [_file(picture, quality) for picture in (noisy, painted)]
    truth, source = (codec.decode(data, config.source) for data in files)
    return Setting(name, source, truth.rgb, dilate(mask, 3), flat)


def _file(rgb: Rgb, quality: int | None) -> bytes:
    buffer = io.BytesIO()
    picture = PillowImage.fromarray(rgb)
    if quality is None:
        picture.save(buffer, "PNG", compress_level=1)
    else:
        picture.save(buffer, "JPEG", quality=quality, subsampling=2)
    return buffer.getvalue()


def finish(setting: Setting, filled: Rgb, config: Config, regrain_it: bool) -> Rgb:
    """Blends, regrains or not, encodes in the source's format, and reads back."""
    alpha = setting.mask.astype(np.float32)
    soft = np.maximum(alpha, cv2.GaussianBlur(alpha, (0, 0), 0.8) * (dilate(setting.mask, 2) > 0))
    after = composite(setting.source.rgb, filled, soft, setting.mask, config.blend)[0]
    if regrain_it:
        after = regrain(after, soft, setting.mask, 4412, RegrainConfig(), setting.footprint)
    data = codec.encode(setting.source, after, soft > 0)
    return codec.decode(data, config.source).rgb


def judge(setting: Setting, result: Rgb, lpips: Lpips, scores: Scores) -> None:
    """Adds one result."""
    near = ring(dilate(setting.mask, 2).astype(np.float32), setting.mask, _RING_PX)
    levels = [noise_level(result, where) for where in (setting.mask, near)]
    scores.noise.append((levels[0] + _FLOOR) / (levels[1] + _FLOOR))
    inside, outside = (_power(result, where) for where in (setting.mask, near))
    scores.spectrum.append(float(np.abs(10 * np.log10(inside / outside)).mean()))
    scores.quick.append(float(inside[:, _QUICK].sum() / outside[:, _QUICK].sum()))
    case = Case(setting.name, "object", setting.source.rgb, setting.truth, setting.mask)
    scores.lpips.append(lpips_round(case, result, lpips))


def _power(rgb: Rgb, where: NDArray[np.uint8]) -> NDArray[np.float64]:
    """float64 (3, 8, 8): median power of the waves in luma and chroma over all 8x8 squares inside, with a floor."""
    full = sliding_window_view(where, (8, 8)).all(axis=(2, 3))
    rows, columns = np.nonzero(full)
    keep = np.linspace(0, len(rows) - 1, min(len(rows), 1500)).astype(int)
    squares = sliding_window_view(to_ycc(rgb), (8, 8), axis=(0, 1))[rows[keep], columns[keep]]
    power = np.stack([np.median(dct(squares[:, channel]).astype(np.float64) ** 2, axis=0) for channel in range(3)])
    power += _FLOOR**2
    power[:, 0, 0] = 1.0  # the mean is no noise
    return power


def add_patches(setting: Setting, result: Rgb, scores: Scores) -> None:
    """Flat patches inside the fill, and as many of the untouched ones, with their features."""
    far = 1 - dilate(setting.mask, 10)
    found = {label: _flat_patches(result, where) for label, where in ((1, setting.mask), (0, far))}
    count = min(len(found[0]), len(found[1]), 12)
    if count < 2:
        return
    untouched = np.stack([_features(patch) for patch in found[0]])
    usual = np.median(untouched, axis=0)
    rng = np.random.default_rng(5)
    for label, patches in found.items():
        for index in rng.choice(len(patches), count, replace=False):
            own = _features(patches[index])
            scores.patches.append(np.concatenate([own, own - usual]))
            scores.labels.append(label)


def _flat_patches(rgb: Rgb, where: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    ycc, side = to_ycc(rgb), _PATCH_PX
    smooth = cv2.GaussianBlur(ycc[..., 0], (0, 0), 2.5)
    places = [
        (top, left)
        for top in range(0, rgb.shape[0] - side + 1, _PATCH_STEP_PX)
        for left in range(0, rgb.shape[1] - side + 1, _PATCH_STEP_PX)
        if where[top : top + side, left : left + side].all()
        and np.ptp(smooth[top : top + side, left : left + side]) < 12
        and 12 < smooth[top + side // 2, left + side // 2] < 243
    ]
    return [ycc[top : top + side, left : left + side] for top, left in places]


def _features(patch: NDArray[np.float32]) -> NDArray[np.float64]:
    """float64 (26,): level, spectrum, neighbours, tails of what differs from a plane, of luma and chroma."""
    values: list[float] = []
    rows, columns = np.mgrid[: patch.shape[0], : patch.shape[1]] - patch.shape[0] / 2
    terms = np.stack([np.ones(rows.size), rows.ravel(), columns.ravel()], axis=1)
    order = np.add.outer(np.arange(8), np.arange(8))
    for channel in range(3):
        plane = patch[..., channel].reshape(-1)
        rest = (plane - terms @ np.linalg.lstsq(terms, plane, rcond=None)[0]).reshape(patch.shape[:2])
        squares = rest.reshape(2, 8, 2, 8).swapaxes(1, 2).reshape(4, 8, 8).astype(np.float32)
        power = (dct(squares) ** 2).mean(axis=0)
        bands = ((1, 3), (3, 6), (6, 9), (9, 15))
        values += [float(np.log(power[(order >= low) & (order < high)].mean() + 0.01)) for low, high in bands]
        energy = float((rest**2).mean()) + 0.01
        values += [float((rest[:, 1:] * rest[:, :-1]).mean()) / energy, float((rest[1:] * rest[:-1]).mean()) / energy]
        quick = rest[1:, 1:] - rest[:-1, 1:] - rest[1:, :-1] + rest[:-1, :-1]
        values += [float(np.log((quick**4).mean() / (quick**2).mean() ** 2 + 0.1)) if quick.any() else 0.0]
        values += [float(np.log((quick**2).mean() + 0.01))]
    jumps = np.abs(np.diff(patch[..., 0], axis=1)).mean(axis=0), np.abs(np.diff(patch[..., 0], axis=0)).mean(axis=1)
    values += [float(np.log((jump[7] + 0.1) / (np.median(jump) + 0.1))) for jump in jumps]
    return np.array(values)


def run(
    paths: Sequence[Path], variants: Sequence[str], engines: dict[str, Engine], config: Config, lpips: Lpips | None
) -> dict[tuple[str, str, bool], Scores]:
    """Scores by variant, engine and whether it was regrained; without LPIPS only the patches are taken."""
    table: dict[tuple[str, str, bool], Scores] = defaultdict(Scores)
    for setting in settings(paths, variants, config, only_flat=lpips is None):
        variant = setting.name.split(" ", 1)[1]
        request = setting.request()
        for name, engine in engines.items():
            filled = engine.fill([request])[0]
            for with_grain in (False, True):
                result = finish(setting, filled, config, with_grain)
                scores = table[variant, name, with_grain]
                if lpips is not None:
                    judge(setting, result, lpips, scores)
                if setting.flat:
                    add_patches(setting, result, scores)
    return table


def quality_rows(table: dict[tuple[str, str, bool], Scores]) -> list[list[object]]:
    """One row per variant and way, all engines together."""
    rows: list[list[object]] = []
    for variant in [*dict.fromkeys(key[0] for key in table), "all"]:
        for with_grain in (False, True):
            parts = [
                s for (v, _, g), s in table.items() if v in (variant, v if variant == "all" else "") and g == with_grain
            ]
            noise, spectrum, quick, lpips = (
                np.concatenate([getattr(part, name) for part in parts])
                for name in ("noise", "spectrum", "quick", "lpips")
            )
            rows.append([
                variant, "regrain" if with_grain else "without", len(noise), f"{np.median(noise):.2f}",
                f"{np.mean(np.abs(noise - 1) <= 0.1):.0%}", f"{np.median(spectrum):.2f}", f"{np.median(quick):.2f}",
                int((quick < 0.5).sum()), f"{np.mean(lpips):.4f}",
            ])  # fmt: skip
    return rows


def classifier_rows(
    fitted_on: dict[tuple[str, str, bool], Scores], table: dict[tuple[str, str, bool], Scores]
) -> list[list[object]]:
    """Share of flat patches that the classifier gets right, per variant and way; one classifier per way."""
    rows: list[list[object]] = []
    for with_grain in (False, True):
        known = [scores for key, scores in fitted_on.items() if key[2] == with_grain and scores.patches]
        forest = RandomForestClassifier(300, min_samples_leaf=3, random_state=1, n_jobs=1)
        forest.fit(np.concatenate([s.patches for s in known]), np.concatenate([s.labels for s in known]))
        hits: list[float] = []
        for variant in [*dict.fromkeys(key[0] for key in table), "all"]:
            own = [s for key, s in table.items() if key[0] == variant and key[2] == with_grain and s.patches]
            right = [
                float(forest.predict(p[None])[0] == y) for s in own for p, y in zip(s.patches, s.labels, strict=True)
            ]
            hits += right
            shown = hits if variant == "all" else right
            rows.append(
                [variant, "regrain" if with_grain else "without", len(shown), f"{np.mean(shown):.1%}" if shown else ""]
            )
    return rows


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="folder of photographs nothing was fitted on")
    parser.add_argument("--train", type=Path, help="folder of photographs to fit the classifier on")
    parser.add_argument("--limit", type=int, help="photographs at most")
    parser.add_argument("--train-limit", type=int, default=48)
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--engines", nargs="*", default=["pde"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    config = load_config(overrides=["models.device=cpu", f"route.engines=[{','.join(options.engines)}]"])
    registry = Registry.load(config.models)
    engines = build_engines(config, registry, "cpu")
    paths = list_photographs([options.photos])[: options.limit]
    table = run(paths, options.variants, engines, config, Lpips.load(registry))
    columns = ["photographs", "", "fills", "noise", "in 10 %", "spectrum, dB", "quick waves", "smudges", "LPIPS"]
    print_table(columns, quality_rows(table))
    if options.train:
        others = list_photographs([options.train])
        chosen = others[:: max(1, len(others) // options.train_limit)][: options.train_limit]
        print("\nFlat patches, filled or untouched\n")
        fitted_on = run(chosen, options.variants, engines, config, None)
        print_table(["photographs", "", "patches", "told apart"], classifier_rows(fitted_on, table))


if __name__ == "__main__":
    main()
