"""The chain of one image as an HTML file."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.batch.whole_file import write_whole
from cleanplate.records import Box
from cleanplate.rollout.chain import Chain, attempt_text, box_text, enhancement_lines, metrics_by_region
from cleanplate.rollout.html import data_uri, environment, markup
from cleanplate.rollout.page import difference, mask_overlay

LONG_SIDE_PX = 900
THUMB_SIDE_PX = 220
QUALITY = 84
MARGIN_PX = 24
_STEPS = ("before", "after", "mask", "difference")


def render_chain(chain: Chain, out: Path) -> Path:
    """Writes one self-contained file; everything in it is escaped, and nothing is asked of any server.

    Args:
        chain: the image.
        out: the file.

    Returns:
        `out`.

    Raises:
        StorageError: it cannot be written.
    """
    pictures = _pictures(chain)
    page = environment().get_template("chain.html.j2").render(
        chain=chain,
        applied=chain.applied(),
        pictures={name: data_uri(picture, LONG_SIDE_PX, QUALITY) for name, picture in pictures.items()},
        regions=[_region(region, pictures) for region in chain.regions],
        metrics=metrics_by_region(chain.metrics),
        enhancement=enhancement_lines(chain.detailed or {}),
        change=_webp((chain.diff or {}).get("picture")),
        style=markup("page.css"),
        report_style=markup("report.css"),
    )
    write_whole(out, page)
    return out


def _pictures(chain: Chain) -> dict[str, NDArray[np.uint8]]:
    """What there is of before, after, mask and difference."""
    before, after, alpha = chain.before_rgb, chain.after_rgb, chain.alpha
    found: dict[str, NDArray[np.uint8]] = {}
    if before is not None:
        found["before"] = before
        if alpha is not None and alpha.any():
            found["mask"] = mask_overlay(before, alpha)
    if after is not None:
        found["after"] = after
    if before is not None and after is not None and before.shape == after.shape:
        found["difference"] = difference(before, after)
    return {name: found[name] for name in _STEPS if name in found}


def _region(region: Mapping[str, Any], pictures: Mapping[str, NDArray[np.uint8]]) -> dict[str, Any]:
    """What the template shows of a region: its row, words, and its place in every picture."""
    sides = ("left", "top", "right", "bottom")
    box = Box(*(int(region.get(side) or 0) for side in sides))
    thumbs = {name: _cut(picture, box) for name, picture in pictures.items() if name in ("before", "mask", "after")}
    if "mask" not in pictures and region.get("alpha_png"):
        thumbs["mask"] = _plane(region["alpha_png"])
    return {
        "row": region,
        "box": box_text(region),
        "features": sorted((region.get("features") or {}).items()),
        "attempts": [attempt_text(attempt) for attempt in region.get("attempts") or ()],
        "thumbs": {name: thumb for name, thumb in thumbs.items() if thumb},
    }


def _cut(picture: NDArray[np.uint8], box: Box) -> str:
    """A region and a little around it; "" for one that lies outside."""
    height, width = picture.shape[:2]
    place = box.expand(MARGIN_PX, width, height)
    return data_uri(picture[place.slices], THUMB_SIDE_PX, QUALITY) if place.area_px else ""


def _webp(picture: bytes | None) -> str:
    """The stored picture of a whole-image change; "" where there is none."""
    return "data:image/webp;base64," + base64.b64encode(picture).decode() if picture else ""


def _plane(png: bytes) -> str:
    """A mask on its own, where its picture cannot be read."""
    grey = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE)
    return "" if grey is None else data_uri(np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)), THUMB_SIDE_PX, QUALITY)
