"""The stage that betters whole images: analyses each, runs what it needs, upscales last."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.config import Config
from cleanplate.enhance import build_enhancer, build_upscaler
from cleanplate.enhance.analyse import Analysis, analyse
from cleanplate.enhance.base import Enhancer
from cleanplate.enhance.choose import choose, summary, upscaler_for
from cleanplate.errors import ConfigError, ModelError
from cleanplate.metrics.no_reference import no_reference
from cleanplate.models.registry import Registry
from cleanplate.records import Enhancement, EnhanceStep

if TYPE_CHECKING:
    from cleanplate.attempts import Edit

_FALLBACKS = ("faithful", "lanczos")  # in this order, where the weights of the upscaler that is wanted are not there


@dataclass
class Enhancers:
    """The enhancers of a configuration, each built when it is first needed.

    Upscaling may be asked for by any row of a manifest, so its networks must not cost those who never ask.
    """

    config: Config
    registry: Registry
    device: str
    _built: dict[tuple[str, int], tuple[Enhancer, str]] = field(default_factory=dict)

    @classmethod
    def load(cls, config: Config, registry: Registry, device: str) -> Enhancers:
        """Builds those that every image may need.

        Raises:
            ConfigError: a name is not in the registry, or a share of a batch was not turned into a score.
            ModelError: weights are missing, tampered with or not permitted.
        """
        if config.enhance.worst_share < 1:
            raise ConfigError(
                f"enhance.worst_share={config.enhance.worst_share:g} is a share of a batch: `cleanplate clean` and "
                "`preview` turn it into enhance.only_below before the first image; set that here instead"
            )
        made = cls(config, registry, device)
        for name in config.enhance.steps:
            made.step(name)
        return made

    def step(self, name: str) -> Enhancer:
        """An enhancer that keeps the size."""
        if (name, 1) not in self._built:
            self._built[name, 1] = build_enhancer(name, self.config, self.registry, self.device), ""
        return self._built[name, 1][0]

    def upscaler(self, name: str, scale: int) -> tuple[Enhancer, str]:
        """An upscaler, or what stands in for it where its weights are not there, and why it does."""
        if (name, scale) not in self._built:
            self._built[name, scale] = self._upscaler(name, scale)
        return self._built[name, scale]

    def _upscaler(self, name: str, scale: int) -> tuple[Enhancer, str]:
        remarks = []
        for tried in dict.fromkeys([name, *_FALLBACKS]):
            try:
                found = build_upscaler(tried, scale, self.config, self.registry, self.device)
            except ModelError as error:
                remarks.append(f"{tried} is not to be had ({error})")
            else:
                return found, "; ".join([*remarks, f"{tried} instead"]) if remarks else ""
        raise ModelError("; ".join(remarks))


def enhance(edits: Sequence[Edit], enhancers: Enhancers) -> list[Edit]:
    """Enhances the images that need it and whose removal stands.

    Args:
        edits: images with their filled regions; each names the factor by which it is to be upscaled.
        enhancers: of the configuration.

    Returns:
        One edit per edit, in order, with its enhancement; as they were where the configuration asks for nothing.
    """
    return [_decided(edit, enhancers) if _is_asked(edit, enhancers.config) else edit for edit in edits]


def _is_asked(edit: Edit, config: Config) -> bool:
    return bool(config.enhance.steps) or config.enhance.analyse or edit.job.upscale > 1


def _decided(edit: Edit, enhancers: Enhancers) -> Edit:
    analysis = analyse(edit.job.image)
    obstacle = _obstacle(edit)
    left_alone = Enhancement(reason=f"{obstacle}: not enhanced")
    done = left_alone if obstacle else _enhanced(edit, analysis, enhancers)
    numbers = {name: value for name, value in vars(analysis).items() if isinstance(value, (int, float))}
    return replace(edit, enhancement=replace(done, origin=analysis.origin, analysis=numbers))


def _obstacle(edit: Edit) -> str:
    """Why an image is left alone whatever it needs; empty where nothing speaks against it."""
    decisions = [region.decision for region in edit.regions]
    if "review" in decisions:
        return "a region goes to review"
    if "gated" in decisions and "filled" not in decisions:
        return "the image is refused for want of rights"
    if edit.job.image.native.dtype != np.uint8 and edit.job.upscale == 1:
        return "samples of 16 bits, of which the enhancers would keep 8"
    return ""


def _enhanced(edit: Edit, analysis: Analysis, enhancers: Enhancers) -> Enhancement:
    config, factor = enhancers.config, edit.job.upscale
    score = None if config.enhance.only_below is None else no_reference(edit.job.image.rgb)
    needs = choose(analysis, config.enhance, config.upscale, factor, score)
    denoised = any(need.is_needed and need.name == "denoise" for need in needs)
    rgb, steps = edit.grainless if denoised and edit.grainless is not None else edit.rgb, []
    for need in needs:
        if need.is_needed:
            rgb, step = _run(enhancers.step(need.name), rgb, analysis, need.reason, config.enhance.strength)
            steps.append(step)
    reason = summary(needs)
    if factor > 1:
        rgb, step = _upscaled(rgb, analysis, enhancers, factor)
        steps.append(step)
        reason = "; ".join(filter(None, [reason, step.reason]))
    return Enhancement(tuple(steps), reason, rgb=rgb if steps else None)


def _upscaled(
    rgb: NDArray[np.uint8], analysis: Analysis, enhancers: Enhancers, factor: int
) -> tuple[NDArray[np.uint8], EnhanceStep]:
    wanted, why = upscaler_for(analysis, enhancers.config.upscale)
    upscaler, remark = enhancers.upscaler(wanted, factor)
    reason = f"x{factor} asked for; {why}" + (f"; {remark}" if remark else "")
    return _run(upscaler, rgb, analysis, reason)


def _run(
    enhancer: Enhancer, rgb: NDArray[np.uint8], analysis: Analysis, reason: str, strength: float = 1.0
) -> tuple[NDArray[np.uint8], EnhanceStep]:
    started = time.perf_counter()
    found = enhancer.apply(rgb, analysis)
    if strength < 1 and enhancer.scale == 1:
        found = np.asarray(cv2.addWeighted(found, strength, rgb, 1 - strength, 0), np.uint8)
    seconds = time.perf_counter() - started
    return found, EnhanceStep(enhancer.name, reason, enhancer.scale, enhancer.synthetic, seconds)
