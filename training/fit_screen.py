"""Fits what tells overlays from what the photograph shows: lines and marks of the stroke network against the truth.

    python training/fit_screen.py --photos ../shared/data/train ../shared/data/train_extra

The stroke network is less often mistaken in the photographs that it was trained on than in others. So the judges are
also given what it sees in photographs that it was never shown: `--collect` writes their --rows, `--also` reads them.
"""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
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
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cleanplate.config import Config, load_config
from cleanplate.detect import db
from cleanplate.detect.appearance import Appearance
from cleanplate.detect.components import Group
from cleanplate.detect.fuse import inks_and_marks
from cleanplate.detect.ppocr import PpocrDetector
from cleanplate.detect.screen import FOREST, LOOKED_AT, LOOKS, MODELS, Forest, Judge, Looks, load_screen, table
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
from cleanplate.records import Kind

_LONG_SIDE_PX = 900
_SIGHTINGS = (*KIND_CHANNELS, None)  # what is drawn on a photograph, in turn; None leaves it as it is
_NEAR_PX = 5  # a group may reach this far beyond a stroke and still lie on it
_HIT_SHARE = 0.5
_TREES, _RATE, _DEPTH, _LEAF = 400, 0.05, 5, 15  # trees, of which each counts little; groups of a leaf at least
_SEEN, _ASKED = 0.5, 0.2  # share of the groups that a tree sees, and of the terms that a node may ask about
_COMPONENTS, _STRENGTH = 128, 1e-3  # of the looks that count, and the inverse of their regression's penalty
_SIGN_ROUNDS = 5  # pictures of a photograph with real signs for each one of the others
_PRECISIONS = (0.98, 0.95, 0.9, 0.8)
_PARTS = ("train", "heldout")
_FOLDS = 5
_REPORT_EVERY = 100  # pictures


class Eyes:
    """The networks, and what they see."""

    def __init__(self, config: Config) -> None:
        """Loads them."""
        registry = Registry.load(config.models)
        self.config = config.detect
        self.lines, self.strokes = (kind.build(config, registry, "cpu") for kind in (PpocrDetector, StrokeMapper))
        self.appearance = Appearance.build(registry, "cpu")

    def see(self, picture: NDArray[np.uint8]) -> tuple[Seen, list[Group], list[Group]]:
        """A picture with its maps, the strokes of each of its lines, and the groups that are part of none."""
        sights, config = self.lines.look([picture]), self.config
        line_map, maps = sights[0].confidence, self.strokes.probability_maps([picture], sights)[0]
        lines = db.lines(line_map, config.threshold, config.box_score, config.min_side_px)
        return Seen(picture, line_map, maps, config.strokes_threshold), *inks_and_marks(lines, maps, config)

    def rows(self, sample: OverlaySample, photograph: int) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Which model a line or mark is for; its terms, features of LOOKED_AT, photograph, pixels, truth (1 or 0)."""
        seen, inks, marks = self.see(sample.picture)
        truth = (np.maximum(drawn_on(sample), sample.plate) > _HIT_SHARE).astype(np.uint8)
        side_px = 2 * _NEAR_PX + 1
        truth = cv2.dilate(truth, np.ones((side_px, side_px), np.uint8))
        groups = [*inks, *marks]
        inked, terms = table(inks, marks, seen)
        for index, own in zip(inked, terms, strict=True):
            name, group = MODELS[int(index >= len(inks))], groups[index]
            looks = self.appearance.features(sample.picture, [group])[0] if name in LOOKED_AT else ()
            core = group.confidence >= seen.threshold
            hit = float(truth[group.box.slices][core].mean() >= _HIT_SHARE)
            row = np.array([*own, *looks, photograph, ink_px(group, seen.threshold), hit], np.float32)
            yield name, row


def drawn_on(sample: OverlaySample) -> NDArray[np.float32]:
    """Where overlays are, scene text left out, float32 (H, W), 0..1."""
    scene = sample.kinds.get("scene_text", np.zeros_like(sample.influence))
    return np.maximum(sample.influence - scene, 0)


def make_sample(path: Path, number: int, fonts: FontLibrary, kind: Kind | None) -> OverlaySample:
    """A photograph with up to three overlays of a kind, or none; degraded."""
    rng = np.random.default_rng([83, number])
    photograph = read_rgb(path)
    scale = min(1.0, _LONG_SIDE_PX / max(photograph.shape[:2])) * float(rng.choice([1.0, 1.0, 0.7]))
    if scale < 1:
        smaller = cv2.resize(photograph, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        photograph = np.asarray(smaller, np.uint8)
    count = int(rng.integers(1, 4)) if kind else 0
    sample = generate(photograph, number, [sample_style(rng, kind) for _ in range(count)] if kind else [], fonts)
    return degrade(sample, sample_degradation(rng), rng)


@dataclass(frozen=True)
class Task:
    """One picture to draw and look at: the photograph, its place in the list, the seed, what is drawn on it."""

    path: Path
    photograph: int
    number: int
    kind: Kind | None


def tasks_of(photographs: Sequence[Path], rounds: int, kinds: Sequence[Kind | None] = _SIGHTINGS) -> list[Task]:
    """The pictures of all rounds, with one of the kinds on each, in turn; photographs with real signs get several."""
    signs = read_signs()
    numbers = (
        (path, index, turn * len(photographs) + index + turn + again * 100_003)
        for turn in range(rounds)
        for index, path in enumerate(photographs)
        for again in range(_SIGN_ROUNDS if path.name in signs else 1)
    )
    return [Task(path, index, number, kinds[number % len(kinds)]) for path, index, number in numbers]


def collect(tasks: Sequence[Task], settings: Sequence[str], jobs: int) -> dict[str, NDArray[np.float32]]:
    """Rows of all lines and marks of some pictures, float32.

    Args:
        tasks: the pictures.
        settings: as of `cleanplate`.
        jobs: processes that work at once; the rows do not depend on it.

    Returns:
        By model, rows of terms, features, the photograph's place in the list, pixels, and truth.
    """
    rows: dict[str, list[NDArray[np.float32]]] = {name: [] for name in MODELS}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, _open_eyes, (tuple(settings),)) as pool:
        for done, found in enumerate(pool.map(_rows_of, tasks, chunksize=4), 1):
            for name, row in found:
                rows[name].append(row)
            if done % _REPORT_EVERY == 0:
                counts = ", ".join(f"{len(own)} {name}" for name, own in rows.items())
                print(f"{done} of {len(tasks)} pictures: {counts}", flush=True)
    return {name: np.stack(own) if own else np.zeros((0, 0), np.float32) for name, own in rows.items()}


def _open_eyes(settings: Sequence[str]) -> None:
    """In a process of the pool, once."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    config = load_config(overrides=["models.threads=1", "models.device=cpu", *settings])
    _pool.append((Eyes(config), FontLibrary.load("train")))


