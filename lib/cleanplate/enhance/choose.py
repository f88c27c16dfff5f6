"""Decides what an image needs, by its analysis, and says why in words and numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cleanplate.config import EnhanceConfig, UpscaleConfig

if TYPE_CHECKING:
    from cleanplate.enhance.analyse import Analysis

# Gravel, leaves and water look like noise to an estimator. Noise is white, or at least it has colour: in photographs of
# texture neighbours correlate by 0.44 and more, and chroma has at most half of luma's level; noise of 8 grey levels
# added to photographs correlated by at most 0.35 in all but one of seventy.
_WHITE, _COLOURED = 0.4, 0.6
DOCUMENTS = frozenset({"scan", "screenshot"})


@dataclass(frozen=True)
class Need:
    """Whether a step is needed, and the comparison that says so."""

    name: str
    is_needed: bool
    reason: str


def choose(
    analysis: Analysis, enhance: EnhanceConfig, upscale: UpscaleConfig, factor: int, score: float | None
) -> list[Need]:
    """The steps that may run over an image, in the order in which they would.

    Steps of `enhance.steps` may run where the score is under `enhance.only_below`; those of `upscale.prepare` before
    every upscaling, because an upscaler would enlarge the noise and the artefacts with the rest.

    Args:
        analysis: of the source.
        enhance: the section "enhance".
        upscale: the section "upscale".
        factor: 1, 2 or 4.
        score: no-reference score of the source; None where `only_below` is None.

    Returns:
        One per step that the configuration names; those without need too, so that the reason can say so.
    """
    spared = score is not None and enhance.only_below is not None and score >= enhance.only_below
    needs = []
    for name in steps_asked(enhance, upscale, factor):
        if spared and not (factor > 1 and name in upscale.prepare):
            needs.append(Need(name, False, f"score {score:.1f} >= {enhance.only_below:.1f}: no {name}"))
        else:
            needs.append(_need(name, analysis, enhance))
    return needs


def steps_asked(enhance: EnhanceConfig, upscale: UpscaleConfig, factor: int) -> list[str]:
    """The steps that the configuration lets run over an image that is to grow by a factor, in order."""
    return list(dict.fromkeys([*enhance.steps, *(upscale.prepare if factor > 1 else ())]))


def upscaler_for(analysis: Analysis, upscale: UpscaleConfig) -> tuple[str, str]:
    """The upscaler that suits an image's origin, and why."""
    if analysis.origin in DOCUMENTS:
        return upscale.document, f"{_plain(analysis.origin)}, where invention is wrong: {upscale.document}"
    return upscale.photograph, f"{_plain(analysis.origin)}: {upscale.photograph}"


def summary(needs: Sequence[Need]) -> str:
    """All reasons in one line."""
    return "; ".join(need.reason for need in needs)


def _need(name: str, analysis: Analysis, config: EnhanceConfig) -> Need:
    look = _RULES.get(name)
    if look is None:
        return Need(name, True, f"{name}: asked for by enhance.steps")
    is_needed, comparison = look(analysis, config)
    return Need(name, is_needed, f"{comparison}: {name if is_needed else f'no {name}'}")


def _artefacts(analysis: Analysis, config: EnhanceConfig) -> tuple[bool, str]:
    if analysis.jpeg_quality is None:
        return False, "no sign of JPEG"
    sign = "<" if analysis.jpeg_quality < config.deartifact_below else ">="
    twice = ", compressed twice" if analysis.double_compressed else ""
    seen = f"JPEG quality {analysis.jpeg_quality:.0f} by its {analysis.jpeg_evidence}{twice}"
    return sign == "<", f"{seen} {sign} {config.deartifact_below:g}"


def _noise(analysis: Analysis, config: EnhanceConfig) -> tuple[bool, str]:
    if analysis.noise_rgb <= config.denoise_above:
        return False, f"noise {analysis.noise_rgb:.1f} <= {config.denoise_above:g}"
    colour = analysis.noise_chroma / max(analysis.noise_luma, 1e-6)
    level = f"noise {analysis.noise_rgb:.1f} > {config.denoise_above:g}"
    correlation = analysis.noise_correlation
    if correlation > _WHITE and colour < _COLOURED:
        measured = f"correlated {correlation:.2f} > {_WHITE:g} and of {colour:.2f} < {_COLOURED:g} colour"
        return False, f"{level}, but {measured}, as texture is"
    return True, level


def _blur(analysis: Analysis, config: EnhanceConfig) -> tuple[bool, str]:
    sign = ">" if analysis.blur > config.polish_above else "<="
    return sign == ">", f"blur {analysis.blur:.1f} {sign} {config.polish_above:g} px"


_RULES: dict[str, Callable[[Analysis, EnhanceConfig], tuple[bool, str]]] = {
    "deartifact": _artefacts,
    "denoise": _noise,
    "polish": _blur,
}


def _plain(origin: str) -> str:
    return {"social_jpeg": "social-media JPEG", "camera": "camera photograph"}.get(origin, origin)
