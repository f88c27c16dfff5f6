"""Converts between samples as stored and 8-bit RGB."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# ITU-R BT.601 luma in 1/1000.
_LUMA = np.array([299, 587, 114], dtype=np.uint32)


def to_rgb(native: NDArray[Any]) -> NDArray[np.uint8]:
    """Shows stored samples as RGB.

    Args:
        native: uint8 or uint16, (H, W), or (H, W, C) with C = 1..4, alpha last.

    Returns:
        uint8 (H, W, 3), 0..255; 16-bit samples are scaled by 255/65535 and rounded, alpha is left out. It may be
        `native` itself.
    """
    eight = to_eight_bit(native)
    if eight.ndim == 2:
        eight = eight[..., None]
    if eight.shape[2] == 3:
        return eight
    if eight.shape[2] == 4:
        return np.ascontiguousarray(eight[..., :3])
    return np.repeat(eight[..., :1], 3, axis=2)


def to_eight_bit(native: NDArray[Any]) -> NDArray[np.uint8]:
    """Samples as uint8; 16-bit ones scaled by 255/65535 and rounded (PNG specification, sample depth scaling)."""
    if native.dtype == np.uint8:
        return native
    return ((native.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)


def to_grey(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """BT.601 luma of uint8 (..., 3), rounded; exact where the three are equal."""
    return ((rgb.astype(np.uint32) @ _LUMA + 500) // 1000).astype(np.uint8)


def paint(native: NDArray[Any], rgb: NDArray[np.uint8], changed: NDArray[np.bool_]) -> NDArray[Any]:
    """Puts edited pixels into a copy of the stored samples.

    Args:
        native: uint8 or uint16, (H, W) or (H, W, C), alpha last where C is 2 or 4.
        rgb: uint8 (H, W, 3).
        changed: bool (H, W), the pixels that take the value of `rgb`.

    Returns:
        Same shape and dtype as `native`; alpha and all pixels outside `changed` are as before; 16-bit samples of
        changed pixels are the 8-bit value times 257.
    """
    painted = native.copy()
    scale = np.uint16(257) if native.dtype == np.uint16 else np.uint8(1)
    colours = rgb[changed]
    if native.ndim == 2:
        painted[changed] = to_grey(colours) * scale
    elif native.shape[2] <= 2:
        painted[changed, 0] = to_grey(colours) * scale
    else:
        painted[changed, :3] = colours * scale
    return painted


def resized(native: NDArray[Any], rgb: NDArray[np.uint8]) -> NDArray[Any]:
    """Samples of the layout of `native` that show `rgb`, which has another size.

    Args:
        native: uint8 or uint16, (H, W) or (H, W, C), alpha last where C is 2 or 4.
        rgb: uint8 (h, w, 3).

    Returns:
        The dtype and channels of `native`, of the size of `rgb`; alpha interpolated (bilinear, so that it does not
        overshoot), 16-bit samples are the 8-bit values times 257.
    """
    scale = np.uint16(257) if native.dtype == np.uint16 else np.uint8(1)
    colours = rgb if native.ndim == 3 and native.shape[2] > 2 else to_grey(rgb)[..., None]
    shown = colours * scale
    if native.ndim == 3 and native.shape[2] in (2, 4):
        import cv2  # the codec's children start lean; only a new size needs it

        size = (rgb.shape[1], rgb.shape[0])
        alpha = cv2.resize(np.ascontiguousarray(native[..., -1]), size, interpolation=cv2.INTER_LINEAR)
        shown = np.concatenate([shown, alpha[..., None]], axis=2)
    return shown[..., 0] if native.ndim == 2 else shown


def scale_to_eight(values: NDArray[Any], maximum: int) -> NDArray[np.uint8]:
    """Scales 0..maximum to 0..255 with rounding."""
    if maximum == 255:
        return values.astype(np.uint8)
    return ((values.astype(np.uint64) * 255 + maximum // 2) // maximum).astype(np.uint8)


def unpack_bits(packed: NDArray[np.uint8], width: int, bits: int) -> NDArray[np.uint8]:
    """Splits bytes into samples of 1, 2 or 4 bits, most significant first.

    Args:
        packed: uint8 (H, row bytes).
        width: samples in a row.
        bits: 1, 2, 4 or 8.

    Returns:
        uint8 (H, width), 0..2**bits - 1.
    """
    if bits == 8:
        return packed[:, :width]
    shifts = np.arange(8 - bits, -1, -bits, dtype=np.uint8)
    samples = (packed[..., None] >> shifts) & np.uint8(2**bits - 1)
    return samples.reshape(packed.shape[0], -1)[:, :width]


def pack_bits(samples: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Packs samples of 1, 2, 4 or 8 bits into bytes, most significant first; rows are padded with zero bits."""
    if bits == 8:
        return samples
    per_byte = 8 // bits
    padded = np.pad(samples, ((0, 0), (0, -samples.shape[1] % per_byte)))
    groups = padded.reshape(samples.shape[0], -1, per_byte)
    shifts = np.arange(8 - bits, -1, -bits, dtype=np.uint8)
    return np.bitwise_or.reduce(groups << shifts, axis=2).astype(np.uint8)