def _rows_of(task: Task) -> list[tuple[str, NDArray[np.float32]]]:
    eyes, fonts = _pool[0]
    return list(eyes.rows(make_sample(task.path, task.number, fonts, task.kind), task.photograph))


_pool: list[tuple[Eyes, FontLibrary]] = []  # what a process of the pool has loaded


def fit(rows: NDArray[np.float32], seed: int = 0) -> Judge:
    """Fits the judges, by looks only where rows have features; large groups weigh more, up to a point."""
    terms, features, truth = rows[:, : len(TERMS)], rows[:, len(TERMS) : -3], rows[:, -1] > 0
    weights = np.clip(np.sqrt(rows[:, -2]) / 20, 0.3, 3)
    looks = _regress(features, truth, weights, seed) if features.shape[1] else None
    return Judge(_grow(terms, truth, weights, seed), looks)


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
    model = GradientBoostingClassifier(
        n_estimators=_TREES, learning_rate=_RATE, max_depth=_DEPTH, min_samples_leaf=_LEAF, subsample=_SEEN,
        max_features=_ASKED, random_state=seed,
    )  # fmt: skip
    grown = model.fit(terms, truth, weights)
    trees = [one.tree_ for one in grown.estimators_[:, 0]]
    nodes = max(tree.node_count for tree in trees)

    def padded(values: Sequence[NDArray[Any]], kind: type) -> NDArray[Any]:
        found = np.zeros((len(trees), nodes), kind)
        for row, own in zip(found, values, strict=True):
            row[: len(own)] = own
        return found

    term = np.maximum(padded([tree.feature for tree in trees], np.int32), -1)
    limit = padded([tree.threshold for tree in trees], np.float32)
    lower = padded([tree.children_left for tree in trees], np.int32)
    upper = padded([tree.children_right for tree in trees], np.int32)
    odds = padded([_RATE * tree.value[:, 0, 0] * (tree.children_left < 0) for tree in trees], np.float32)
    prior = grown.init_.class_prior_
    return Forest(term, limit, lower, upper, odds, np.log(prior[1:] / prior[:1]).astype(np.float32))


def judge_of(name: str, rows: NDArray[np.float32], options: argparse.Namespace) -> Judge:
    """The judge of a model that is to be written: fitted, fitted and averaged with the package's, or the package's."""
    if name not in options.only:
        return load_screen()[name]
    judge = fit(rows)
    return averaged(load_screen()[name], judge) if options.beside else judge


def averaged(one: Judge, other: Judge) -> Judge:
    """The judge whose log odds are the mean of two judges': all trees of both, each counting half (Breiman, 1996).

    Judges that were fitted on other photographs are mistaken about other things.
    """
    nodes = max(one.forest.term.shape[1], other.forest.term.shape[1])

    def both(part: str) -> NDArray[Any]:
        values = (getattr(judge.forest, part) for judge in (one, other))
        return np.concatenate([np.pad(each, ((0, 0), (0, nodes - each.shape[1]))) for each in values])

    start = (one.forest.start + other.forest.start) / 2
    trees = {part: both(part) for part in ("term", "limit", "lower", "upper")}
    forest = Forest(**trees, odds=both("odds") / np.float32(2), start=start)
    if one.looks is None or other.looks is None:
        return Judge(forest)
    weight, offset = ((getattr(one.looks, p) + getattr(other.looks, p)) / np.float32(2) for p in LOOKS)
    return Judge(forest, Looks(weight, offset))


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


