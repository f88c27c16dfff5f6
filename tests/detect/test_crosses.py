"""Lines from corner to corner: how faint, where they may end, what is none, and the strip against SciPy's sampling."""

import cv2
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from cleanplate.config import load_config
from cleanplate.detect import crosses
from cleanplate.detect.crosses import CrossDetector, find_cross
from cleanplate.image import Carried, Image
from cleanplate.models.registry import Registry
from cleanplate.records import Job

HEIGHT, WIDTH = 300, 420


@pytest.fixture(scope="module")
def ground():
    """A rough surface: deviation of 18 grey levels."""
    noise = gaussian_filter(np.random.default_rng(4).normal(size=(HEIGHT, WIDTH, 3)), (1.2, 1.2, 0))
    return np.clip(110 + 18 * noise / noise.std(), 0, 255).astype(np.uint8)


def ends(height, width, away=0):
    """Two lines between opposite corners; the first may start some pixels to the right of its corner."""
    return [((away, 0), (width - 1, height - 1)), ((0, height - 1), (width - 1, 0))]


def drawn(picture, lines, inks, opacity=0.25, thick=1):
    """Lays lines of one ink each over a picture; returns it and what they cover, 0..1."""
    found, whole = picture.astype(np.float32), np.zeros(picture.shape[:2], np.float32)
    for (start, stop), ink in zip(lines, inks, strict=True):
        cover = cv2.line(np.zeros(picture.shape[:2], np.uint8), start, stop, 255, thick, cv2.LINE_AA) / np.float32(255)
        alpha = (opacity * cover)[..., None]
        found, whole = found * (1 - alpha) + alpha * ink, np.maximum(whole, cover)
    return np.round(found).astype(np.uint8), whole


def detections(picture, *settings):
    config = load_config(overrides=list(settings))
    detector = CrossDetector.build(config, Registry.load(config.models), "cpu")
    job = Job("a", Image(picture, picture, Carried("PNG", "image/png", "RGB"), b""))
    return detector.detect([job])[0]


@pytest.mark.parametrize(("thick", "away"), [(1, 0), (3, 0), (1, 4)])
def test_a_faint_cross_is_found_where_it_is(ground, thick, away):
    picture, cover = drawn(ground, ends(HEIGHT, WIDTH, away), (255, 255), thick=thick)
    found = detections(picture)
    assert [one.kind for one in found] == ["watermark", "watermark"]
    mask = np.maximum(found[0].strokes, found[1].strokes) >= 0.5
    assert mask[cover > 0.5].mean() > 0.8
    assert (cv2.dilate((cover > 0).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0)[mask].all()
    assert found[0].confidence.shape == (HEIGHT, WIDTH)
    assert 0 < found[0].confidence.max() <= found[0].score <= 1


def test_dark_ink_on_light_and_dark_ground_is_found():
    picture = np.full((HEIGHT, WIDTH, 3), 200, np.uint8)
    picture[:, WIDTH // 2 :] = 90
    assert len(detections(drawn(picture, ends(HEIGHT, WIDTH), (0, 0))[0])) == 2


def test_what_is_no_cross(ground):
    one_line = drawn(ground, ends(HEIGHT, WIDTH)[:1], (255,), 0.6)[0]
    two_inks = drawn(ground, ends(HEIGHT, WIDTH), (255, 0), 0.6)[0]
    aside = drawn(ground, ends(HEIGHT, WIDTH, 60), (255, 255), 0.6)[0]
    edges = np.where(np.add.outer(np.arange(HEIGHT) / HEIGHT, -np.arange(WIDTH) / WIDTH)[..., None] > 0, 60, 190)
    for picture in (ground, one_line, two_inks, aside, edges.repeat(3, axis=2).astype(np.uint8)):
        assert detections(picture) == []


def test_a_picture_with_a_cross_too_faint_for_the_setting_is_left_alone(ground):
    picture = drawn(ground, ends(HEIGHT, WIDTH), (255, 255))[0]
    believed = min(line.believed for line in find_cross(picture))
    assert len(detections(picture, f"detect.cross_score={believed - 0.01}")) == 2
    assert detections(picture, f"detect.cross_score={believed + 0.01}") == []


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (63, 63), (64, 64), (64, 3000)])
def test_pictures_of_any_size_are_looked_at(shape):
    assert detections(np.full((*shape, 3), 7, np.uint8)) == []


def test_a_strip_is_what_lies_along_a_line(ground):
    grey = cv2.cvtColor(ground, cv2.COLOR_RGB2GRAY).astype(np.float32)
    start, along = np.array([40.0, 30.0]), np.array([0.8, 0.6])
    strip = crosses._strip(grey, start, along, np.array([-0.6, 0.8]), 200, 7)
    steps, sides = np.meshgrid(np.arange(200), np.arange(-7, 8), indexing="ij")
    x, y = start[0] + 0.8 * steps - 0.6 * sides, start[1] + 0.6 * steps + 0.8 * sides
    assert strip == pytest.approx(map_coordinates(grey, [y, x], order=1), abs=0.6)  # OpenCV samples by 32nds of pixels
