"""The row boundary: whatever goes wrong with an image costs that image's row and no other."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from cleanplate.outcomes import failed
from cleanplate.pipeline import Plan, clean
from cleanplate.records import Job, Outcome
from cleanplate.stages import StageError

logger = logging.getLogger(__name__)


def clean_rows(jobs: Sequence[Job], plan: Plan) -> list[Outcome]:
    """Cleans a batch; a failing batch is halved until the images that fail stand alone.

    Halving also answers a device that runs out of memory: half the batch needs half of it.

    Args:
        jobs: decoded images.
        plan: configuration and loaded models.

    Returns:
        One outcome per job, in order; never raises for the sake of an image.
    """
    try:
        return clean(jobs, plan)
    except StageError as failure:
        if len(jobs) == 1:
            logger.debug("image %s failed in %s", jobs[0].image_id, failure.stage, exc_info=failure.cause)
            return [failed(jobs[0], failure, {})]
    middle = len(jobs) // 2
    return clean_rows(jobs[:middle], plan) + clean_rows(jobs[middle:], plan)
