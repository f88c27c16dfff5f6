"""The records of the overlay generator: what to draw, and what was drawn with its exact truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cleanplate.records import Box, Kind

FloatMap = NDArray[np.float32]

DESIGNS: Mapping[Kind, tuple[str, ...]] = {
    "overlay_text": ("caption", "meme", "price", "dense", "date", "credit", "vertical", "curved"),
    "handwriting": ("written", "pen", "signature", "scribble"),
    "stamp": ("round", "square"),
    "watermark": ("single", "tiled", "logo", "cross"),
    "scene_text": ("sign", "painted"),
}
SCRIPTS = ("latin", "cyrillic", "greek", "arabic", "han", "japanese", "korean", "digits", "price")


@dataclass(frozen=True)
class OverlayStyle:
    """What one overlay is to look like; `styles.sample_style` draws one at random, an evaluation fixes the fields.

    Attributes:
        kind: overlay_text, handwriting, stamp, watermark or scene_text.
        design: one of DESIGNS[kind].
        script: one of SCRIPTS; ignored where nothing is written.
        size_px: size of the type in pixels (em), 8..200; of a stamp's or logo's letters likewise.
        angle_deg: counter-clockwise rotation in degrees.
        opacity: 0..1, of the whole mark.
        perspective: 0..0.4, by how much of their side the corners are shifted.
        outline_px: width of the outline, 0 for none.
        shadow: strength of the drop shadow, 0..1, 0 for none.
        glow: strength of the glow, 0..1, 0 for none.
        gradient: whether the fill runs between two colours.
        plate: opacity of the plate behind the text, 0..1, 0 for none.
        contrast: smallest distance in grey levels between the mark's colour and the ground before opacity.
        hollow: whether only the outline is drawn.
    """

    kind: Kind = "overlay_text"
    design: str = "caption"
    script: str = "latin"
    size_px: float = 32.0
    angle_deg: float = 0.0
    opacity: float = 1.0
    perspective: float = 0.0
    outline_px: float = 0.0
    shadow: float = 0.0
    glow: float = 0.0
    gradient: bool = False
    plate: float = 0.0
    contrast: float = 60.0
    hollow: bool = False


@dataclass(frozen=True)
class Drawing:
    """A mark before it has colours: where its ink is.

    Attributes:
        coverage: float32 (h, w), 0..1, the share of each pixel that the strokes cover.
        polygon: float32 (N, 2), x and y of the outline of the written block, in the drawing's pixels.
        plate: float32 (h, w), 0..1, coverage of a plate behind the strokes; None for none.
        text: what is written, "" where nothing is.
        font: family of the font, "" where none was used.
    """

    coverage: FloatMap
    polygon: FloatMap
    plate: FloatMap | None = None
    text: str = ""
    font: str = ""


@dataclass(frozen=True)
class Mark:
    """A mark in colours, ready to be laid over a picture.

    The picture under it becomes `picture * (1 - alpha) + ink`.

    Attributes:
        alpha: float32 (h, w), 0..1, opacity of everything: strokes, outline, shadow, glow, plate.
        ink: float32 (h, w, 3), 0..255, RGB, premultiplied by alpha.
        stroke_alpha: float32 (h, w), 0..1, opacity of strokes and outline alone.
        influence: float32 (h, w), 0..1, where strokes, outline, shadow or glow are, whatever their opacity.
        plate: float32 (h, w), 0..1, coverage of the plate.
    """

    alpha: FloatMap
    ink: FloatMap
    stroke_alpha: FloatMap
    influence: FloatMap
    plate: FloatMap


@dataclass(frozen=True)
class Overlay:
    """One thing that was drawn.

    Attributes:
        style: what it was to look like (kind, design, script, size, angle, opacity ...).
        box: tight around its influence and plate, in the picture.
        polygon: float32 (N, 2), x and y of the outline of the written block, in the picture.
        alpha: float32 (box.height, box.width), 0..1, opacity of all of it.
        influence: float32 (box.height, box.width), 0..1, see `Mark`.
        text: what is written.
        font: family of the font.
    """

    style: OverlayStyle
    box: Box
    polygon: FloatMap
    alpha: FloatMap
    influence: FloatMap
    text: str = ""
    font: str = ""

    @property
    def kind(self) -> Kind:
        """The kind of the mark."""
        return self.style.kind


@dataclass(frozen=True)
class OverlaySample:
    """A picture with overlays and the truth about every pixel.

    Before degradation `picture == round(clean * (1 - alpha) + ink)` within one grey level.

    Attributes:
        picture: uint8 (H, W, 3), RGB, with overlays.
        clean: uint8 (H, W, 3), RGB, without them (scene text, which is kept, is in it).
        alpha: float32 (H, W), 0..1, opacity of all overlays together.
        ink: float32 (H, W, 3), 0..255, their premultiplied colour.
        stroke_alpha: float32 (H, W), 0..1, opacity of strokes and outlines alone.
        influence: float32 (H, W), 0..1, where strokes, outlines, shadows and glows are, whatever their opacity.
        plate: float32 (H, W), 0..1, coverage of plates.
        kinds: by kind, float32 (H, W), 0..1, where marks of this kind are on top; scene_text too.
        overlays: what was drawn, bottom first, scene text included.
    """

    picture: NDArray[np.uint8]
    clean: NDArray[np.uint8]
    alpha: FloatMap
    ink: FloatMap
    stroke_alpha: FloatMap
    influence: FloatMap
    plate: FloatMap
    kinds: Mapping[Kind, FloatMap] = field(default_factory=dict)
    overlays: tuple[Overlay, ...] = ()
