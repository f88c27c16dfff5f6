"""Writes every edited image in its own format, then reads it back."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cleanplate.attempts import Edit
from cleanplate.guard import Codec
from cleanplate.image import Image


@dataclass(frozen=True)
class Result:
    """An edit with its encoded file and what that file decodes to; both None where the source's bytes stay.

    `coefficients_outside` counts what differs outside the touched MCUs of a JPEG that was edited locally, by the
    written file; None for others.
    """

    edit: Edit
    data: bytes | None = None
    image: Image | None = None
    coefficients_outside: int | None = None

    @property
    def final(self) -> Image:
        """What a reader of the result sees."""
        return self.image or self.edit.job.image

    @property
    def final_rgb(self) -> NDArray[np.uint8]:
        """What a reader sees, uint8 (H, W, 3), at the source's size: an upscaled picture is averaged down."""
        image = self.edit.job.image
        size = (image.width, image.height)
        if self.final.rgb.shape == image.rgb.shape:
            return self.final.rgb
        return np.asarray(cv2.resize(self.final.rgb, size, interpolation=cv2.INTER_AREA), np.uint8)

    @property
    def is_whole(self) -> bool:
        """Whether the result differs everywhere, or in size, so that no local patch leads back."""
        return self.image is not None and _enhanced_rgb(self.edit) is not None


def encode(edits: Sequence[Edit], codec: Codec, jpeg_quality: int = 92) -> list[Result]:
    """Encodes what changed; an image in which nothing changed keeps its very bytes.

    Args:
        edits: images with their filled regions, and with what the enhancement made of the whole.
        codec: writes and reads; several images run at a time where it has several workers.
        jpeg_quality: least quality of a JPEG that is encoded anew as a whole.

    Returns:
        One result per edit, in order.

    Raises:
        RefusedError: an image cannot be written without changing more than was asked.
        DecodeError: the written file does not read back.
    """
    enhanced = [_enhanced_rgb(edit) for edit in edits]
    writes = {
        index: _submit(edit, whole, codec, jpeg_quality)
        for index, (edit, whole) in enumerate(zip(edits, enhanced, strict=True))
        if whole is not None or _is_filled(edit)
    }
    written = {index: future.result() for index, future in writes.items()}
    reads = {index: codec.submit_decode(data) for index, data in written.items()}
    compared = {
        index: codec.submit_compare(edits[index].job.image, data, edits[index].alpha > 0)
        for index, data in written.items()
        if enhanced[index] is None and edits[index].job.image.carried.media_type == "image/jpeg"
    }
    return [
        Result(edit, written[index], reads[index].result(), compared[index].result() if index in compared else None)
        if index in written
        else Result(edit)
        for index, edit in enumerate(edits)
    ]


def _submit(edit: Edit, enhanced: NDArray[np.uint8] | None, codec: Codec, jpeg_quality: int) -> Future[bytes]:
    if enhanced is not None:
        return codec.submit_rewrite(edit.job.image, enhanced, jpeg_quality)
    return codec.submit_encode(edit.job.image, edit.rgb, edit.alpha > 0)


def _is_filled(edit: Edit) -> bool:
    return bool(edit.alpha.any()) and not np.array_equal(edit.rgb, edit.job.image.rgb)


def _enhanced_rgb(edit: Edit) -> NDArray[np.uint8] | None:
    """The enhanced picture; None where nothing ran, or what ran changed no pixel."""
    found = edit.enhancement.rgb if edit.enhancement else None
    return None if found is None or np.array_equal(found, edit.rgb) else found
