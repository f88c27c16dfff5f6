"""Looks at the files of a manifest: digest, size, type; pixels only where a coarse look for text is asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cleanplate.codec import probe
from cleanplate.config import Config, SourceConfig, parse_config
from cleanplate.errors import CleanplateError
from cleanplate.guard import Codec, make_codec
from cleanplate.warehouse.sources import read_source
from cleanplate.windows import shrink

PROBE_TYPES = "image_id string, sha256 string, bytes long, width int, height int, media_type string, text string"
_NAMES = tuple(part.split()[0] for part in PROBE_TYPES.split(", "))
_COARSE_PX = 320  # long side at which text is looked for
_SURE, _LITTLE, _MUCH = 0.3, 0.0005, 0.05  # probability of a pixel; shares of the picture from which it is little, much
CoarseLook = Callable[[bytes], str | None]


@dataclass(frozen=True)
class Probing:
    """What the executors need to know of a probe; plain values, so that it travels with the function.

    Attributes:
        limits: of the files that are read.
        config: the merged configuration as its model dumps it, where text is to be looked for; else None.
    """

    limits: SourceConfig = field(default_factory=SourceConfig)
    config: Mapping[str, Any] | None = None

    def frames(self, frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        """For `mapInPandas`: image_id and uri in, what `PROBE_TYPES` names out."""
        with make_codec(self.limits) as codec:
            look = coarse_look(parse_config(dict(self.config)), codec) if self.config is not None else None
            for frame in frames:
                pairs = zip(frame["image_id"], frame["uri"], strict=True)
                rows = [probe_file(image_id, uri, self.limits, look) for image_id, uri in pairs]
                yield pd.DataFrame(rows, columns=list(_NAMES)).astype(object)


def probe_file(image_id: str, uri: str, limits: SourceConfig, look: CoarseLook | None = None) -> dict[str, Any]:
    """Digest, size and header of one file; what cannot be told is None, and the run says why.

    Args:
        image_id: the image.
        uri: of its file.
        limits: of the files that are read.
        look: says how much text there is; None where nobody asks.
    """
    row: dict[str, Any] = dict.fromkeys(_NAMES)
    row["image_id"] = image_id
    try:
        data = read_source(uri, limits)
    except CleanplateError:
        return row
    row.update(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
    try:
        header = probe(data, limits)
    except CleanplateError:
        return row
    row.update(width=header.width, height=header.height, media_type=header.media_type)
    return row | {"text": look(data) if look is not None else None}


def coarse_look(config: Config, codec: Codec) -> CoarseLook:
    """The text detector over a picture of at most 320 px: enough to tell a plain photograph from a price list.

    Args:
        config: the merged configuration.
        codec: reads the files.

    Returns:
        A function from a file's bytes to a class of `text_class`; None where the file cannot be decoded.

    Raises:
        ModelError: the detector's weights are missing, tampered with or not permitted.
    """
    from cleanplate.detect.ppocr import PpocrDetector
    from cleanplate.models.registry import Registry

    small = config.model_copy(update={"detect": config.detect.model_copy(update={"long_side_px": _COARSE_PX})})
    detector = PpocrDetector.build(small, Registry.load(config.models), "cpu")

    def look(data: bytes) -> str | None:
        """The class of one file."""
        try:
            picture = codec.decode(data).rgb
        except CleanplateError:
            return None
        return text_class(detector.confidence_maps([shrink(picture, _COARSE_PX)])[0])

    return look


def text_class(confidence: NDArray[np.float32]) -> str:
    """"none", "little" or "much" text, by the share of a picture that a detector takes for it.

    Args:
        confidence: float32 (H, W), 0..1: how sure a detector is, per pixel.

    Example:
        >>> text_class(np.zeros((10, 10), np.float32)), text_class(np.ones((10, 10), np.float32))
        ('none', 'much')
    """
    share = float((confidence > _SURE).mean())
    return "none" if share < _LITTLE else "little" if share < _MUCH else "much"
