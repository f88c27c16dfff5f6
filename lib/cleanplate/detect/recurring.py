"""Marks that the pictures of a batch share: where one is known to lie, a look says whether it is there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cleanplate.marks.recurring import RecurringMark
from cleanplate.records import Detection, Job

SOURCE = "recurring"
_EVEN = 0.5  # score of a mark that barely agrees


class RecurringDetector:
    """Finds the recurring marks of a batch; its masks are the templates' own.

    It is in no registry: what it looks for is known only when a batch has been looked at (`batch/recurring.py`).
    """

    name = SOURCE

    def __init__(self, marks: Sequence[RecurringMark]) -> None:
        """Keeps the marks."""
        self._marks = tuple(marks)

    def detect(self, jobs: Sequence[Job]) -> list[list[Detection]]:
        """One detection per mark that an image carries."""
        return [[found for mark in self._marks if (found := _find(mark, job)) is not None] for job in jobs]


def _find(mark: RecurringMark, job: Job) -> Detection | None:
    found = mark.found_on(job.image.rgb)
    if found is None:
        return None
    known, agreement = found
    box = known.box.clip(job.image.width, job.image.height)
    there = (known.within(box).alpha > 0).astype(np.float32)
    score = float(np.clip(_EVEN + agreement, 0, 1))
    return Detection(mark.kind, score, box, there, SOURCE, strokes=there, known=known)
