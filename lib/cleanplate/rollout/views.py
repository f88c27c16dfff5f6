"""The pictures that a reviewer sees of an image: before, after, mask, confidence, difference."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.rollout.page import confidence_overlay, difference, mask_overlay
from cleanplate.windows import shrink

VIEWS = ("before", "after", "mask", "confidence", "diff")
LONG_SIDE_PX = 1600
QUALITY = 92
TOUCHED = ("filled", "review")


def union_plane(
    regions: Sequence[Mapping[str, Any]], height: int, width: int, name: str, decisions: Sequence[str] = TOUCHED
) -> NDArray[np.float32]:
    """Joins the planes of regions into one map of the image.

    Args:
        regions: rows of `masks`.
        height: of the image, in pixels.
        width: of the image, in pixels.
        name: "alpha_png", "core_png" or "confidence_png".
        decisions: regions with others are left out.

    Returns:
        float32 (H, W), 0..1, the largest value of all planes at each pixel.
    """
    union = np.zeros((height, width), np.float32)
    for region in regions:
        if region["decision"] not in decisions or not region.get(name):
            continue
        plane = cv2.imdecode(np.frombuffer(region[name], np.uint8), cv2.IMREAD_GRAYSCALE)
        place = slice(region["top"], region["bottom"]), slice(region["left"], region["right"])
        if plane is not None and plane.shape == union[place].shape:
            union[place] = np.maximum(union[place], plane.astype(np.float32) / 255)
    return union


def shown_plane(regions: Sequence[Mapping[str, Any]], height: int, width: int, name: str) -> NDArray[np.float32]:
    """What was touched; where nothing was, what was found and kept for want of rights: float32 (H, W), 0..1."""
    touched = union_plane(regions, height, width, name)
    return touched if touched.any() else union_plane(regions, height, width, name, ("gated",))


def draw_view(
    name: str,
    before: NDArray[np.uint8],
    after: NDArray[np.uint8] | None,
    regions: Sequence[Mapping[str, Any]],
) -> NDArray[np.uint8]:
    """Draws one of VIEWS.

    Args:
        name: of the view.
        before: uint8 (H, W, 3), RGB.
        after: uint8 (H, W, 3), RGB, or None where nothing was changed.
        regions: rows of `masks`.

    Returns:
        uint8 (H, W, 3), RGB.
    """
    height, width = before.shape[:2]
    if name == "mask":
        return mask_overlay(before, shown_plane(regions, height, width, "alpha_png"))
    if name == "confidence":
        return confidence_overlay(before, shown_plane(regions, height, width, "confidence_png"))
    if name == "before" or after is None:
        return np.zeros_like(before) if name == "diff" else before
    if name == "after":
        return after
    if after.shape != before.shape:  # an enlarged result: what differs is looked at in the original's size
        after = np.asarray(cv2.resize(after, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    return difference(before, after)


def to_webp(image_rgb: NDArray[np.uint8], long_side_px: int = LONG_SIDE_PX, quality: int = QUALITY) -> bytes:
    """A picture for the browser: uint8 (H, W, 3), RGB, scaled down where it is larger."""
    shown = shrink(image_rgb, long_side_px)
    return cv2.imencode(".webp", shown[:, :, ::-1], [cv2.IMWRITE_WEBP_QUALITY, quality])[1].tobytes()


def to_grey_png(plane: NDArray[np.float32]) -> bytes:
    """A map (H, W), 0..1, as an 8-bit grey PNG."""
    return cv2.imencode(".png", np.round(np.clip(plane, 0, 1) * 255).astype(np.uint8))[1].tobytes()


class Cache:
    """The pictures that were asked for last; results never change, so nothing is ever out of date."""

    def __init__(self, most: int = 400) -> None:
        self._most = most
        self._found: OrderedDict[tuple[str, ...], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[str, ...], make: Callable[[], bytes]) -> bytes:
        """The bytes of a key, made where they are not there; two who ask at a time may both make them."""
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
                return self._found[key]
        data = make()
        with self._lock:
            self._found[key] = data
            while len(self._found) > self._most:
                self._found.popitem(last=False)
        return data