def scores_of(judge: Judge, rows: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    """What some rows score by the network alone, by the forest, and by both judges."""
    terms, features = rows[:, : len(TERMS)].astype(np.float64), rows[:, len(TERMS) : -3]
    by_both = judge.chances(terms, features.__getitem__)
    return {"the network's own score": rows[:, 0], "the forest": judge.forest.chances(terms), "both": by_both}


def scores_in_folds(rows: NDArray[np.float32], folds: int) -> dict[str, NDArray[Any]]:
    """The same for rows of the training photographs, each by judges that have not seen its photograph."""
    fold = rows[:, -3].astype(int) % folds
    found: dict[str, NDArray[Any]] = {}
    for number in np.unique(fold):
        left_out = fold == number
        for name, scores in scores_of(fit(rows[~left_out]), rows[left_out]).items():
            found.setdefault(name, np.zeros(len(rows)))[left_out] = scores
    return found


def stored_rows(path: Path, part: str) -> dict[str, NDArray[np.float32]]:
    """The rows of a part of the photographs, by model, from a file that `read_rows` wrote."""
    with np.load(path) as stored:
        return {name: stored[f"{part} {name}"] for name in MODELS}


def read_rows(options: argparse.Namespace) -> dict[str, dict[str, NDArray[np.float32]]]:
    """All rows, by part of the photographs and by model: from the file, or collected and stored there."""
    if options.rows and options.rows.exists():
        return {part: stored_rows(options.rows, part) for part in _PARTS}
    rounds = (options.rounds, len(_SIGHTINGS))
    found = {
        part: collect(tasks_of(photographs, count, options.kinds), options.set, options.jobs)
        for part, photographs, count in zip(_PARTS, split_photographs(options.photos), rounds, strict=True)
    }
    if options.rows:
        np.savez(options.rows, **{f"{part} {name}": rows for part in _PARTS for name, rows in found[part].items()})
    return found


def main() -> None:
    """Collects groups, fits on the training photographs, and shows what holds on photographs that are not fitted on."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, nargs="+", required=True)
    parser.add_argument("--rounds", type=int, default=3, help="pictures per training photograph")
    parser.add_argument("--jobs", type=int, default=1, help="processes that draw and look at pictures")
    parser.add_argument("--folds", type=int, default=_FOLDS, help="by photograph, to choose thresholds by; 0: none")
    parser.add_argument("--out", type=Path, default=ROOT / "lib/cleanplate/weights/screen.safetensors")
    parser.add_argument("--rows", type=Path, help="all groups, .npz: read if there, else written")
    parser.add_argument("--collect", action="store_true", help="write --rows and fit nothing")
    parser.add_argument("--also", type=Path, nargs="*", default=[], help="more --rows, of other photographs, to fit on")
    parser.add_argument("--kinds", nargs="+", choices=KIND_CHANNELS, default=_SIGHTINGS, help="drawn, in turn")
    parser.add_argument("--beside", action="store_true", help="average with the package's judges, fitted on other rows")
    parser.add_argument("--only", nargs="+", choices=MODELS, default=MODELS, help="others stay the package's")
    parser.add_argument("--set", action="append", default=[], metavar="a.b=c", help="settings, as of `cleanplate`")
    options = parser.parse_args()
    if options.collect and not options.rows:
        parser.error("--collect writes --rows: say where")
    found = read_rows(options)
    if options.collect:
        return
    tensors: dict[str, NDArray[Any]] = {}
    figures: dict[str, list[str]] = {"held out": [], "folds": []}
    sources = [found["train"], *(stored_rows(path, "train") for path in options.also)]
    fitted = {name: np.concatenate([rows[name] for rows in sources]) for name in MODELS}
    for name, rows in found["train"].items():
        judge, heldout = judge_of(name, fitted[name], options), found["heldout"][name]
        sides = [("held out", heldout, scores_of(judge, heldout))]
        if options.folds and name in options.only:
            sides.append(("folds", rows, scores_in_folds(rows, options.folds)))
        for side, judged, scores in sides:
            for by, own in scores.items():
                figures[side] += found_at(f"{name} by {by}", own, judged)
        tensors |= {f"{name}.{part}": getattr(judge.forest, part) for part in FOREST}
        if judge.looks is not None:
            tensors |= {f"{name}.{part}": getattr(judge.looks, part) for part in LOOKS}
    drawn = {name: (len(fitted[name]), int(fitted[name][:, -1].sum())) for name in options.only}
    counts = ", ".join(f"{count} {name}, {hits} of them drawn" for name, (count, hits) in drawn.items())
    save_file(tensors, options.out, {"terms": " ".join(TERMS)})
    options.out.chmod(0o644)
    write_screen_card(options.out, command(), counts, figures)
    print("\n".join(f"{side}: {line}" for side, lines in figures.items() for line in lines))


if __name__ == "__main__":
    main()
