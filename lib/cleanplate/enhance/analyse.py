"""What an image is like before anything is enhanced: its JPEG past, its noise, its sharpness, its origin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cleanplate.codec import jpeg_markers
from cleanplate.enhance.blocks import BLOCK_PX, look_at
from cleanplate.enhance.jpeg_past import JpegPast, find_past
from cleanplate.enhance.jpeg_tables import quality_of
from cleanplate.enhance.noise_profile import profile
from cleanplate.enhance.origin import Origin, origin_of
from cleanplate.errors import CleanplateError
from cleanplate.image import Image
from cleanplate.metrics.blur import blur_px

Evidence = Literal["tables", "pixels", "none"]


@dataclass(frozen=True)
class Analysis:
    """An image, described by what decides how to enhance it.

    Attributes:
        jpeg_quality: of the last JPEG it was, 1..100 as libjpeg counts; None where there is no sign of one.
        jpeg_evidence: whether that is read from the file's tables or seen in its pixels.
        grid_offset: column and row of the first whole 8x8 block in the upright picture, each 0..7.
        double_compressed: whether it was another, coarser JPEG before the last one.
        noise_luma: deviation of the luma's noise, grey levels 0..255.
        noise_chroma: of Cb and Cr, root mean square.
        noise_rgb: of R, G and B, root mean square: what a denoiser of colour pictures asks for.
        noise_correlation: of neighbours in luma, -1..1; 0 = white.
        noise_slope: growth of the luma noise's variance per grey level of brightness.
        blur: deviation in pixels of the Gaussian that the sharpest edges look blurred by; 0 = no edges.
        origin: what kind of source it is.
        origin_reason: the rule that said so, in words and numbers.
        jpeg_first_quality: of the JPEG before the last one, where it is seen: what most of the artefacts come from.
    """

    jpeg_quality: float | None
    jpeg_evidence: Evidence
    grid_offset: tuple[int, int]
    double_compressed: bool
    noise_luma: float
    noise_chroma: float
    noise_rgb: float
    noise_correlation: float
    noise_slope: float
    blur: float
    origin: Origin
    origin_reason: str = ""
    jpeg_first_quality: float | None = None

    def sentence(self) -> str:
        """All of it in words and numbers."""
        return f"{_NAMES[self.origin]} ({self.origin_reason}); {self._jpeg()}; {self._noise()}; blur {self.blur:.1f} px"

    def _jpeg(self) -> str:
        if self.jpeg_quality is None:
            return "never a JPEG, or of no visible loss"
        grid = f", grid at {self.grid_offset}" if self.grid_offset != (0, 0) else ""
        twice = f", quality {self.jpeg_first_quality:.0f} before that" if self.jpeg_first_quality else ""
        return f"JPEG quality {self.jpeg_quality:.0f} by its {self.jpeg_evidence}{grid}{twice}"

    def _noise(self) -> str:
        kind = "white" if abs(self.noise_correlation) < 0.2 else f"correlated {self.noise_correlation:.2f}"
        return f"noise {self.noise_luma:.1f} in luma, {self.noise_chroma:.1f} in chroma, {kind}"


_NAMES = {"camera": "camera photograph", "social_jpeg": "social-media JPEG", "scan": "scan", "screenshot": "screenshot"}


def analyse(image: Image) -> Analysis:
    """Looks at an image; at most a megapixel of it is looked at.

    Args:
        image: as decoded.
    """
    part = look_at(image.rgb)
    tables = table_quality(image)
    past = find_past(part, None if tables is None else JpegPast(tables, stored_grid_offset(image)))
    evidence: Evidence = "tables" if tables is not None else ("none" if past.quality is None else "pixels")
    noise = profile(part)
    origin, reason = origin_of(image.carried, part, past.quality, max(image.height, image.width))
    return Analysis(
        jpeg_quality=past.quality,
        jpeg_evidence=evidence,
        grid_offset=past.offset,
        double_compressed=past.double_compressed,
        noise_luma=noise.luma,
        noise_chroma=noise.chroma,
        noise_rgb=noise.rgb,
        noise_correlation=noise.correlation,
        noise_slope=noise.slope,
        blur=blur_px(part),
        origin=origin,
        origin_reason=reason,
        jpeg_first_quality=past.first_quality,
    )


def table_quality(image: Image) -> float | None:
    """Quality by the quantisation tables of a JPEG file; None for any other file."""
    if image.carried.format != "JPEG":
        return None
    try:
        segments = jpeg_markers.split_header(image.data)
        tables, frame = jpeg_markers.read_tables(segments), jpeg_markers.read_frame(segments)
    except CleanplateError:
        return None
    used = [tables.get(component.table) for component in frame.components]
    if used[0] is None:
        return None
    return quality_of(used[0], used[1] if len(used) > 1 else None)


def stored_grid_offset(image: Image) -> tuple[int, int]:
    """Column and row of a JPEG file's first whole block once the picture is turned upright."""
    orientation = image.carried.orientation
    column = image.width % BLOCK_PX if orientation in (2, 3, 6, 7) else 0
    row = image.height % BLOCK_PX if orientation in (3, 4, 7, 8) else 0
    return column, row
