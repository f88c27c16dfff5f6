"""How well the analysis knows what was done to photographs it was not made on; tables in Markdown.

    python benchmarks/analyse.py --photos ../shared/data/kodak

Every photograph is compressed at random qualities (4:2:0 and 4:4:4), cut so that the grid shifts, and looked at as bare
pixels; or gets noise of known level; or is degraded step by step for the no-reference score.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from common import print_table
from numpy.typing import NDArray
from PIL import Image as PillowImage
from scipy.stats import spearmanr

from cleanplate.enhance.jpeg_past import JpegPast, find_past
from cleanplate.enhance.noise_profile import profile
from cleanplate.evaluation.photographs import list_photographs, read_rgb
from cleanplate.metrics.no_reference import no_reference

Photos = Sequence[NDArray[np.uint8]]
_BANDS = ((10, 30), (30, 50), (50, 70), (70, 85), (85, 96))
_SIGMAS = (2, 5, 10, 15, 20, 25, 30)


def compress(rgb: NDArray[np.uint8], quality: int, subsampling: int) -> NDArray[np.uint8]:
    """The pixels that libjpeg makes of a picture; subsampling 0 is 4:4:4, 2 is 4:2:0."""
    buffer = io.BytesIO()
    PillowImage.fromarray(rgb).save(buffer, "JPEG", quality=quality, subsampling=subsampling)
    return np.array(PillowImage.open(buffer))


def cropped(rgb: NDArray[np.uint8], rng: np.random.Generator) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """The picture without some columns and rows, and where its first whole block is then."""
    column, row = (int(value) for value in rng.integers(0, 8, 2))
    return np.ascontiguousarray(rgb[row:, column:]), (-column % 8, -row % 8)


def jpeg_rows(photos: Photos, each: int) -> list[list[object]]:
    """Per band of quality and subsampling: share within 3, share of right grids, seconds of one core."""
    rows: list[list[object]] = []
    hits: list[bool] = []
    for low, high in _BANDS:
        for subsampling in (0, 2):
            rng, found, seconds = np.random.default_rng([low, subsampling]), [], 0.0
            for rgb in photos:
                for _ in range(each):
                    quality = int(rng.integers(low, high))
                    part, offset = cropped(compress(rgb, quality, subsampling), rng)
                    started = time.process_time()
                    past = find_past(part)
                    seconds += time.process_time() - started
                    found.append((past, quality, offset))
            rows.append(
                [
                    f"{low}..{high - 1}",
                    "4:4:4" if subsampling == 0 else "4:2:0",
                    *_jpeg_scores(found),
                    f"{seconds / len(found):.2f}",
                ]
            )
            hits += [_near(past, quality) for past, quality, _ in found]
    clean = [find_past(rgb).quality is None for rgb in photos]
    rows.append(["all", "both", len(hits), f"{np.mean(hits):.1%}", "", "", ""])
    rows.append(["never a JPEG", "", len(clean), f"{np.mean(clean):.1%} seen as such", "", "", ""])
    return rows


def _near(past: JpegPast, quality: int) -> bool:
    return past.quality is not None and abs(past.quality - quality) <= 3


def _jpeg_scores(found: list[tuple[JpegPast, int, tuple[int, int]]]) -> list[object]:
    errors = [abs(past.quality - quality) for past, quality, _ in found if past.quality is not None]
    near = np.mean([_near(past, quality) for past, quality, _ in found])
    grid = np.mean([past.offset == offset for past, _, offset in found])
    return [len(found), f"{near:.1%}", f"{np.mean(errors):.2f}", f"{grid:.1%}"]


def twice_rows(photos: Photos) -> list[list[object]]:
    """Compressed twice, the second time finer: how often that is seen, and how near the first quality is."""
    rows: list[list[object]] = []
    for shifted in (False, True):
        for first, last in ((30, 80), (50, 75), (50, 90), (70, 85), (80, 95), (80, 60)):
            rng, found = np.random.default_rng([first, last, shifted]), []
            for rgb in photos:
                once = compress(rgb, first, 2)
                if shifted:
                    row, column = rng.integers(1, 8, 2)
                    once = np.ascontiguousarray(once[row:, column:])
                found.append(find_past(compress(once, last, 2)))
            seen = [past for past in found if past.first_quality is not None]
            near = np.mean([abs((past.first_quality or 0) - first) <= 5 for past in seen]) if seen else 0.0
            last_near = np.mean([_near(past, last) for past in found])
            rows.append(
                [
                    "shifted" if shifted else "same",
                    first,
                    last,
                    f"{len(seen) / len(found):.0%}",
                    f"{near:.0%}",
                    f"{last_near:.0%}",
                ]
            )
    once_only = [find_past(compress(rgb, quality, 2)).double_compressed for rgb in photos for quality in (40, 75, 90)]
    rows.append(["once only", "", "40, 75, 90", f"{np.mean(once_only):.0%}", "", ""])
    return rows


def noise_rows(photos: Photos) -> list[list[object]]:
    """Per kind of noise and level: what is measured."""
    rows: list[list[object]] = []
    for name, make in _NOISES.items():
        for sigma in _SIGMAS:
            rng = np.random.default_rng(sigma)
            found = [profile(np.clip(np.rint(rgb + sigma * make(rgb, rng)), 0, 255).astype(np.uint8)) for rgb in photos]
            level, luma = (np.array([getattr(f, field) for f in found]) for field in ("rgb", "luma"))
            wanted_luma = sigma * (1.0 if name == "grey" else 0.668)
            rows.append([
                name, sigma, f"{np.median(level):.2f}", f"{100 * np.median(np.abs(level / sigma - 1)):.1f} %",
                f"{100 * np.percentile(np.abs(level / sigma - 1), 90):.1f} %",
                f"{100 * np.median(np.abs(luma / wanted_luma - 1)):.1f} %",
                f"{np.median([f.chroma for f in found]):.2f}", f"{np.median([f.correlation for f in found]):.2f}",
                f"{np.median([f.slope for f in found]):.3f}",
            ])  # fmt: skip
    return rows


def score_rows(photos: Photos) -> list[list[object]]:
    """Per degradation: how well the score's order is the order of strength, in each picture and over all of them."""
    rows: list[list[object]] = []
    for name, (levels, degrade) in _DEGRADATIONS.items():
        scores = np.array([[no_reference(degrade(rgb, level) if level else rgb) for level in levels] for rgb in photos])
        order = np.arange(len(levels))
        each = [-float(spearmanr(order, own).statistic) for own in scores]
        pooled = -float(spearmanr(np.tile(order, len(scores)), scores.ravel()).statistic)
        medians = ", ".join(f"{value:.0f}" for value in np.median(scores, axis=0))
        strict = np.mean([np.all(np.diff(own) < 0) for own in scores])
        shown = ", ".join("none" if not level else f"{level:g}" for level in levels)
        rows.append(
            [name, shown, f"{np.mean(each):.3f}", f"{min(each):.2f}", f"{strict:.0%}", f"{pooled:.3f}", medians]
        )
    return rows


