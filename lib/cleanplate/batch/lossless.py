"""Samples of any depth as a PNG, without loss."""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from cleanplate.errors import ContractError
from cleanplate.image import Carried

_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_SWAPS = {1: None, 3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}


def encode_png(samples: NDArray[Any], carried: Carried) -> bytes:
    """Writes samples as a PNG that decodes to the same samples.

    Args:
        samples: uint8 or uint16, (H, W) or (H, W, C) with C of 1 to 4: RGB order, alpha last; as stored, not rotated.
        carried: what the picture carried; its ICC profile, EXIF (so that viewers rotate) and resolution go along
            with 8-bit samples.

    Returns:
        The file's bytes.

    Raises:
        ContractError: 16-bit grey with alpha, which no writer here knows.
    """
    plain = samples[..., 0] if samples.ndim == 3 and samples.shape[2] == 1 else samples
    channels = 1 if plain.ndim == 2 else plain.shape[2]
    if plain.dtype == np.uint8:
        return _encode_8_bit(plain, channels, carried)
    if channels not in _SWAPS:
        raise ContractError("16-bit grey with alpha cannot be written as PNG here: bring the source back instead")
    swap = _SWAPS[channels]
    ordered = plain if swap is None else cv2.cvtColor(plain, swap)
    return bytes(cv2.imencode(".png", ordered)[1].tobytes())


def _encode_8_bit(samples: NDArray[np.uint8], channels: int, carried: Carried) -> bytes:
    extras = {"icc_profile": carried.icc, "exif": carried.exif, "dpi": carried.dpi}
    buffer = io.BytesIO()
    picture = Pillow.fromarray(np.ascontiguousarray(samples))
    if picture.mode != _MODES[channels]:
        raise ContractError(f"{channels} channels came out as {picture.mode}, not {_MODES[channels]}")
    picture.save(buffer, "PNG", **{name: value for name, value in extras.items() if value})
    return buffer.getvalue()
