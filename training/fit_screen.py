"""Fits what tells overlays from what the photograph shows: lines and marks of the stroke network against the truth.

python training/fit_screen.py --photos ../shared/data/train ../shared/data/train_extra
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from card import write_screen_card
from crops import read_signs, split_photographs
from loop import ROOT, command
from numpy.typing import NDArray
from safetensors.numpy import save_file
from sklearn.decomposition import PCA
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cleanplate.config import Config, load_config
from cleanplate.detect import db
from cleanplate.detect.appearance import Appearance
from cleanplate.detect.fuse import inks_and_marks
from cleanplate.detect.ppocr import PpocrDetector
from cleanplate.detect.screen import FOREST, LOOKS, MODELS, Forest, Judge, Looks, table
from cleanplate.detect.strokes import StrokeMapper
from cleanplate.detect.terms import TERMS, Seen, ink_px
from cleanplate.evaluation.overlays import (
    FontLibrary,
    OverlaySample,
    degrade,
    generate,
    sample_degradation,
    sample_style,
)
from cleanplate.evaluation.photographs import read_rgb
from cleanplate.models.registry import Registry
from cleanplate.models.stroke_net import KIND_CHANNELS

_LONG_SIDE_PX = 900
_SIGHTINGS = (*KIND_CHANNELS, None)  # what is drawn on a photograph, in turn; None leaves it as it is
_NEAR_PX = 5  # a group may reach this far beyond a stroke and still lie on it
_HIT_SHARE = 0.5
_TREES, _LEAF, _ASKED = 150, 4, 0.4  # trees, groups of a leaf at least, share of the terms that a node may ask about
_COMPONENTS, _STRENGTH = 128, 1e-3  # of the looks that count, and the inverse of their regression's penalty
_SIGN_ROUNDS = 5  # pictures of a photograph with real signs for each one of the others
_PRECISIONS = (0.98, 0.95, 0.9, 0.8)


class Eyes:
    """The networks, and what they see."""

    def __init__(self, config: Config) -> None:
        """Loads them."""
        registry = Registry.load(config.models)
        self.config = config.detect
        self.lines, self.strokes = (kind.build(config, registry, "cpu") for kind in (PpocrDetector, StrokeMapper))
        self.appearance = Appearance.build(registry, "cpu")

    def rows(self, sample: OverlaySample) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Which model a line or mark is for; its terms, features, pixels and truth (1 or 0)."""
        line_map = self.lines.confidence_maps([sample.picture])[0]
        maps = self.strokes.probability_maps([sample.picture], [line_map])[0]
        config = self.config
        lines = db.lines(line_map, config.threshold, config.box_score, config.min_side_px)
        seen = Seen(sample.picture, line_map, maps, config.strokes_threshold)
        drawn = np.maximum(sample.influence - sample.kinds.get("scene_text", np.zeros_like(sample.influence)), 0)
        truth = (np.maximum(drawn, sample.plate) > _HIT_SHARE).astype(np.uint8)
        side_px = 2 * _NEAR_PX + 1
        truth = cv2.dilate(truth, np.ones((side_px, side_px), np.uint8))
        inks, marks = inks_and_marks(lines, maps, config)
        groups = [*inks, *marks]
        inked, terms = table(inks, marks, seen)
        features = self.appearance.features(sample.picture, [groups[index] for index in inked])
        for index, own, looks in zip(inked, terms, features, strict=True):
            group = groups[index]
            core = group.confidence >= seen.threshold
            hit = float(truth[group.box.slices][core].mean() >= _HIT_SHARE)
            row = np.array([*own, *looks, ink_px(group, seen.threshold), hit], np.float32)
            yield MODELS[int(index >= len(inks))], row


