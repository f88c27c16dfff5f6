"""The stroke detector: tiles that leave no seam, kinds by vote, and pictures of odd sizes."""

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont
from torch import nn

from cleanplate.config import Config, DetectConfig
from cleanplate.detect import build_detectors
from cleanplate.detect.strokes import StrokeDetector, tiles, vote
from cleanplate.image import Carried, Image
from cleanplate.models.registry import Registry
from cleanplate.models.stroke_net import CHANNELS
from cleanplate.records import Job


def _job(rgb):
    return Job("a", Image(rgb, rgb, Carried("PNG", "image/png", "RGB"), b""))


def _noise(height, width, seed=1):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


class Blur(nn.Module):
    """A network of known reach: the six maps are box means of red, green, blue, twice."""

    def __init__(self, reach=20):
        super().__init__()
        side = 2 * reach + 1
        along = nn.AvgPool2d((1, side), 1, (0, reach), count_include_pad=False)
        across = nn.AvgPool2d((side, 1), 1, (reach, 0), count_include_pad=False)
        self.mean = nn.Sequential(along, across)

    def forward(self, picture):
        means = self.mean(picture)
        return torch.cat([means, means], dim=1) * 8 - 4


class Painted(nn.Module):
    """Says what the colours say: red is overlay, green is handwriting, blue is scene text."""

    def forward(self, picture):
        red, green, blue = picture.split(1, dim=1)
        off = torch.zeros_like(red)
        return torch.cat([red, off, green, off, off, blue], dim=1) * 16 - 8


@pytest.mark.parametrize(("height", "width"), [(40, 30), (512, 512), (513, 512), (700, 1300), (417, 1024)])
def test_tiles_leave_no_seam(height, width):
    rgb = _noise(height, width)
    found = StrokeDetector(Blur(), DetectConfig()).probability_maps([rgb])[0]
    whole = torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255
    padded = nn.functional.pad(whole, (0, -width % 16, 0, -height % 16), mode="replicate")
    wanted = torch.sigmoid(Blur()(padded))[0].numpy()[:, :height, :width]
    assert found.shape == (len(CHANNELS), height, width)
    assert found.dtype == np.float32
    core = (slice(None), slice(0, max(1, height - 24)), slice(0, max(1, width - 24)))  # what is padded differs
    assert np.allclose(found[core], wanted[core], atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (512, 513), (1500, 2000)])
def test_tiles_cover_everything_in_one_size(height, width):
    covered = np.zeros((height, width), int)
    for tile in tiles(height, width):
        covered[tile.slices] += 1
        assert (tile.width, tile.height) == (min(width, 512), min(height, 512))
    assert covered.min() >= 1


def test_pictures_of_many_sizes_go_together():
    pictures = [_noise(600, 640), _noise(40, 40), _noise(5, 5), _noise(600, 640, 2)]
    detector = StrokeDetector(Blur(), DetectConfig())
    together = detector.probability_maps(pictures)
    for picture, found in zip(pictures, together, strict=True):
        assert np.allclose(found, detector.probability_maps([picture])[0], atol=1e-5)
    assert not together[2].any()


def test_large_pictures_are_scaled_and_their_maps_have_their_size():
    rgb = np.zeros((300, 900, 3), np.uint8)
    rgb[100:200, 300:600] = 255
    detector = StrokeDetector(Painted(), DetectConfig(strokes_long_side_px=300))
    found = detector.probability_maps([rgb])[0]
    assert found.shape == (6, 300, 900)
    assert ((found[0] > 0.5) != (rgb[..., 0] > 127)).sum() <= 2 * (300 + 100)  # at most a pixel's rim


def test_kinds_are_voted_for_and_scene_text_is_told_apart():
    rgb = np.zeros((200, 400, 3), np.uint8)
    rgb[40:60, 40:120] = (255, 255, 0)
    rgb[140:160, 200:320] = (0, 0, 255)
    found = StrokeDetector(Painted(), DetectConfig()).detect([_job(rgb)])[0]
    assert [detection.kind for detection in found] == ["handwriting", "scene_text"]
    assert [detection.source for detection in found] == ["strokes", "strokes"]
    written = found[0]
    assert written.confidence.shape == (written.box.height, written.box.width)
    assert (written.confidence > 0.5).sum() == 20 * 80
    assert 0.99 < written.score <= 1


def test_uncertain_strokes_are_dropped():
    rgb = np.zeros((100, 200, 3), np.uint8)
    rgb[40:60, 40:120, 0] = 132  # a probability of 0.57
    assert StrokeDetector(Painted(), DetectConfig(strokes_score=0.6)).detect([_job(rgb)]) == [[]]
    assert len(StrokeDetector(Painted(), DetectConfig(strokes_score=0.5)).detect([_job(rgb)])[0]) == 1


def test_a_vote_weighs_pixels_by_confidence():
    maps = np.zeros((6, 1, 3), np.float32)
    maps[CHANNELS.index("stamp"), 0] = (0.9, 0, 0)
    maps[CHANNELS.index("watermark"), 0] = (0, 0.6, 0.6)
    confidence = np.array([[1.0, 0.2, 0.2]], np.float32)
    assert vote(maps, confidence, ("stamp", "watermark")) == "stamp"
    assert vote(maps, np.ones_like(confidence), ("stamp", "watermark")) == "watermark"


@pytest.fixture(scope="module")
def trained():
    config = Config(detect=DetectConfig(detectors=("strokes",)))
    detector = build_detectors(config, Registry.load(config.models), "cpu")[0]
    assert isinstance(detector, StrokeDetector)
    return detector


def test_the_weights_of_the_package_find_a_caption_stroke_by_stroke(trained):
    y, x = np.mgrid[0:240, 0:400]
    rgb = np.stack([60 + x / 8, 90 + y / 8, 140 - x / 10], axis=2).astype(np.uint8)
    plain = Pillow.fromarray(rgb)
    drawn = plain.copy()
    ImageDraw.Draw(drawn).text((40, 100), "Summer holiday", font=ImageFont.load_default(36), fill=(255, 255, 255))
    truth = np.abs(np.asarray(drawn, int) - rgb).max(axis=2) > 60
    found = trained.probability_maps([np.asarray(drawn)])[0][0] >= 0.5
    assert (found & truth).sum() / truth.sum() > 0.8
    assert found.sum() / truth.sum() < 2.5
    kinds = {detection.kind for detection in trained.detect([_job(np.asarray(drawn))])[0]}
    assert "overlay_text" in kinds
    assert not (trained.probability_maps([rgb])[0][0] >= 0.5).any()
