"""What every container's module offers to the codec, and the limits that are checked before pixels are decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from cleanplate.errors import DecodeError
from cleanplate.image import Carried, Image

if TYPE_CHECKING:
    from cleanplate.config import SourceConfig


@dataclass(frozen=True)
class Probe:
    """What a file's header says of its picture.

    Attributes:
        width: in pixels, upright (EXIF orientation applied).
        height: in pixels, upright.
        media_type: IANA media type.
        format: Pillow's name of the container.
    """

    width: int
    height: int
    media_type: str
    format: str


@dataclass(frozen=True)
class Header:
    """Size as stored (not rotated) and EXIF orientation, 1..8."""

    width: int
    height: int
    orientation: int = 1


class Container(Protocol):
    """One file format: a module with these names."""

    FORMAT: str
    MEDIA_TYPE: str

    def read_header(self, data: bytes) -> Header:
        """Reads the size without decoding pixels.

        Raises:
            DecodeError: the header is damaged.
            RefusedError: the header already says that the file cannot be edited faithfully.
        """
        ...

    def decode(self, data: bytes) -> tuple[NDArray[np.generic], Carried]:
        """Decodes to samples as stored (not rotated) and all that the file carries.

        Raises:
            DecodeError: the data is damaged.
            RefusedError: the picture cannot be edited faithfully.
        """
        ...

    def encode(self, image: Image, rgb: NDArray[np.uint8], changed: NDArray[np.bool_]) -> bytes:
        """Encodes the edit.

        Args:
            image: as decoded.
            rgb: uint8 (H, W, 3), the edited picture, not rotated.
            changed: bool (H, W), not rotated; the pixels that take the value of `rgb`, at least one.
        """
        ...

    def is_lossy(self, image: Image) -> bool:
        """Whether the file's coding loses, so that a picture that changed as a whole is coded anew."""
        ...

    def rewrite(self, image: Image, rgb: NDArray[np.uint8], jpeg_quality: int) -> bytes:
        """Writes a new picture of any size.

        Args:
            image: as decoded; its `rgb` may be empty.
            rgb: uint8 (H, W, 3), the new picture, not rotated.
            jpeg_quality: 1..100, least quality where the format loses.

        Raises:
            RefusedError: the format cannot hold the picture.
        """
        ...


def check_size(data: bytes, limits: SourceConfig) -> None:
    """Checks the length of a file.

    Raises:
        DecodeError: empty, or longer than source.max_bytes.
    """
    if not data:
        raise DecodeError("the file is empty (0 bytes)")
    if len(data) > limits.max_bytes:
        raise DecodeError(
            f"the file has {len(data)} bytes, more than source.max_bytes={limits.max_bytes}; raise the limit to read it"
        )


def check_dimensions(width: int, height: int, limits: SourceConfig) -> None:
    """Checks the size that a header declares, before pixels are decoded.

    Raises:
        DecodeError: zero-size, or larger than source.max_side_px or source.max_pixels.
    """
    if width < 1 or height < 1:
        raise DecodeError(f"the header declares a picture of {width} x {height} pixels: there is nothing to decode")
    if max(width, height) > limits.max_side_px:
        raise DecodeError(
            f"the picture is {width} x {height} pixels, a side is longer than source.max_side_px={limits.max_side_px}; "
            "raise the limit to decode it"
        )
    if width * height > limits.max_pixels:
        raise DecodeError(
            f"the picture is {width} x {height} = {width * height} pixels, more than "
            f"source.max_pixels={limits.max_pixels}; raise the limit to decode it"
        )
