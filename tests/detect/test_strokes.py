"""The stroke maps: tiles that leave no seam, and pictures of odd sizes."""

import numpy as np
import pytest
import torch
from torch import nn

from cleanplate.config import DetectConfig
from cleanplate.detect.strokes import StrokeMapper, tiles
from cleanplate.models.stroke_net import CHANNELS


def _noise(height, width, seed=1):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def _lines(height, width):
    return np.random.default_rng(3).random((height, width), dtype=np.float32)


class Blur(nn.Module):
    """A network of known reach: the seven maps are box means of red, green, blue and lines, most of them twice."""

    def __init__(self, reach=20):
        super().__init__()
        side = 2 * reach + 1
        along = nn.AvgPool2d((1, side), 1, (0, reach), count_include_pad=False)
        across = nn.AvgPool2d((side, 1), 1, (reach, 0), count_include_pad=False)
        self.mean = nn.Sequential(along, across)

    def forward(self, picture):
        means = self.mean(picture)
        return torch.cat([means, means[:, :3]], dim=1) * 8 - 4


class Painted(nn.Module):
    """Says what the colours say: red is overlay, green is handwriting, blue is scene text."""

    def forward(self, picture):
        red, green, blue, _ = picture.split(1, dim=1)
        off = torch.zeros_like(red)
        return torch.cat([red, off, green, off, off, blue, off], dim=1) * 16 - 8


@pytest.mark.parametrize(("height", "width"), [(40, 30), (512, 512), (513, 512), (700, 1300), (417, 1024)])
def test_tiles_leave_no_seam(height, width):
    rgb = _noise(height, width)
    lines = _lines(height, width)
    found = StrokeMapper(Blur(), DetectConfig()).probability_maps([rgb], [lines])[0]
    seen = np.dstack([rgb, np.round(lines * 255).astype(np.uint8)])
    whole = torch.from_numpy(seen).permute(2, 0, 1)[None].float() / 255
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
    detector = StrokeMapper(Blur(), DetectConfig())
    lines = [_lines(*picture.shape[:2]) for picture in pictures]
    together = detector.probability_maps(pictures, lines)
    for picture, line_map, found in zip(pictures, lines, together, strict=True):
        assert np.allclose(found, detector.probability_maps([picture], [line_map])[0], atol=1e-5)
    assert not together[2].any()


def test_large_pictures_are_scaled_and_their_maps_have_their_size():
    rgb = np.zeros((300, 900, 3), np.uint8)
    rgb[100:200, 300:600] = 255
    detector = StrokeMapper(Painted(), DetectConfig(strokes_long_side_px=300))
    found = detector.probability_maps([rgb], [np.zeros((300, 900), np.float32)])[0]
    assert found.shape == (7, 300, 900)
    assert ((found[0] > 0.5) != (rgb[..., 0] > 127)).sum() <= 2 * (300 + 100)  # at most a pixel's rim
