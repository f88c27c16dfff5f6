"""Photographs to draw on and to measure with: listed, read, and the signs that some of them show."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.errors import ConfigError
from cleanplate.records import Box

_SUFFIXES = {".webp", ".png", ".jpg", ".jpeg"}


def list_photographs(folders: Sequence[Path]) -> list[Path]:
    """The pictures of some folders, sorted.

    Raises:
        ConfigError: there are none.
    """
    found = sorted(path for folder in folders for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)
    if not found:
        raise ConfigError(f"no photographs in {', '.join(map(str, folders))}; give folders of webp, png or jpg files")
    return found


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """A picture file as uint8 (H, W, 3), RGB.

    Raises:
        ConfigError: it is no picture.
    """
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise ConfigError(f"{path} cannot be read as a picture; take it out of the folder")
    return np.ascontiguousarray(picture[..., ::-1])


def read_boxes(listed: Path) -> dict[str, list[Box]]:
    """Boxes by photograph, from a CSV file with the columns photograph, left, top, right, bottom."""
    boxes: dict[str, list[Box]] = defaultdict(list)
    with listed.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            sides = (int(row[side]) for side in ("left", "top", "right", "bottom"))
            boxes[row["photograph"]].append(Box(*sides))
    return dict(boxes)
