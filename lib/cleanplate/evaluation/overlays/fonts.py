"""The registry of free fonts, split by family into fonts for training and fonts held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from PIL import ImageFont, features

from cleanplate.errors import ConfigError

Split = Literal["train", "heldout"]
REGISTRY = Path(__file__).with_name("fonts.yaml")
FONT_ROOT = Path("/usr/share/fonts")
# Digits and prices are written with the fonts of this script.
_SCRIPT_OF = {"digits": "latin", "price": "latin"}


@dataclass(frozen=True)
class FontFamily:
    """A family of the registry: where it comes from, what it is for, which scripts it writes."""

    family: str
    package: str
    split: Split
    kind: Literal["printed", "handwriting"]
    scripts: tuple[str, ...]
    files: tuple[str, ...]


def read_registry(path: Path = REGISTRY) -> tuple[FontFamily, ...]:
    """Reads the registry of fonts.

    Raises:
        ConfigError: the file cannot be read or an entry lacks a field.
    """
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))["families"]
        return tuple(_family(entry) for entry in entries)
    except OSError as error:
        raise ConfigError(f"cannot read the registry of fonts {path}: {error.strerror}") from error
    except (KeyError, TypeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: a family needs family, package, split, kind, scripts, files ({error})") from error


def _family(entry: dict[str, Any]) -> FontFamily:
    return FontFamily(
        family=entry["family"],
        package=entry["package"],
        split=entry["split"],
        kind=entry["kind"],
        scripts=tuple(entry["scripts"]),
        files=tuple(entry["files"]),
    )


@dataclass(frozen=True)
class FontLibrary:
    """The installed fonts of one split.

    Attributes:
        families: of the registry.
        root: folder that their files are relative to.
    """

    families: tuple[FontFamily, ...]
    root: Path = FONT_ROOT

    @classmethod
    def load(cls, split: Split, registry: Path = REGISTRY, root: Path = FONT_ROOT) -> FontLibrary:
        """Loads a split and checks that its fonts are installed.

        Raises:
            ConfigError: fonts are missing; the message holds the line that installs them.
        """
        families = tuple(f for f in read_registry(registry) if f.split == split)
        if not families:
            raise ConfigError(f"{registry} names no fonts of the split {split!r}; there are 'train' and 'heldout'")
        missing = {f.package for f in families for name in f.files if not (root / name).exists()}
        if missing:
            raise ConfigError(
                f"fonts of {len(missing)} packages are missing under {root}; install them: "
                f"apt-get install -y --no-install-recommends {' '.join(sorted(missing))}"
            )
        return cls(families, root)

    def pick(self, rng: np.random.Generator, kind: str, script: str) -> tuple[str, Path]:
        """Chooses a font at random, each family as likely as the next.

        Args:
            rng: source of chance.
            kind: "printed" or "handwriting".
            script: one of records.SCRIPTS.

        Returns:
            The family's name and the file.

        Raises:
            ConfigError: no font of this kind writes the script.
        """
        wanted = _SCRIPT_OF.get(script, script)
        fitting = self._fitting(kind, wanted)
        if not fitting:
            raise ConfigError(f"no {kind} font of this split writes {script}; add one to {REGISTRY.name}")
        family = fitting[int(rng.integers(len(fitting)))]
        return family.family, self.root / family.files[int(rng.integers(len(family.files)))]

    def _fitting(self, kind: str, script: str) -> Sequence[FontFamily]:
        return [f for f in self.families if f.kind == kind and script in f.scripts]


@lru_cache(maxsize=512)
def open_font(path: Path, size_px: int, shaped: bool = False) -> ImageFont.FreeTypeFont:
    """Opens a font at a size, shaped (for Arabic) by Raqm where `shaped`.

    Raises:
        ConfigError: Pillow lacks Raqm, or the file is no font.
    """
    if shaped and not features.check("raqm"):
        raise ConfigError("Pillow was built without Raqm, which Arabic needs: install the wheel from PyPI, or libraqm0")
    engine = ImageFont.Layout.RAQM if shaped else ImageFont.Layout.BASIC
    try:
        return ImageFont.truetype(str(path), size_px, layout_engine=engine)
    except OSError as error:
        raise ConfigError(f"{path} cannot be opened as a font: {error}") from error
