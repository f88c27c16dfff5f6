"""Lays overlays over a photograph, with the exact truth of every pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cleanplate.errors import ConfigError
from cleanplate.evaluation.overlays.captions import draw_text
from cleanplate.evaluation.overlays.fonts import FontLibrary
from cleanplate.evaluation.overlays.paint import paint
from cleanplate.evaluation.overlays.pen import draw_pen
from cleanplate.evaluation.overlays.records import (
    DESIGNS,
    Drawing,
    FloatMap,
    Mark,
    Overlay,
    OverlaySample,
    OverlayStyle,
)
from cleanplate.evaluation.overlays.scene import blend_into_scene, draw_sign
from cleanplate.evaluation.overlays.stamps import draw_stamp
from cleanplate.evaluation.overlays.warp import place, supersampling
from cleanplate.evaluation.overlays.watermarks import draw_over_all, draw_watermark
from cleanplate.records import Box, Kind

_EDGE = 2.0 / 255.0


def generate(
    photograph: NDArray[np.uint8], seed: int, styles: Sequence[OverlayStyle], fonts: FontLibrary
) -> OverlaySample:
    """Lays overlays over a photograph; scene text goes into it first.

    Args:
        photograph: uint8 (H, W, 3), RGB; not changed.
        seed: the same seed, styles and fonts give the same sample.
        styles: what to draw, bottom first.
        fonts: to write with.

    Returns:
        The picture before any degradation (see `degrade.degrade`), with its truth.

    Raises:
        ConfigError: an unknown design, no font for a script, or a photograph that is no RGB picture.
    """
    if photograph.ndim != 3 or photograph.shape[2] != 3 or photograph.dtype != np.uint8:
        raise ConfigError(f"a photograph must be uint8 (H, W, 3) RGB, not {photograph.dtype} {photograph.shape}")
    work = _Work.begin(photograph)
    ordered = sorted(styles, key=lambda style: style.kind != "scene_text")
    for number, style in enumerate(ordered):
        if style.design not in DESIGNS.get(style.kind, ()):
            raise ConfigError(f"kind {style.kind!r} has no design {style.design!r}; it has {DESIGNS.get(style.kind)}")
        rng = np.random.default_rng([seed, number])
        if style.kind == "scene_text":
            _add_scene_text(work, style, fonts, rng)
        else:
            _add_overlay(work, style, fonts, rng)
    return work.finish()


@dataclass
class _Work:
    """The picture as far as it is drawn."""

    clean: NDArray[np.uint8]
    alpha: FloatMap
    ink: FloatMap
    stroke_alpha: FloatMap
    influence: FloatMap
    plate: FloatMap
    kinds: dict[Kind, FloatMap] = field(default_factory=dict)
    overlays: list[Overlay] = field(default_factory=list)

    @classmethod
    def begin(cls, photograph: NDArray[np.uint8]) -> _Work:
        shape = photograph.shape[:2]
        layers = [np.zeros(shape, np.float32) for _ in range(4)]
        ink = np.zeros((*shape, 3), np.float32)
        return cls(photograph.copy(), layers[0], ink, layers[1], layers[2], layers[3])

    def finish(self) -> OverlaySample:
        composite = self.clean * (1 - self.alpha[..., None]) + self.ink
        return OverlaySample(
            picture=np.clip(np.round(composite), 0, 255).astype(np.uint8),
            clean=self.clean,
            alpha=self.alpha,
            ink=self.ink,
            stroke_alpha=self.stroke_alpha,
            influence=self.influence,
            plate=self.plate,
            kinds=self.kinds,
            overlays=tuple(self.overlays),
        )

    def cover_kind(self, kind: Kind, where: tuple[slice, slice], coverage: FloatMap, hidden: FloatMap) -> None:
        """Makes `kind` the topmost at a place, and takes away what it hides of the others."""
        for layer in self.kinds.values():
            layer[where] *= 1 - np.maximum(coverage, hidden)
        mine = self.kinds.setdefault(kind, np.zeros_like(self.alpha))
        mine[where] = np.maximum(mine[where], coverage)


def _draw(style: OverlayStyle, size: tuple[int, int], fonts: FontLibrary, rng: np.random.Generator) -> Drawing:
    """Draws a mark with its geometry; size is the picture's (width, height)."""
    if style.design in ("tiled", "cross"):
        return draw_over_all(style, size[0], size[1], fonts, rng)
    scale = supersampling(style.angle_deg, style.perspective, style.size_px)
    if style.kind == "scene_text":
        drawn = draw_sign(style, size[0], scale, fonts, rng)
    elif style.kind == "stamp":
        drawn = draw_stamp(style, scale, fonts, rng)
    elif style.kind == "watermark":
        drawn = draw_watermark(style, scale, fonts, rng)
    elif style.design in ("pen", "signature", "scribble"):
        scale, drawn = 1, draw_pen(style, size[0], rng)
    else:
        drawn = draw_text(style, size[0], scale, fonts, rng, hand=style.kind == "handwriting")
    return place(drawn, style.angle_deg, style.perspective, 1 / scale, rng)