def _with_noise(rgb: NDArray[np.uint8], sigma: float) -> NDArray[np.uint8]:
    return np.clip(np.rint(rgb + sigma * _white(rgb, np.random.default_rng(1))), 0, 255).astype(np.uint8)


_DEGRADATIONS: dict[str, tuple[tuple[float, ...], Callable[[NDArray[np.uint8], float], NDArray[np.uint8]]]] = {
    "white noise, sigma": ((0, 4, 8, 15, 25, 40), _with_noise),
    "Gaussian blur, px": (
        (0, 0.8, 1.2, 1.8, 2.6, 4),
        lambda rgb, sigma: np.asarray(cv2.GaussianBlur(rgb, (0, 0), sigma)),
    ),
    "JPEG, quality": ((0, 80, 60, 40, 20, 10), lambda rgb, quality: compress(rgb, int(quality), 2)),
}


def _white(rgb: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.float32]:
    return rng.standard_normal(rgb.shape, dtype=np.float32)


def _coarse(rgb: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.float32]:
    noise = cv2.GaussianBlur(_white(rgb, rng), (0, 0), 0.7)
    return np.asarray(noise / noise.std(), dtype=np.float32)


def _grey(rgb: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.float32]:
    return np.repeat(rng.standard_normal((*rgb.shape[:2], 1), dtype=np.float32), 3, axis=2)


_NOISES: dict[str, Callable[[NDArray[np.uint8], np.random.Generator], NDArray[np.float32]]] = {
    "white": _white, "coarse": _coarse, "grey": _grey,
}  # fmt: skip


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="folder of photographs nothing was fitted on")
    parser.add_argument("--limit", type=int, help="photographs at most")
    parser.add_argument("--each", type=int, default=2, help="qualities drawn per photograph, band and subsampling")
    parser.add_argument("--tables", nargs="*", default=["jpeg", "twice", "noise", "score"])
    options = parser.parse_args()
    cv2.setNumThreads(1)
    photos = [read_rgb(path) for path in list_photographs([options.photos])[: options.limit]]
    if "jpeg" in options.tables:
        print("\nJPEG quality, seen in the pixels\n")
        columns = ["quality", "chroma", "files", "within 3", "mean error", "right grid", "s"]
        print_table(columns, jpeg_rows(photos, options.each))
    if "twice" in options.tables:
        print("\nCompressed twice\n")
        print_table(["grid", "first", "last", "seen as twice", "first within 5", "last within 3"], twice_rows(photos))
    if "noise" in options.tables:
        print("\nNoise level\n")
        columns = [
            "noise",
            "sigma",
            "median",
            "median error",
            "90 % below",
            "luma, median error",
            "chroma",
            "correlation",
            "slope",
        ]
        print_table(columns, noise_rows(photos))
    if "score" in options.tables:
        print("\nScore without a reference: rank correlation with the strength\n")
        columns = ["degradation", "levels", "mean", "worst", "all in order", "over all pictures", "median scores"]
        print_table(columns, score_rows(photos))


if __name__ == "__main__":
    main()
