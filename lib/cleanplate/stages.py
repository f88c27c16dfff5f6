"""The clock around the stages: it times each one, names it in its errors."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class StageError(Exception):
    """A stage failed; `cause` is the error itself and `stage` the stage's name."""

    def __init__(self, stage: str, cause: Exception) -> None:
        super().__init__(f"{stage}: {cause}")
        self.stage = stage
        self.cause = cause


class StageClock:
    """Seconds by stage, shared evenly between the images that went through together."""

    def __init__(self, images: int) -> None:
        self._images = max(1, images)
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Times the block.

        Raises:
            StageError: from any error inside, so that the row can say where it came from.
        """
        start = time.perf_counter()
        try:
            yield
        except Exception as error:  # the row boundary: `rows.py` turns it into one image's row
            raise StageError(stage, error) from error
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + (time.perf_counter() - start) / self._images
