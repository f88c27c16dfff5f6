"""Reads overlays with an OCR before and after cleaning, and compares its time with that of detection.

    python benchmarks/read_again.py --photos ../shared/data/kodak

The OCR is RapidOCR (detection, direction, recognition), one call per picture; both run on one thread.
"""

from __future__ import annotations

import argparse
import difflib
import time
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from common import print_table
from numpy.typing import NDArray
from rapidocr import RapidOCR
from see import FOUND_SHARE, found_of, make_sample, union

from cleanplate.config import load_config
from cleanplate.detect import detect
from cleanplate.evaluation.overlays import FontLibrary, Overlay, OverlaySample
from cleanplate.evaluation.photographs import list_photographs, read_rgb
from cleanplate.image import Carried, Image
from cleanplate.mask import build_masks
from cleanplate.pipeline import Plan, clean
from cleanplate.records import Box, Job, Kind

KINDS: tuple[Kind, ...] = ("overlay_text", "handwriting")
ALIKE = 0.6  # of the characters (difflib's ratio) that must agree for a region to count as read
NOISE = 2  # characters that an OCR may still make out of a texture


@dataclass
class Count:
    """What was read and found of one kind."""

    overlays: int = 0
    readable: int = 0
    read_again: int = 0
    ocr_found: int = 0
    found: int = 0
    left: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=lambda: {"ocr": 0.0, "detect": 0.0, "mask": 0.0})
    megapixels: float = 0.0


class Reader:
    """An OCR on one thread."""

    def __init__(self) -> None:
        """Loads its three networks."""
        settings = {"Global.log_level": "error", "EngineConfig.onnxruntime.intra_op_num_threads": 1}
        self._ocr = RapidOCR(params=settings)

    def read(self, picture: NDArray[np.uint8]) -> list[tuple[Box, str]]:
        """Boxes with what they say."""
        answer = self._ocr(np.ascontiguousarray(picture[..., ::-1]))
        boxes = [] if answer.boxes is None else list(answer.boxes)
        found = []
        for corners, text in zip(boxes, answer.txts or (), strict=False):
            left, top = np.floor(np.min(corners, axis=0)).astype(int)
            right, bottom = np.ceil(np.max(corners, axis=0)).astype(int)
            found.append((Box(int(left), int(top), int(right), int(bottom)), str(text)))
        return found


def words_in(overlay: Overlay, read: list[tuple[Box, str]]) -> list[str]:
    """What was read mostly inside an overlay's box."""
    found = []
    for box, text in read:
        width = min(box.right, overlay.box.right) - max(box.left, overlay.box.left)
        height = min(box.bottom, overlay.box.bottom) - max(box.top, overlay.box.top)
        if width > 0 and height > 0 and width * height >= 0.5 * box.area_px:
            found.append(text)
    return found


def is_read(overlay: Overlay, words: list[str]) -> bool:
    """Whether the words are the overlay's, more or less."""
    wanted, said = overlay.text.replace(" ", "").lower(), "".join(words).replace(" ", "").lower()
    return bool(wanted) and difflib.SequenceMatcher(None, wanted.replace("\n", ""), said).ratio() >= ALIKE


def main() -> None:
    """Runs all cases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--set", action="append", default=[], metavar="a.b=c", help="settings, as of `cleanplate`")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    config = load_config(
        overrides=["models.threads=1", "models.device=cpu", "source.guard=none", "metrics.lpips=false", *options.set]
    )
    plan, reader, fonts = Plan.load(config), Reader(), FontLibrary.load("heldout")
    counts = {kind: Count() for kind in KINDS}
    for number, path in enumerate(list_photographs([options.photos])[: options.limit]):
        photograph = read_rgb(path)
        for offset, kind in enumerate(KINDS):
            sample = make_sample(photograph, kind, 10 * number + offset, fonts)
            one_picture(counts[kind], sample, plan, reader, path.stem)
    rows: list[list[object]] = []
    for kind, count in counts.items():
        per = {name: value / count.megapixels for name, value in count.seconds.items()}
        rows.append(
            [
                kind, count.overlays, count.readable, f"{1 - count.read_again / max(1, count.readable):.3f}",
                count.ocr_found, count.found, f"{per['ocr']:.2f}", f"{per['detect']:.2f}", f"{per['mask']:.2f}",
            ]
        )  # fmt: skip
    columns = ["kind", "overlays", "read before", "nothing read after", "found by OCR", "found", "OCR s/MP",
               "detect s/MP", "mask s/MP"]  # fmt: skip
    print_table(columns, rows)
    print("\nStill read:\n" + "\n".join(f"- {line}" for count in counts.values() for line in count.left))


def one_picture(count: Count, sample: OverlaySample, plan: Plan, reader: Reader, name: str) -> None:
    """Reads, finds, cleans and reads again; `name` is the picture's, for what is left of it."""
    picture, overlays = sample.picture, sample.overlays
    job = Job("eval", Image(picture, picture, Carried("PNG", "image/png", "RGB"), png(picture)), rights="owned")
    started = time.perf_counter()
    before = reader.read(picture)
    count.seconds["ocr"] += time.perf_counter() - started
    started = time.perf_counter()
    detections = detect([job], plan.detectors)
    middle = time.perf_counter()
    regions = [r for r in build_masks([job], detections, plan.config.mask)[0] if r.kind in plan.config.remove]
    count.seconds["detect"] += middle - started
    count.seconds["mask"] += time.perf_counter() - middle
    count.megapixels += picture.shape[0] * picture.shape[1] / 1e6
    mask = union(regions, picture.shape[:2])
    outcome = clean([decoded(job, plan)], plan)[0]
    after = reader.read(plan.codec.decode(outcome.data).rgb) if outcome.data is not None else before
    truth = sample.influence > 0.5
    for overlay in overlays:
        own = found_of(overlay, truth, mask, regions)
        if own.pixels < 20:
            continue
        count.overlays += 1
        count.found += own.recall >= FOUND_SHARE
        words = words_in(overlay, before)
        count.ocr_found += bool(words)
        if is_read(overlay, words):
            count.readable += 1
            again = words_in(overlay, after)
            if sum(map(len, again)) > NOISE:
                count.read_again += 1
                became = [r for r in outcome.regions if r.region.box.intersects(overlay.box)]
                decisions = ", ".join(f"{r.region.kind} {r.decision} {r.confidence:.2f}" for r in became) or "not seen"
                count.left.append(f"{name}, {' '.join(again)!r}, {own.recall:.2f} of it masked: {decisions}")


def decoded(job: Job, plan: Plan) -> Job:
    """The job as the pipeline gets it: its picture read from a file."""
    return Job(job.image_id, plan.codec.decode(job.image.data), rights="owned")


def png(picture: NDArray[np.uint8]) -> bytes:
    """A picture as the bytes of a PNG file."""
    return cv2.imencode(".png", np.ascontiguousarray(picture[..., ::-1]))[1].tobytes()


if __name__ == "__main__":
    main()
