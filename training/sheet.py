"""A contact sheet of cases: picture, truth and map side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

_CELL = (300, 200)
_COLUMNS = 2


@dataclass(frozen=True)
class Case:
    """One picture with its truth, float32 (H, W), 0..1, the network's map likewise, and how well they agree."""

    score: float
    kind: str
    picture: NDArray[np.uint8]
    truth: NDArray[np.float32]
    found: NDArray[np.float32]


def write_sheet(path: Path, cases: Sequence[Case]) -> None:
    """Writes the cases in their order, two in a row, as WebP or PNG."""
    rows = [_case(case) for case in cases]
    rows += [np.zeros_like(rows[0])] * (-len(rows) % _COLUMNS)
    lines = [np.hstack(rows[start : start + _COLUMNS]) for start in range(0, len(rows), _COLUMNS)]
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.vstack(lines)[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, 72])


def _case(case: Case) -> NDArray[np.uint8]:
    picture = cv2.resize(case.picture, _CELL, interpolation=cv2.INTER_AREA)
    cells = np.hstack([picture, _grey(case.truth), _grey(case.found)])
    label = f"{case.kind} {case.score:.2f}"
    cv2.putText(cells, label, (_CELL[0] + 6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 200, 0), 1, cv2.LINE_AA)
    return cv2.copyMakeBorder(cells, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(90, 90, 90))


def _grey(layer: NDArray[np.float32]) -> NDArray[np.uint8]:
    small = cv2.resize(layer, _CELL, interpolation=cv2.INTER_AREA)
    return np.repeat(np.round(np.clip(small, 0, 1) * 255).astype(np.uint8)[..., None], 3, axis=2)
