"""Turns "the worst share of a batch" into a score that every image can be held against alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

from cleanplate.config import Config


def score_below(scores: Sequence[float], share: float) -> float | None:
    """The score under which a share of images lies: halfway between the last that belongs to it and the next one.

    Args:
        scores: no-reference scores of a batch, or of a sample of it; the lower, the worse.
        share: 0..1, at least one image belongs to it.

    Returns:
        The score; None where the share is all of them, or there are none.

    Example:
        >>> score_below([50.0, 10.0, 30.0, 20.0], 0.5)
        25.0
    """
    ordered = sorted(scores)
    count = max(1, math.ceil(share * len(ordered) - 1e-9))
    if count >= len(ordered):
        return None
    return (ordered[count - 1] + ordered[count]) / 2


def with_share_decided(config: Config, below: float | None) -> Config:
    """The configuration with `enhance.worst_share` replaced by the score that it comes to; see `score_below`.

    Where `enhance.only_below` is set as well, the lower of the two counts.
    """
    if config.enhance.worst_share == 1:
        return config
    limits = [limit for limit in (config.enhance.only_below, below) if limit is not None]
    decided = {"worst_share": 1.0, "only_below": min(limits, default=None)}
    return config.model_copy(update={"enhance": config.enhance.model_copy(update=decided)})
