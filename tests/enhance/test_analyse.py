"""The analysis as a whole: evidence from the file before evidence from the pixels, and an origin with its reason."""

import io

import numpy as np
import pytest
from PIL import Image as PillowImage

from cleanplate import codec
from cleanplate.config import SourceConfig
from cleanplate.enhance.analyse import analyse
from cleanplate.enhance.blocks import look_at


def test_a_jpeg_tells_its_quality_by_its_tables(photo, jpeg_bytes):
    found = analyse(codec.decode(jpeg_bytes(photo, 83), SourceConfig()))
    assert (found.jpeg_quality, found.jpeg_evidence, found.grid_offset) == (83, "tables", (0, 0))
    assert "JPEG quality 83 by its tables" in found.sentence()


def test_a_png_that_was_a_jpeg(photo, as_jpeg, as_image):
    found = analyse(as_image(np.ascontiguousarray(as_jpeg(photo, 40)[3:])))
    assert found.jpeg_quality == pytest.approx(40, abs=3)
    assert (found.jpeg_evidence, found.grid_offset) == ("pixels", (0, 5))


def test_a_clean_png(photo, as_image):
    found = analyse(as_image(photo))
    assert (found.jpeg_quality, found.jpeg_evidence, found.origin) == (None, "none", "camera")


def test_a_turned_jpeg_has_its_grid_at_the_far_side(photo, jpeg_bytes):
    exif = PillowImage.Exif()
    exif[0x0112] = 3
    with PillowImage.open(io.BytesIO(jpeg_bytes(photo[:188, :187], 50))) as picture:
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=50, exif=exif)
    assert analyse(codec.decode(buffer.getvalue(), SourceConfig())).grid_offset == (187 % 8, 188 % 8)


def test_origins(photo, as_image):
    screen = np.full((200, 300, 3), 240, np.uint8)
    screen[20:40, 30:200] = (30, 90, 200)
    assert analyse(as_image(screen)).origin == "screenshot"
    rng = np.random.default_rng(0)
    page = np.clip(np.rint(235 + rng.normal(0, 3, (256, 256, 1))) + np.zeros(3), 0, 255).astype(np.uint8)
    page[40:60:6, 30:220] = 40
    found = analyse(as_image(page, dpi=(300.0, 300.0)))
    assert found.origin == "scan"
    assert "300 dpi" in found.sentence()
    social = analyse(as_image(photo, format="JPEG"))
    assert social.origin == "camera"  # its bytes cannot be read as a JPEG: only pixels count


def test_a_compressed_picture_without_a_camera_is_from_a_social_network(photo, jpeg_bytes):
    assert analyse(codec.decode(jpeg_bytes(photo, 70), SourceConfig())).origin == "social_jpeg"
    exif = PillowImage.Exif()
    exif[0x010F], exif[0x0110] = "Maker", "Model 5"
    with PillowImage.open(io.BytesIO(jpeg_bytes(photo, 70))) as picture:
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=70, exif=exif)
    found = analyse(codec.decode(buffer.getvalue(), SourceConfig()))
    assert found.origin == "camera"
    assert "Maker Model 5" in found.origin_reason


def test_at_most_a_megapixel_is_looked_at_in_phase():
    large = np.broadcast_to(np.arange(3000, dtype=np.uint16)[None, :, None] % 8, (2100, 3000, 3)).astype(np.uint8)
    part = look_at(large)
    assert part.shape == (1024, 1024, 3)
    assert np.array_equal(part[0, :, 0], np.arange(1024) % 8)
    assert look_at(part).shape == part.shape
