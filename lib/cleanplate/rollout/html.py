"""What the HTML files share: templates, styles, pictures within the page."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from typing import Any

import cv2
import jinja2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray


def environment() -> jinja2.Environment:
    """The templates of this package: everything is escaped, a name that is not there is an error."""
    made = jinja2.Environment(
        loader=jinja2.FunctionLoader(_resource),  # also from within a zip, as --py-files ships it
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["number"] = number
    made.filters["plain"] = lambda name: str(name).replace("_", " ")
    return made


def markup(name: str) -> Markup:
    """A style or script of this package, to be written as it is."""
    return Markup(_resource(name))  # noqa: S704 - a file of this package


def script_digest(name: str) -> str:
    """The digest by which a page's policy permits one of this package's scripts."""
    return base64.b64encode(hashlib.sha256(_resource(name).encode()).digest()).decode()


def number(value: Any) -> str:
    """A metric in four digits, larger ones in full with separators; nothing for what is missing."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def data_uri(image_rgb: NDArray[np.uint8], long_side_px: int, quality: int) -> str:
    """A picture as a WebP within the page.

    Args:
        image_rgb: uint8 (H, W, 3), RGB.
        long_side_px: larger pictures are made smaller.
        quality: of WebP, 0 to 100.
    """
    height, width = image_rgb.shape[:2]
    scale = min(1.0, long_side_px / max(height, width))
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        image_rgb = np.asarray(cv2.resize(image_rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
    encoded = cv2.imencode(".webp", image_rgb[:, :, ::-1], [cv2.IMWRITE_WEBP_QUALITY, quality])[1]
    return "data:image/webp;base64," + base64.b64encode(encoded.tobytes()).decode()


def _resource(name: str) -> str:
    return resources.files("cleanplate.rollout").joinpath(name).read_text(encoding="utf-8")
