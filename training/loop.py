"""What the training loops share: the learning rate over a cycle, averaged weights, the command for the card."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

from torch import nn

ROOT = Path(__file__).resolve().parents[1]
LONGEST_STEP_S = 60.0  # what is longer was a pause of the process
_WARM_SHARE = 0.06


def schedule(share: float) -> float:
    """Linear warm-up, then a cosine down to one hundredth, by the share of the time that is over."""
    if share < _WARM_SHARE:
        return max(share, 0.002) / _WARM_SHARE
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, (share - _WARM_SHARE) / (1 - _WARM_SHARE))))


def average(mean: nn.Module, network: nn.Module, steps: int, keep: float) -> None:
    """Moves averaged weights towards a network's, faster over its first steps."""
    keep = min(keep, steps / (steps + 20))
    own = network.state_dict()
    for name, value in mean.state_dict().items():
        if value.dtype.is_floating_point:
            value.lerp_(own[name], 1 - keep)
        else:
            value.copy_(own[name])


def command() -> str:
    """How this process was called, without what is only this machine's."""
    return "python " + " ".join(os.path.relpath(w, ROOT) if Path(w).is_absolute() else w for w in sys.argv)
