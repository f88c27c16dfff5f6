"""Makes the mask of a region wider, for text of which something was left."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cleanplate.records import Region
from cleanplate.ring import dilate
from cleanplate.windows import place


def widen(region: Region, widen_px: int, width: int, height: int) -> Region:
    """The region with its soft mask and core grown by a disc, inside an image of width x height.

    Args:
        region: any.
        widen_px: radius of the disc.
        width: of the image.
        height: of the image.
    """
    box = region.box.expand(widen_px, width, height)
    core = place(region.core.astype(np.float32), region.box, box).astype(np.uint8)
    return replace(
        region,
        box=box,
        alpha=dilate(place(region.alpha, region.box, box), widen_px),
        core=dilate(core, widen_px),
        confidence=place(region.confidence, region.box, box),
        dilation_px=region.dilation_px + widen_px,
    )
