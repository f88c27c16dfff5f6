"""Quality by tables: libjpeg's own at every quality, and the nearest for others."""

import io

import numpy as np
import pytest
from PIL import Image as PillowImage

from cleanplate.codec import jpeg_markers
from cleanplate.enhance.jpeg_tables import quality_of, standard_tables


@pytest.mark.parametrize("quality", [1, 10, 49, 50, 75, 92, 100])
def test_libjpegs_tables_give_their_quality(jpeg_bytes, photo, quality):
    data = jpeg_bytes(photo[:16, :16], quality)
    tables = jpeg_markers.read_tables(jpeg_markers.split_header(data))
    assert quality_of(tables[0], tables[1]) == quality
    assert np.array_equal(np.reshape(tables[0], (8, 8)), standard_tables()[quality - 1, 0])


def test_other_tables_give_the_nearest_quality():
    luma = standard_tables()[59, 0].ravel() + np.tile([1, -1], 32)
    assert quality_of(luma.tolist()) == pytest.approx(60, abs=2)


def test_a_files_tables_are_read_in_rows(photo):
    wanted = list(range(2, 66))
    buffer = io.BytesIO()
    PillowImage.fromarray(photo[:16, :16]).save(buffer, "JPEG", qtables=[wanted, wanted])
    tables = jpeg_markers.read_tables(jpeg_markers.split_header(buffer.getvalue()))
    with PillowImage.open(buffer) as picture:
        assert list(tables[0]) == list(picture.quantization[0])
