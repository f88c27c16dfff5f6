"""Bytes to images and back, one module per container."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from cleanplate.codec import bmp, jpeg, png, tiff, webp
from cleanplate.codec.base import Container, Probe, check_dimensions, check_size
from cleanplate.codec.orientation import to_stored, to_upright, upright_size
from cleanplate.codec.samples import to_rgb
from cleanplate.codec.sniff import sniff
from cleanplate.errors import ContractError
from cleanplate.image import Image

if TYPE_CHECKING:
    from cleanplate.config import SourceConfig

__all__ = ["Probe", "changed_coefficients", "decode", "encode", "probe", "rewrite"]

# Pillow logs every chunk and tag at debug level.
logging.getLogger("PIL").setLevel(logging.WARNING)

_CONTAINERS = {module.FORMAT: cast(Container, module) for module in (jpeg, png, webp, tiff, bmp)}


def probe(data: bytes, limits: SourceConfig) -> Probe:
    """Reads a file's header; no pixel is decoded.

    Args:
        data: the file's bytes.
        limits: largest file and picture.

    Raises:
        DecodeError: no picture, a damaged header, or larger than a limit.
        RefusedError: a picture of a kind that is not edited.
    """
    check_size(data, limits)
    container = _CONTAINERS[sniff(data)]
    header = container.read_header(data)
    check_dimensions(header.width, header.height, limits)
    width, height = upright_size(header.width, header.height, header.orientation)
    return Probe(width, height, container.MEDIA_TYPE, container.FORMAT)


def decode(data: bytes, limits: SourceConfig) -> Image:
    """Decodes a file.

    Args:
        data: the file's bytes: JPEG, PNG, WebP, TIFF or BMP.
        limits: largest file and picture; checked on the header, before pixels are decoded.

    Returns:
        The picture with all that the file carries. Its arrays are read-only.

    Raises:
        DecodeError: no picture, damaged or cut off, or larger than a limit.
        RefusedError: it can be read but not edited faithfully.
    """
    found = probe(data, limits)
    native, carried = _CONTAINERS[found.format].decode(data)
    rgb = to_upright(to_rgb(native), carried.orientation)
    native.setflags(write=False)
    rgb.setflags(write=False)
    return Image(rgb, native, carried, data)


def encode(image: Image, rgb: NDArray[np.uint8], touched: NDArray[np.bool_]) -> bytes:
    """Writes an edited picture in its own format; nothing but the touched pixels changes.

    A touched pixel whose colour is the old one counts as untouched. Where no pixel is left the source's very bytes
    are returned. JPEG: the coefficients of all blocks without a changed pixel are the source's. Lossy WebP is
    written as lossless WebP, so that no other pixel changes. Alpha never changes.

    Args:
        image: the picture as `decode` returned it.
        rgb: uint8 (H, W, 3), upright, RGB: the edited picture; looked at only where `touched`.
        touched: bool (H, W), upright.

    Returns:
        The result file's bytes.

    Raises:
        ContractError: `rgb` or `touched` is not of the image's shape or type.
        RefusedError: the result could not be written faithfully.
    """
    _check_edit(image, rgb, touched)
    changed = touched & (rgb != image.rgb).any(axis=2)
    if not changed.any():
        return image.data
    orientation = image.carried.orientation
    stored = to_stored(rgb, orientation)
    return _CONTAINERS[image.carried.format].encode(image, stored, to_stored(changed, orientation))


def is_lossy(image: Image) -> bool:
    """Whether the file that a picture came from stores it with losses (JPEG, lossy WebP)."""
    return _CONTAINERS[image.carried.format].is_lossy(image)


def rewrite(image: Image, rgb: NDArray[np.uint8], jpeg_quality: int) -> bytes:
    """Writes a picture that changed as a whole, in its own format and with what the file carried.

    JPEG: with the source's sampling and no table coarser than libjpeg's at `jpeg_quality` (the coarse tables of the
    source would quantise a better picture back to what it was). Lossy WebP is written lossy. Of another size, alpha is
    interpolated, and a palette becomes true colour.

    Args:
        image: the picture as `decode` returned it; of its `rgb` nothing is read.
        rgb: uint8 (H, W, 3), upright, RGB: the new picture, of any size.
        jpeg_quality: 1..100.

    Returns:
        The result file's bytes; the source's where no sample of a lossless file changed.

    Raises:
        RefusedError: the format cannot hold the picture.
    """
    stored = to_stored(rgb, image.carried.orientation)
    container = _CONTAINERS[image.carried.format]
    if stored.shape[:2] != image.native.shape[:2] or container.is_lossy(image):
        return container.rewrite(image, stored, jpeg_quality)
    changed = (stored != to_rgb(image.native)).any(axis=2)
    return container.encode(image, stored, changed) if changed.any() else image.data


def changed_coefficients(image: Image, result: bytes, touched: NDArray[np.bool_]) -> int | None:
    """Counts the DCT coefficients of a written JPEG that differ from the source's where no pixel was touched.

    Args:
        image: the picture as `decode` returned it; its bytes and what they carried count.
        result: the written file.
        touched: bool (H, W), upright; an MCU with one such pixel does not count.

    Returns:
        How many differ; None where the file is no JPEG.

    Raises:
        DecodeError: the coefficients cannot be read.
    """
    if image.carried.format != jpeg.FORMAT:
        return None
    return jpeg.changed_coefficients(image.data, result, to_stored(touched, image.carried.orientation))


def _check_edit(image: Image, rgb: NDArray[np.uint8], touched: NDArray[np.bool_]) -> None:
    size = (image.height, image.width)
    if rgb.dtype != np.uint8 or rgb.shape != (*size, 3):
        raise ContractError(f"rgb must be uint8 {(*size, 3)}, as the image is upright, not {rgb.dtype} {rgb.shape}")
    if touched.dtype != np.bool_ or touched.shape != size:
        found = f"{touched.dtype} {touched.shape}"
        raise ContractError(f"touched must be bool {size}, as the image is upright, not {found}")
