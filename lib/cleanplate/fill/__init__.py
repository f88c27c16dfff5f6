"""The fill engines by name: what puts new pixels into a hole."""

from __future__ import annotations

from cleanplate.config import Config
from cleanplate.fill.base import Engine
from cleanplate.models.registry import Registry
from cleanplate.plugins import load_class

ENGINES = {
    "flat": "cleanplate.fill.flat:FlatEngine",
    "morphological": "cleanplate.fill.morphological:MorphologicalEngine",
    "pde": "cleanplate.fill.pde:PdeEngine",
    "network": "cleanplate.fill.network:NetworkEngine",
    "frequency": "cleanplate.fill.frequency:FrequencyEngine",
    "patch": "cleanplate.fill.patch:PatchEngine",
    "texture": "cleanplate.fill.texture:TextureEngine",
    "unblend": "cleanplate.fill.unblend:UnblendEngine",
    "residual": "cleanplate.fill.residual:ResidualEngine",
    "lama": "cleanplate.fill.lama:LamaEngine",
    "latent": "cleanplate.fill.latent:LatentEngine",
}


def build_engines(config: Config, registry: Registry, device: str) -> dict[str, Engine]:
    """Builds the engines that the configuration names, in its order (of cost).

    Raises:
        ConfigError: a name is not in the registry of engines.
        ModelError: weights are missing, tampered with or not permitted.
    """
    return {name: load_class(name, ENGINES, "engine").build(config, registry, device) for name in config.route.engines}