def make_sample(path: Path, number: int, fonts: FontLibrary) -> OverlaySample:
    """A photograph with up to three overlays of a kind, or none; degraded."""
    rng = np.random.default_rng([83, number])
    photograph = read_rgb(path)
    scale = min(1.0, _LONG_SIDE_PX / max(photograph.shape[:2])) * float(rng.choice([1.0, 1.0, 0.7]))
    if scale < 1:
        smaller = cv2.resize(photograph, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        photograph = np.asarray(smaller, np.uint8)
    kind = _SIGHTINGS[number % len(_SIGHTINGS)]
    count = int(rng.integers(1, 4)) if kind else 0
    sample = generate(photograph, number, [sample_style(rng, kind) for _ in range(count)] if kind else [], fonts)
    return degrade(sample, sample_degradation(rng), rng)


def collect(photographs: Sequence[Path], eyes: Eyes, fonts: FontLibrary, rounds: int) -> dict[str, NDArray[np.float32]]:
    """Rows of all lines and marks of all photographs, float32: terms, features, pixels and truth of each."""
    rows: dict[str, list[NDArray[np.float32]]] = {name: [] for name in MODELS}
    signs = read_signs()
    for turn in range(rounds):
        for index, path in enumerate(photographs):
            number = turn * len(photographs) + index + turn
            for again in range(_SIGN_ROUNDS if path.name in signs else 1):
                for name, row in eyes.rows(make_sample(path, number + again * 100_003, fonts)):
                    rows[name].append(row)
        counts = ", ".join(f"{len(own)} {name}" for name, own in rows.items())
        print(f"{turn + 1} of {rounds} rounds: {counts}", flush=True)
    return {name: np.stack(own) for name, own in rows.items()}


def fit(rows: NDArray[np.float32], seed: int = 0) -> Judge:
    """Fits both judges; large groups weigh more, up to a point."""
    terms, features, truth = rows[:, : len(TERMS)], rows[:, len(TERMS) : -2], rows[:, -1] > 0
    weights = np.clip(np.sqrt(rows[:, -2]) / 20, 0.3, 3)
    return Judge(_grow(terms, truth, weights, seed), _regress(features, truth, weights, seed))


def _regress(
    features: NDArray[np.float32], truth: NDArray[np.bool_], weights: NDArray[np.float32], seed: int
) -> Looks:
    """A regression on the features' principal components, each as wide as the others, as weights of the features."""
    components = min(_COMPONENTS, *features.shape)
    last = LogisticRegression(C=_STRENGTH, max_iter=300)
    steps = make_pipeline(StandardScaler(), PCA(components, random_state=seed), StandardScaler(), last)
    steps.fit(features, truth, logisticregression__sample_weight=weights)
    given, turned, widened, _ = (step for _, step in steps.steps)
    inner = last.coef_[0] / widened.scale_
    weight = inner @ turned.components_ / given.scale_
    offset = last.intercept_[0] - inner @ widened.mean_
    offset -= inner @ turned.components_ @ turned.mean_ + weight @ given.mean_
    return Looks(weight.astype(np.float32), np.array([offset], np.float32))


def _grow(terms: NDArray[np.float32], truth: NDArray[np.bool_], weights: NDArray[np.float32], seed: int) -> Forest:
    forest = ExtraTreesClassifier(_TREES, min_samples_leaf=_LEAF, max_features=_ASKED, random_state=seed)
    grown = forest.fit(terms, truth, weights)
    trees = [one.tree_ for one in grown.estimators_]
    nodes = max(tree.node_count for tree in trees)

    def padded(name: str, kind: type) -> NDArray[Any]:
        found = np.zeros((len(trees), nodes), kind)
        for row, tree in zip(found, trees, strict=True):
            row[: tree.node_count] = getattr(tree, name)
        return found

    chance = np.zeros((len(trees), nodes), np.float32)
    for row, tree in zip(chance, trees, strict=True):
        values = tree.value[:, 0, :]
        row[: tree.node_count] = values[:, 1] / values.sum(axis=1)
    term = np.maximum(padded("feature", np.int32), -1)
    lower, upper = padded("children_left", np.int32), padded("children_right", np.int32)
    return Forest(term, padded("threshold", np.float32), lower, upper, chance)


def found_at(name: str, scores: NDArray[Any], rows: NDArray[np.float32]) -> list[str]:
    """How many groups, and of their pixels, are found at some precisions."""
    order = np.argsort(-scores, kind="stable")
    hits, pixels = rows[order, -1], rows[order, -2]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    lines = []
    for wanted in _PRECISIONS:
        enough = np.flatnonzero(precision >= wanted)
        count = int(enough[-1]) + 1 if len(enough) else 0
        share, weighed = hits[:count].sum() / hits.sum(), (hits * pixels)[:count].sum() / (hits * pixels).sum()
        lines.append(f"{name}, precision {wanted}: {share:.3f} of the groups, {weighed:.3f} of their pixels"
                     + (f", from {scores[order[count - 1]]:.2f} on" if count else ""))  # fmt: skip
    return lines


def main() -> None:
    """Collects groups, fits on the training photographs, and shows what holds on the held-out ones."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, nargs="+", required=True)
    parser.add_argument("--rounds", type=int, default=3, help="pictures per training photograph")
    parser.add_argument("--out", type=Path, default=ROOT / "lib/cleanplate/weights/screen.safetensors")
    parser.add_argument("--rows", type=Path, help="all groups, .npz: read if there, else written")
    parser.add_argument("--set", action="append", default=[], metavar="a.b=c", help="settings, as of `cleanplate`")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    if options.rows and options.rows.exists():
        stored = np.load(options.rows)
        train, heldout = ({name: stored[f"{part} {name}"] for name in MODELS} for part in ("train", "heldout"))
    else:
        eyes = Eyes(load_config(overrides=["models.threads=1", "models.device=cpu", *options.set]))
        gather = functools.partial(collect, eyes=eyes, fonts=FontLibrary.load("train"))
        parts = split_photographs(options.photos)
        train, heldout = gather(parts[0], rounds=options.rounds), gather(parts[1], rounds=len(_SIGHTINGS))
        if options.rows:
            parted = {"train": train, "heldout": heldout}
            np.savez(options.rows, **{f"{part} {name}": parted[part][name] for part in parted for name in MODELS})
    tensors: dict[str, NDArray[Any]] = {}
    figures: list[str] = []
    for name in MODELS:
        judge, rows = fit(train[name]), heldout[name]
        terms, features = rows[:, : len(TERMS)].astype(np.float64), rows[:, len(TERMS) : -2]
        figures += found_at(f"{name} by the network's own score", rows[:, 0], rows)
        figures += found_at(f"{name} by the forest", judge.forest.chances(terms), rows)
        figures += found_at(f"{name} by both", judge.chances(terms, features.__getitem__), rows)
        tensors |= {f"{name}.{part}": getattr(judge.forest, part) for part in FOREST}
        tensors |= {f"{name}.{part}": getattr(judge.looks, part) for part in LOOKS}
    counts = ", ".join(f"{len(rows)} {name}, {int(rows[:, -1].sum())} of them drawn" for name, rows in train.items())
    save_file(tensors, options.out, {"terms": " ".join(TERMS)})
    options.out.chmod(0o644)
    write_screen_card(options.out, command(), counts, figures)
    print("\n".join(figures))


if __name__ == "__main__":
    main()
