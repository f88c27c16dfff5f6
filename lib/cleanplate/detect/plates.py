"""Plates behind captions and prices, which hide what they lie on as the strokes do."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.detect.components import Group
from cleanplate.detect.plate_edges import find_plate
from cleanplate.detect.plate_shapes import Block, mean_within
from cleanplate.records import Box
from cleanplate.windows import place

_LEVEL, _SURE = 0.6, 0.75  # of the network's map, from which a pixel is a plate's, and of a plate on average
_FILL = 0.75  # of its smallest rectangle that a plate fills ...
_CORNERS_FILL = 0.3  # ... and of what an ellipse in it leaves: a round thing fills 0.79, but no corner
_LEAST_PX = 6
_SIDE = 64  # of the square that a plate is turned into
_SQUARE = np.array([[0, _SIDE], [0, 0], [_SIDE, 0]], np.float32)
_CORNERS = np.hypot(*np.mgrid[1 - _SIDE : _SIDE : 2, 1 - _SIDE : _SIDE : 2]) > _SIDE
_SAME = 0.9  # of a line that lies on a plate whose edges are known
_OF_IT = 0.3  # of something that the network sees and that lies within such a plate: it is the same plate


class Plates:
    """The plates of a picture, as labels, with how sure each pixel of them is."""

    def __init__(
        self, labels: NDArray[np.int32], boxes: Sequence[Box], confidence: NDArray[np.float32], first_found: int
    ) -> None:
        """Keeps them; 0 is no label, and `boxes` has a place for it; from `first_found` on their edges were found."""
        self._labels = labels
        self._boxes = boxes
        self._confidence = confidence
        self._first_found = first_found

    @classmethod
    def of(
        cls, picture: NDArray[np.uint8], stroke_map: NDArray[np.float32], plate_map: NDArray[np.float32],
        blocks: Sequence[Block],
    ) -> Plates:  # fmt: skip
        """Finds plates by their edges round blocks of lines, and rectangles that the network is sure of.

        Args:
            picture: uint8 (H, W, 3), RGB.
            stroke_map: float32 (H, W), 0..1, the stroke network's, of overlays.
            plate_map: likewise, of plates.
            blocks: of lines that lie on the picture.
        """
        _, seen, stats, _ = cv2.connectedComponentsWithStats((plate_map >= _LEVEL).astype(np.uint8))
        labels = np.asarray(seen, np.int32)
        boxes = [Box(int(x), int(y), int(x + w), int(y + h)) for x, y, w, h, _ in stats]
        confidence = plate_map.copy()
        for label in range(1, len(boxes)):
            part = boxes[label].slices
            inside = labels[part] == label
            if plate_map[part][inside].mean() < _SURE or not _is_rectangle(inside):
                labels[part][inside] = 0
        first_found = len(boxes)
        for block in sorted(blocks, key=lambda each: -len(each.points)):
            if mean_within(labels >= first_found, block.points) >= _SAME:
                continue
            plate = find_plate(picture, stroke_map, plate_map, block)
            if plate is not None:
                covered = plate.mask(plate_map.shape)
                _forget(labels, covered >= 0.5, first_found)
                rows, columns = (np.flatnonzero(covered.any(axis=axis)) for axis in (1, 0))
                labels[covered >= 0.5] = len(boxes)
                boxes.append(Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1))
                confidence = np.maximum(confidence, covered)
        return cls(labels, boxes, confidence, first_found)

    def holds(self, polygon: NDArray[np.float32]) -> bool:
        """Whether a line lies within a plate whose edges were found: then it is on the picture as the plate is.

        Args:
            polygon: float32 (4, 2), x and y.
        """
        return mean_within(self._labels >= self._first_found, polygon) >= _SAME

    def joined(
        self, group: Group, box: Box, confidence: NDArray[np.float32], strokes: NDArray[np.float32]
    ) -> tuple[Box, NDArray[np.float32], NDArray[np.float32]]:
        """Adds the plates that a group's strokes lie on to what it became; returns box, confidence and strokes."""
        under = self._labels[group.box.slices]
        labels = [int(label) for label in np.unique(under[group.confidence >= _LEVEL]) if label]
        if not labels:
            return box, confidence, strokes
        whole = box
        for label in labels:
            whole = whole.union(self._boxes[label])
        part = whole.slices
        plate = np.where(np.isin(self._labels[part], labels), self._confidence[part], 0).astype(np.float32)
        return (
            whole,
            np.maximum(place(confidence, box, whole), plate),
            np.maximum(place(strokes, box, whole), plate),
        )


def _forget(labels: NDArray[np.int32], covered: NDArray[np.bool_], first_found: int) -> None:
    """Takes back, in place, what the network sees of a plate whose edges are known: raggedly it reaches beyond them."""
    inside = np.bincount(labels[covered], minlength=first_found)[:first_found]
    whole = np.bincount(labels[labels < first_found], minlength=first_found)
    of_it = inside >= _OF_IT * np.maximum(whole, 1)
    of_it[0] = False
    labels[(labels < first_found) & of_it[np.minimum(labels, first_found - 1)]] = 0


def _is_rectangle(shape: NDArray[np.bool_]) -> bool:
    """Whether a shape fills a rectangle, upright or turned, with its corners, as plates do and round things do not."""
    contours, _ = cv2.findContours(shape.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    largest = max(contours, key=cv2.contourArea)
    rectangle = cv2.minAreaRect(largest)
    if min(rectangle[1]) < _LEAST_PX:
        return False
    upright = cv2.getAffineTransform(cv2.boxPoints(rectangle)[:3], _SQUARE)
    filled = cv2.drawContours(np.zeros(shape.shape, np.uint8), [largest], -1, 1, cv2.FILLED)
    square = cv2.warpAffine(filled, upright, _CORNERS.shape)
    return bool(square.mean() >= _FILL and square[_CORNERS].mean() >= _CORNERS_FILL)
