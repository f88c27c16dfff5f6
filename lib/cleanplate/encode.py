"""Writes every edited image in its own format, then reads it back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cleanplate.attempts import Edit
from cleanplate.guard import Codec
from cleanplate.image import Image


@dataclass(frozen=True)
class Result:
    """An edit with its encoded file and what that file decodes to; both None where the source's bytes stay."""

    edit: Edit
    data: bytes | None = None
    image: Image | None = None

    @property
    def final(self) -> Image:
        """What a reader of the result sees."""
        return self.image or self.edit.job.image


def encode(edits: Sequence[Edit], codec: Codec) -> list[Result]:
    """Encodes what changed; an image in which nothing changed keeps its very bytes.

    Args:
        edits: images with their filled regions.
        codec: writes and reads; several images run at a time where it has several workers.

    Returns:
        One result per edit, in order.

    Raises:
        RefusedError: an image cannot be written without changing more than was asked.
        DecodeError: the written file does not read back.
    """
    writes = {
        index: codec.submit_encode(edit.job.image, edit.rgb, edit.alpha > 0)
        for index, edit in enumerate(edits)
        if _changed(edit)
    }
    written = {index: future.result() for index, future in writes.items()}
    reads = {index: codec.submit_decode(data) for index, data in written.items()}
    return [
        Result(edit, written[index], reads[index].result()) if index in written else Result(edit)
        for index, edit in enumerate(edits)
    ]


def _changed(edit: Edit) -> bool:
    return bool(edit.alpha.any()) and not np.array_equal(edit.rgb, edit.job.image.rgb)
