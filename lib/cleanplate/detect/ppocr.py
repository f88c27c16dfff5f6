"""Text found by PP-OCRv6's detector, used for its probability map and its trunk's features, not only for its boxes."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor

from cleanplate.config import Config, DetectConfig
from cleanplate.detect import db
from cleanplate.detect.windows import Window, cut
from cleanplate.models.cache import load_once
from cleanplate.models.onnx_files import read_onnx
from cleanplate.models.onnx_torch import load_onnx
from cleanplate.models.registry import Registry
from cleanplate.models.stroke_net import FEATURES
from cleanplate.records import Box, Detection, Job
from cleanplate.windows import without_rim

MODEL_ID = "ppocr_det"
_MULTIPLE = 32
_MEAN = np.array([0.485, 0.456, 0.406], np.float32) * 255
_DEVIATION = np.array([0.229, 0.224, 0.225], np.float32) * 255
_BATCH_PIXELS = 4_000_000  # of the network's input; bounds its memory
_NO_TEXT_PX = 6  # a picture of fewer rows or columns holds no letter
_TRUNK = ("Add.33", "Add.65", "Add.121", "Add.153")  # the last values of its four stages, at strides 4, 8, 16 and 32
# Batches in, float32 (N, 3, h, w) as `prepare` makes them; out come probabilities, float32 (N, 1, h, w), and features,
# float32 (N, c, h / s, w / s) for each c of stroke_net.FEATURES and s of 4, 8, 16 and 32.
Network = Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], Sequence[Tensor]]]


@dataclass(frozen=True)
class Sight:
    """What the detector makes of a picture.

    Attributes:
        confidence: float32 (H, W), 0..1, how sure it is of text, per pixel.
        features: of its trunk, on its device, float32 (1, c, h, w) for each c of stroke_net.FEATURES; each grid is
            spread evenly over the picture.
    """

    confidence: NDArray[np.float32]
    features: tuple[Tensor, ...]


class PpocrDetector:
    """PP-OCRv6 text detector (differentiable binarisation, Liao et al., AAAI 2020).

    onnxruntime runs it on a CPU, torch on a GPU: there the wheel of onnxruntime has no kernels.
    """

    name = "ppocr"

    def __init__(self, network: Network, config: DetectConfig) -> None:
        """Keeps a network (shared by the process) and the settings."""
        self._network = network
        self._config = config

    @classmethod
    def build(cls, config: Config, registry: Registry, device: str) -> PpocrDetector:
        """Loads the network, once per process.

        Raises:
            ModelError: its weights are missing, tampered with or not permitted.
        """
        threads = config.models.threads or os.cpu_count() or 1
        load = _load_on_gpu if device.startswith("cuda") else _load
        network = load_once(registry, MODEL_ID, device, lambda path: load(path, device, threads), f"{threads}")
        return cls(network, config.detect)

    def detect(self, jobs: Sequence[Job]) -> list[list[Detection]]:
        """One detection per line of text, with its part of the probability map."""
        maps = self.confidence_maps([job.image.rgb for job in jobs])
        return [self._lines(confidence) for confidence in maps]

    def confidence_maps(self, images_rgb: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        """How sure the network is of text, per pixel.

        Args:
            images_rgb: uint8 (H, W, 3), RGB, of any sizes.

        Returns:
            float32 (H, W), 0..1, one per image, of its size.
        """
        return [sight.confidence for sight in self.look(images_rgb)]

    def look(self, images_rgb: Sequence[NDArray[np.uint8]]) -> list[Sight]:
        """What the network makes of pictures, uint8 (H, W, 3), RGB, of any sizes."""
        maps = [np.zeros(image.shape[:2], np.float32) for image in images_rgb]
        parts: list[list[tuple[Window, list[Tensor]]]] = [[] for _ in images_rgb]
        buckets: dict[tuple[int, int], list[tuple[int, Window]]] = defaultdict(list)
        for index, image in enumerate(images_rgb):
            if min(image.shape[:2]) >= _NO_TEXT_PX:
                for window in cut(image.shape[0], image.shape[1], self._config.long_side_px, _MULTIPLE):
                    buckets[window.network_shape].append((index, window))
        for shape, members in buckets.items():
            for chunk in _chunks(members, shape):
                inputs = np.stack([prepare(images_rgb[index][w.box.slices], shape) for index, w in chunk])
                outputs, features = self._network(inputs)
                for place, ((index, window), output) in enumerate(zip(chunk, outputs, strict=True)):
                    _paste(maps[index], window.box, output[0])
                    parts[index].append((window, [each[place : place + 1] for each in features]))
        return [Sight(*each) for each in zip(maps, map(_spread, parts, images_rgb), strict=True)]

    def _lines(self, confidence: NDArray[np.float32]) -> list[Detection]:
        height, width = confidence.shape
        found = []
        for line in db.lines(confidence, self._config.threshold, self._config.box_score, self._config.min_side_px):
            box = line.box.clip(width, height)
            if box.area_px:
                inside = db.inside(line.polygon, box)
                found.append(
                    Detection(
                        "overlay_text",
                        line.score,
                        box,
                        confidence[box.slices] * inside,
                        self.name,
                        line.polygon,
                        line.height_px,
                    )
                )
        return found


def prepare(image_rgb: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.float32]:
    """What the network expects: BGR, ImageNet's mean and deviation in that order, channels first.

    These are PaddleOCR's own values for its detectors. rapidocr's wheel says 0.5 and 0.5: boxes are the same to a few
    pixels, but small text is found less often (90 against 95 % of the pixels of drawn overlays).

    Args:
        image_rgb: uint8 (H, W, 3), RGB.
        shape: height and width to resize to, multiples of 32.

    Returns:
        float32 (3, height, width), about -2..3.
    """
    shrinks = shape[0] * shape[1] < image_rgb.shape[0] * image_rgb.shape[1]
    resized = cv2.resize(image_rgb, shape[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    planes = np.empty((3, *shape), np.float32)
    for plane, channel, mean, deviation in zip(planes, cv2.split(resized)[::-1], _MEAN, _DEVIATION, strict=True):
        np.divide(np.subtract(channel, mean, out=plane), deviation, out=plane)
    return planes


def _load(path: Path, device: str, threads: int) -> Network:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Input sizes vary, and the arena would keep the largest for ever.
    options.enable_cpu_mem_arena = False
    model = read_onnx(path, _TRUNK).SerializeToString()
    session = onnxruntime.InferenceSession(model, sess_options=options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(inputs: NDArray[np.float32]) -> tuple[NDArray[np.float32], Sequence[Tensor]]:
        probability, *features = session.run(None, {name: inputs})
        return np.asarray(probability, np.float32), [torch.from_numpy(np.asarray(each)) for each in features]

    return run


def _load_on_gpu(path: Path, device: str, threads: int) -> Network:
    graph = load_onnx(path, device, _TRUNK)

    def run(inputs: NDArray[np.float32]) -> tuple[NDArray[np.float32], Sequence[Tensor]]:
        with torch.inference_mode():
            probability, *features = graph(torch.from_numpy(inputs).to(device))
            return np.asarray(probability.float().cpu().numpy(), np.float32), features

    return run


def _chunks(
    members: list[tuple[int, Window]], shape: tuple[int, int]
) -> Iterator[list[tuple[int, Window]]]:
    size = max(1, _BATCH_PIXELS // (shape[0] * shape[1]))
    for start in range(0, len(members), size):
        yield members[start : start + size]


def _paste(target: NDArray[np.float32], box: Box, probability: NDArray[np.float32]) -> None:
    """Windows overlap: the surer one counts."""
    scaled = cv2.resize(probability, (box.width, box.height), interpolation=cv2.INTER_LINEAR)
    np.maximum(target[box.slices], np.clip(scaled, 0, 1), out=target[box.slices])


def _spread(parts: Sequence[tuple[Window, Sequence[Tensor]]], image_rgb: NDArray[np.uint8]) -> tuple[Tensor, ...]:
    """A picture's features from those of its windows: where they overlap, each but for its rim. Zeros without any."""
    if not parts:
        return tuple(torch.zeros(1, channels, 1, 1) for channels in FEATURES)
    if len(parts) == 1:
        return tuple(parts[0][1])
    levels = zip(*(features for _, features in parts), strict=True)
    return tuple(_joined([window.box for window, _ in parts], level, image_rgb.shape[:2]) for level in levels)


def _joined(boxes: Sequence[Box], grids: Sequence[Tensor], shape: tuple[int, ...]) -> Tensor:
    rows, columns = grids[0].shape[2:]
    down, across = rows / boxes[0].height, columns / boxes[0].width  # cells per pixel, the same in all windows
    whole = Box(0, 0, max(columns, round(shape[1] * across)), max(rows, round(shape[0] * down)))
    found = grids[0].new_zeros(1, grids[0].shape[1], whole.height, whole.width)
    for box, grid in zip(boxes, grids, strict=True):
        left = min(round(box.left * across), whole.width - columns)
        top = min(round(box.top * down), whole.height - rows)
        cells = Box(left, top, left + columns, top + rows)
        inner = without_rim(cells, whole, min(rows, columns) // 8)  # they overlap by half their short side
        found[(..., *inner.slices)] = grid[(..., *inner.moved(-left, -top).slices)]
    return found