def _position(
    drawing: Drawing, style: OverlayStyle, size: tuple[int, int], rng: np.random.Generator
) -> tuple[int, int]:
    """Left and top of a drawing in the picture; mostly inside it, captions and credits near its edges."""
    room = np.array(size) - drawing.coverage.shape[::-1]
    if style.design in ("tiled", "cross"):
        return 0, 0
    share = rng.uniform(-0.05, 1.05, 2) if rng.random() < 0.2 else rng.uniform(0.02, 0.98, 2)
    if style.design in ("meme", "credit", "date") or (style.design == "caption" and rng.random() < 0.5):
        share[1] = rng.choice([0.04, 0.96])
    left, top = np.round(room * share).astype(int)
    return int(left), int(top)


def _add_overlay(work: _Work, style: OverlayStyle, fonts: FontLibrary, rng: np.random.Generator) -> None:
    height, width = work.alpha.shape
    drawing = _draw(style, (width, height), fonts, rng)
    left, top = _position(drawing, style, (width, height), rng)
    mark, margin_px = paint(drawing, _ground(work, drawing, left, top), style, rng)
    left, top = left - margin_px, top - margin_px
    box = Box(left, top, left + mark.alpha.shape[1], top + mark.alpha.shape[0]).clip(width, height)
    if box.area_px == 0:
        return
    inside = (slice(box.top - top, box.bottom - top), slice(box.left - left, box.right - left))
    _lay_mark(work, mark, box.slices, inside, style)
    polygon = drawing.polygon + np.array([left + margin_px, top + margin_px])
    seen = np.maximum(mark.influence, mark.plate)[inside]
    _record(work, Overlay(style, box, polygon.astype(np.float32), mark.alpha[inside], seen, drawing.text, drawing.font))


def _lay_mark(
    work: _Work, mark: Mark, where: tuple[slice, slice], inside: tuple[slice, slice], style: OverlayStyle
) -> None:
    alpha = mark.alpha[inside]
    work.ink[where] = work.ink[where] * (1 - alpha[..., None]) + mark.ink[inside]
    work.alpha[where] = work.alpha[where] * (1 - alpha) + alpha
    for total, own in (
        (work.stroke_alpha, mark.stroke_alpha),
        (work.influence, mark.influence),
        (work.plate, mark.plate),
    ):
        total[where] = np.maximum(total[where] * (1 - alpha), own[inside])
    work.cover_kind(style.kind, where, mark.influence[inside], alpha)


def _ground(work: _Work, drawing: Drawing, left: int, top: int) -> NDArray[np.float64]:
    """Mean RGB of the picture under a drawing's strokes."""
    height, width = work.alpha.shape
    box = Box(left, top, left + drawing.coverage.shape[1], top + drawing.coverage.shape[0]).clip(width, height)
    if box.area_px == 0:
        return np.full(3, 128.0)
    weight = drawing.coverage[box.top - top : box.bottom - top, box.left - left : box.right - left] + 1e-4
    under = work.clean[box.slices] * (1 - work.alpha[box.slices][..., None]) + work.ink[box.slices]
    return np.asarray((under * weight[..., None]).sum(axis=(0, 1)) / weight.sum(), np.float64)


def _add_scene_text(work: _Work, style: OverlayStyle, fonts: FontLibrary, rng: np.random.Generator) -> None:
    height, width = work.alpha.shape
    drawing = _draw(style, (width, height), fonts, rng)
    left, top = _position(drawing, style, (width, height), rng)
    box = Box(left, top, left + drawing.coverage.shape[1], top + drawing.coverage.shape[0]).clip(width, height)
    if min(box.width, box.height) < 4:
        return
    inside = (slice(box.top - top, box.bottom - top), slice(box.left - left, box.right - left))
    plate = None if drawing.plate is None else drawing.plate[inside]
    cut = Drawing(drawing.coverage[inside], drawing.polygon, plate, drawing.text, drawing.font)
    picture, coverage = blend_into_scene(work.clean[box.slices], cut, style, rng)
    work.clean[box.slices] = picture
    work.cover_kind("scene_text", box.slices, coverage, coverage)
    polygon = (drawing.polygon + np.array([left, top])).astype(np.float32)
    _record(work, Overlay(style, box, polygon, np.zeros_like(coverage), coverage, drawing.text, drawing.font))


def _record(work: _Work, overlay: Overlay) -> None:
    """Keeps an overlay, its box drawn tight; one that shows nowhere is left out."""
    tight = Box.around(overlay.influence > _EDGE)
    if not tight.area_px:
        return
    cut, box = tight.slices, tight.moved(overlay.box.left, overlay.box.top)
    work.overlays.append(
        Overlay(
            overlay.style, box, overlay.polygon, overlay.alpha[cut], overlay.influence[cut], overlay.text, overlay.font
        )
    )
