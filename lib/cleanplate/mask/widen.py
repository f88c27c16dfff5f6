"""Makes the mask of a region wider, for text of which something was left."""

from __future__ import annotations

from dataclasses import replace

import cv2
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
    size = 2 * widen_px + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    alpha = np.asarray(cv2.dilate(place(region.alpha, region.box, box), kernel), dtype=np.float32)
    core = dilate(place(region.core.astype(np.float32), region.box, box).astype(np.uint8), widen_px)
    return replace(
        region,
        box=box,
        alpha=alpha,
        core=core,
        confidence=place(region.confidence, region.box, box),
        dilation_px=region.dilation_px + widen_px,
    )
