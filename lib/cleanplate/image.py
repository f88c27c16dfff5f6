"""An image: its pixels beside all that its file carried."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Carried:
    """What a file carried besides its picture, kept so that the result can carry it too.

    Attributes:
        format: Pillow's name of the container: "JPEG", "PNG", "WEBP", "TIFF", "BMP", ...
        media_type: IANA media type, such as "image/jpeg".
        mode: the stored pixel layout in Pillow's words: "L", "RGB", "RGBA", "P", "LA", "I;16", ...
        bit_depth: bits of one sample as stored (1, 2, 4, 8, 12 or 16).
        orientation: EXIF orientation, 1..8 (TIFF 6.0 / EXIF 2.3 tag 0x0112); 1 where there is none.
        icc: ICC profile bytes, or None.
        exif: raw EXIF block, or None.
        xmp: raw XMP packet, or None.
        dpi: horizontal and vertical resolution in dots per inch, or None.
        details: what only this container's writer needs (JPEG tables and subsampling, PNG palette and chunks,
            WebP losslessness, TIFF compression), as plain values.
    """

    format: str
    media_type: str
    mode: str
    bit_depth: int = 8
    orientation: int = 1
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    details: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Image:
    """A decoded picture.

    Attributes:
        rgb: uint8 (H, W, 3), RGB, 0..255, upright (EXIF orientation applied); the colours are the file's own
            (no ICC conversion). Grey, palette and 16-bit files are shown as 8-bit RGB here. Never mutated.
        native: the samples as the file stores them, not rotated: uint8 or uint16, (H, W) or (H, W, C), alpha last.
            For a palette file the palette's colours, expanded. Diffs are made of these.
        carried: the file's other contents.
        data: the file's bytes.
    """

    rgb: NDArray[np.uint8]
    native: NDArray[np.generic]
    carried: Carried
    data: bytes

    @property
    def height(self) -> int:
        """Height in pixels, upright."""
        return int(self.rgb.shape[0])

    @property
    def width(self) -> int:
        """Width in pixels, upright."""
        return int(self.rgb.shape[1])
