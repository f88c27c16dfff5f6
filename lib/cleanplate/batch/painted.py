"""A mask that a reviewer painted."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.errors import ContractError


def read_mask(mask_png: bytes) -> NDArray[np.uint8]:
    """Decodes a posted mask.

    Args:
        mask_png: a picture; of several channels the brightest counts, alpha does not.

    Returns:
        uint8 (H, W).

    Raises:
        ContractError: it is no picture, or nothing is painted in it.
    """
    picture = cv2.imdecode(np.frombuffer(mask_png, np.uint8), cv2.IMREAD_COLOR) if mask_png else None
    if picture is None:
        raise ContractError("the mask is no picture: send it as PNG at the image's size")
    mask = np.asarray(picture.max(axis=2), np.uint8)
    if not mask.any():
        raise ContractError("the mask is empty: paint what is to go, then run again")
    return mask
