"""Random styles of overlays, spread as in real life."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cleanplate.evaluation.overlays.records import DESIGNS, OverlayStyle
from cleanplate.records import Kind

_SCRIPT_WEIGHTS = {
    "latin": 0.42, "cyrillic": 0.1, "greek": 0.06, "arabic": 0.07, "han": 0.08,
    "japanese": 0.05, "korean": 0.05, "digits": 0.09, "price": 0.08,
}  # fmt: skip
# Smallest and largest usual size by design; drawn evenly on a logarithmic scale.
_SIZES: Mapping[str, tuple[float, float]] = {
    "caption": (10, 90), "meme": (24, 120), "price": (14, 200), "dense": (8, 20), "date": (10, 40),
    "credit": (8, 22), "vertical": (12, 80), "curved": (14, 70), "written": (14, 120), "pen": (16, 120),
    "signature": (24, 140), "scribble": (24, 160), "round": (10, 32), "square": (12, 70), "single": (14, 120),
    "tiled": (10, 44), "logo": (10, 60), "cross": (14, 60), "sign": (12, 90), "painted": (14, 110),
}  # fmt: skip
_DESIGN_WEIGHTS = {"caption": 4.0, "dense": 2.0, "price": 1.5, "written": 2.5, "pen": 1.5, "single": 1.5, "sign": 3.0}


def sample_style(rng: np.random.Generator, kind: Kind, max_size_px: float = 200.0) -> OverlayStyle:
    """Draws a style of a kind at random.

    Args:
        rng: source of chance.
        kind: overlay_text, handwriting, stamp, watermark or scene_text.
        max_size_px: largest size of type, for small pictures.
    """
    designs = DESIGNS[kind]
    weights = np.array([_DESIGN_WEIGHTS.get(d, 1.0) for d in designs])
    design = str(rng.choice(designs, p=weights / weights.sum()))
    low, high = _SIZES[design]
    size_px = float(np.exp(rng.uniform(np.log(low), np.log(max(low + 1, min(high, max_size_px))))))
    script = str(rng.choice(list(_SCRIPT_WEIGHTS), p=np.array(list(_SCRIPT_WEIGHTS.values()))))
    if design == "vertical" and script in ("arabic", "cyrillic", "greek", "price"):
        script = "japanese"
    makers = {"overlay_text": _printed, "handwriting": _hand, "stamp": _stamp, "watermark": _watermark}
    base = OverlayStyle(kind=kind, design=design, script=script, size_px=size_px)
    return makers.get(kind, _scene)(base, rng)


def _chance(rng: np.random.Generator, share: float, low: float, high: float) -> float:
    return float(rng.uniform(low, high)) if rng.random() < share else 0.0


def _angle(rng: np.random.Generator, level: float, spread_deg: float) -> float:
    """Level with the given chance, else turned; now and then by any angle."""
    if rng.random() < level:
        return 0.0
    return float(rng.uniform(-180, 180)) if rng.random() < 0.15 else float(rng.normal(0, spread_deg))


def _with(base: OverlayStyle, **fields: object) -> OverlayStyle:
    return OverlayStyle(**{**base.__dict__, **fields})


def _printed(base: OverlayStyle, rng: np.random.Generator) -> OverlayStyle:
    faint = rng.random() < 0.12
    outline = _chance(rng, 0.9 if base.design == "meme" or faint else 0.25, 0.6, 0.5 + 0.06 * base.size_px)
    hollow = bool(outline and base.size_px > 28 and rng.random() < 0.12)
    plated = 0.5 if base.design in ("price", "dense") else 0.22
    return _with(
        base,
        angle_deg=_angle(rng, 0.72, 14),
        opacity=1.0 if rng.random() < 0.7 else float(rng.uniform(0.35, 1)),
        perspective=_chance(rng, 0.12, 0.05, 0.35),
        outline_px=min(outline, 7.0),
        shadow=_chance(rng, 0.3, 0.3, 1.0),
        glow=0.0 if base.design == "dense" else _chance(rng, 0.1, 0.3, 0.9),
        gradient=bool(rng.random() < 0.15),
        plate=0.0 if rng.random() > plated else 1.0 if rng.random() < 0.4 else float(rng.uniform(0.3, 0.9)),
        contrast=8.0 if faint and outline else float(rng.uniform(35, 110)),
        hollow=hollow,
    )


def _hand(base: OverlayStyle, rng: np.random.Generator) -> OverlayStyle:
    return _with(
        base,
        angle_deg=_angle(rng, 0.2, 14),
        opacity=1.0 if rng.random() < 0.6 else float(rng.uniform(0.4, 1)),
        perspective=_chance(rng, 0.1, 0.05, 0.2),
        outline_px=_chance(rng, 0.05, 0.6, 2.0),
        shadow=_chance(rng, 0.07, 0.3, 0.8),
        contrast=float(rng.uniform(25, 100)),
    )


def _stamp(base: OverlayStyle, rng: np.random.Generator) -> OverlayStyle:
    return _with(
        base,
        angle_deg=_angle(rng, 0.15, 22),
        opacity=float(rng.uniform(0.45, 1.0)),
        perspective=_chance(rng, 0.1, 0.05, 0.2),
        contrast=float(rng.uniform(20, 55)),
    )


def _watermark(base: OverlayStyle, rng: np.random.Generator) -> OverlayStyle:
    solid = base.design == "logo" and rng.random() < 0.4
    return _with(
        base,
        angle_deg=_angle(rng, 0.4, 26),
        opacity=float(rng.uniform(0.6, 1.0)) if solid else float(0.15 + 0.5 * rng.beta(1.2, 2.0)),
        outline_px=_chance(rng, 0.15, 0.5, 1.5),
        shadow=_chance(rng, 0.2, 0.3, 0.9),
        contrast=float(rng.uniform(40, 120)),
        hollow=bool(base.size_px > 28 and rng.random() < 0.08),
    )


def _scene(base: OverlayStyle, rng: np.random.Generator) -> OverlayStyle:
    return _with(
        base,
        angle_deg=float(rng.normal(0, 6)),
        opacity=float(rng.uniform(0.75, 1.0)),
        # Signs are photographed from the front, too.
        perspective=float(rng.uniform(0.0, 0.05) if rng.random() < 0.35 else rng.uniform(0.05, 0.4)),
        contrast=float(rng.uniform(60, 130)),
    )
