"""Grain and artefacts: what is given back and what is taken away."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from cleanplate.plugins import load_class

if TYPE_CHECKING:
    from cleanplate.config import Config
    from cleanplate.enhance.base import Enhancer
    from cleanplate.models.registry import Registry

# Named, not imported: heavy libraries load only with the enhancers that a configuration asks for.
ENHANCERS = {
    "deartifact": "cleanplate.enhance.deartifact:Deartifact",
    "denoise": "cleanplate.enhance.denoise:Denoise",
    "polish": "cleanplate.enhance.polish:Polish",
}
UPSCALERS = {
    "generative": "cleanplate.enhance.upscale:GenerativeUpscaler",
    "faithful": "cleanplate.enhance.upscale_faithful:FaithfulUpscaler",
    "lanczos": "cleanplate.enhance.upscale:LanczosUpscaler",
}


def build_enhancer(name: str, config: Config, registry: Registry, device: str) -> Enhancer:
    """Builds an enhancer that keeps the size.

    Raises:
        ConfigError: the name is not in the registry of enhancers.
        ModelError: weights are missing, tampered with or not permitted.
    """
    return cast("Enhancer", load_class(name, ENHANCERS, "enhancer").build(config, registry, device))


def build_upscaler(name: str, scale: int, config: Config, registry: Registry, device: str) -> Enhancer:
    """Builds an upscaler for a factor of 2 or 4.

    Raises:
        ConfigError: the name is not in the registry of upscalers.
        ModelError: weights are missing, tampered with or not permitted.
    """
    return cast("Enhancer", load_class(name, UPSCALERS, "upscaler").build(config, registry, device, scale))
