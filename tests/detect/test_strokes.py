"""The stroke maps: tiles that leave no seam, PP-OCR's features where they belong, and pictures of odd sizes."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from cleanplate.config import DetectConfig
from cleanplate.detect.ppocr import Sight
from cleanplate.detect.strokes import StrokeMapper, features_in, tiles
from cleanplate.models.stroke_net import CHANNELS, FEATURE_STRIDES, FEATURES
from cleanplate.records import Box


def _noise(height, width, seed=1):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def _lines(height, width):
    return np.random.default_rng(3).random((height, width), dtype=np.float32)


def _sight(lines):
    """A line map with features that grow from left to right, 0 to 1, and from top to bottom, 1 to 2, on odd grids."""
    across, down = (torch.arange(0.5, count) / count for count in (23, 17))
    level = torch.stack([across.expand(17, -1), 1 + down[:, None].expand(-1, 23)]).float()
    return Sight(lines, tuple(level.repeat(channels // 2, 1, 1)[None] for channels in FEATURES))


class Blur(nn.Module):
    """A network of known reach: the seven maps are box means of red, green, blue and lines, most of them twice."""

    def __init__(self, reach=20):
        super().__init__()
        side = 2 * reach + 1
        along = nn.AvgPool2d((1, side), 1, (0, reach), count_include_pad=False)
        across = nn.AvgPool2d((side, 1), 1, (reach, 0), count_include_pad=False)
        self.mean = nn.Sequential(along, across)

    def forward(self, picture, features):
        means = self.mean(picture)
        return torch.cat([means, means[:, :3]], dim=1) * 8 - 4


class Told(nn.Module):
    """Says what it is told: two channels of each level of features, in turn, as large as the picture."""

    def forward(self, picture, features):
        levels = [
            nn.functional.interpolate(level[:, :2], scale_factor=float(stride), mode="bilinear")
            for level, stride in zip(features, FEATURE_STRIDES, strict=True)
        ]
        return torch.cat(levels, dim=1)[:, :7] * 2 - 2


class Painted(nn.Module):
    """Says what the colours say: red is overlay, green is handwriting, blue is scene text."""

    def forward(self, picture, features):
        red, green, blue, _ = picture.split(1, dim=1)
        off = torch.zeros_like(red)
        return torch.cat([red, off, green, off, off, blue, off], dim=1) * 16 - 8


@pytest.mark.parametrize(("height", "width"), [(40, 30), (1024, 512), (1025, 512), (700, 1300), (417, 1500)])
def test_tiles_leave_no_seam(height, width):
    rgb = _noise(height, width)
    lines = _lines(height, width)
    found = StrokeMapper(Blur(), DetectConfig()).probability_maps([rgb], [_sight(lines)])[0]
    seen = np.dstack([rgb, np.round(lines * 255).astype(np.uint8)])
    whole = torch.from_numpy(seen).permute(2, 0, 1)[None].float() / 255
    padded = nn.functional.pad(whole, (0, -width % 16, 0, -height % 16), mode="replicate")
    wanted = torch.sigmoid(Blur()(padded, []))[0].numpy()[:, :height, :width]
    assert found.shape == (len(CHANNELS), height, width)
    assert found.dtype == np.float32
    core = (slice(None), slice(0, max(1, height - 24)), slice(0, max(1, width - 24)))  # what is padded differs
    assert np.allclose(found[core], wanted[core], atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (1024, 1025), (1500, 2000)])
def test_tiles_cover_everything_in_one_size(height, width):
    covered = np.zeros((height, width), int)
    for tile in tiles(height, width):
        covered[tile.slices] += 1
        assert (tile.width, tile.height) == (min(width, 1024), min(height, 1024))
    assert covered.min() >= 1


def test_pictures_of_many_sizes_go_together():
    pictures = [_noise(600, 1100), _noise(40, 40), _noise(5, 5), _noise(600, 1100, 2)]
    detector = StrokeMapper(Blur(), DetectConfig())
    sights = [_sight(_lines(*picture.shape[:2])) for picture in pictures]
    together = detector.probability_maps(pictures, sights)
    for picture, sight, found in zip(pictures, sights, together, strict=True):
        assert np.allclose(found, detector.probability_maps([picture], [sight])[0], atol=1e-5)
    assert not together[2].any()


def test_large_pictures_are_scaled_and_their_maps_have_their_size():
    rgb = np.zeros((300, 900, 3), np.uint8)
    rgb[100:200, 300:600] = 255
    detector = StrokeMapper(Painted(), DetectConfig(strokes_long_side_px=300))
    found = detector.probability_maps([rgb], [_sight(np.zeros((300, 900), np.float32))])[0]
    assert found.shape == (7, 300, 900)
    assert ((found[0] > 0.5) != (rgb[..., 0] > 127)).sum() <= 2 * (300 + 100)  # at most a pixel's rim


@pytest.mark.parametrize(("height", "width"), [(480, 640), (700, 1300), (500, 2400)])
def test_each_tile_is_told_the_features_of_its_place(height, width):
    """Features that grow evenly over the picture come out evenly, whatever the tiles and however large the picture."""
    rgb = _noise(height, width)
    found = StrokeMapper(Told(), DetectConfig()).probability_maps([rgb], [_sight(_lines(height, width))])[0]
    told = np.log(found / (1 - found)) / 2 + 1
    x, y = (np.arange(length) + 0.5 for length in (width, height))
    inner = (slice(64, -64), slice(64, -64))  # beyond the outermost cells' middles the features are flat
    for channel in range(7):
        wanted = 1 + y[:, None] / height + 0 * x if channel % 2 else x / width + 0 * y[:, None]
        assert np.abs(told[channel] - wanted)[inner].max() < 0.02


@pytest.mark.parametrize(("left", "top"), [(37, 21), (0, 0), (130, 86)])
def test_features_are_interpolated_as_by_scipy(left, top):
    """Within the picture, and up to its edges, where a tile is padded and the outermost cells go on."""
    levels = [torch.randn(1, 3, rows, columns) for rows, columns in ((60, 90), (30, 45), (15, 23), (8, 12))]
    tile, shape = Box(left, top, left + 100, top + 64), (150, 230)
    for level, stride, found in zip(levels, FEATURE_STRIDES, features_in(levels, tile, shape), strict=True):
        rows, columns = 64 // stride, 112 // stride
        assert found.shape == (1, 3, rows, columns)
        y = (top + stride * (np.arange(rows) + 0.5)) / shape[0] * level.shape[2] - 0.5
        x = (left + stride * (np.arange(columns) + 0.5)) / shape[1] * level.shape[3] - 0.5
        places = np.meshgrid(y, x, indexing="ij")
        for channel, values in zip(found[0].numpy(), level[0].numpy(), strict=True):
            wanted = ndimage.map_coordinates(values, places, order=1, mode="nearest")
            assert np.allclose(channel, wanted, atol=1e-4)
