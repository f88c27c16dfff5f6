"""The network engine around any network: tiles, padding, batches, and what may not be seen."""

import numpy as np
import pytest
import torch
from torch import nn

from cleanplate.fill import network as module
from cleanplate.fill.base import FillRequest
from cleanplate.fill.network import NetworkEngine, base_fills
from cleanplate.models.fill_net import FillNet


class Median(nn.Module):
    """The middle one of the fills, and a count of what it was shown."""

    def __init__(self):
        super().__init__()
        self.shapes = []

    def forward(self, fills, hole):
        self.shapes.append(tuple(fills.shape))
        return torch.where(hole > 0, fills.median(dim=1).values, fills[:, 0])


@pytest.fixture
def untrained():
    torch.manual_seed(2)
    network = FillNet().eval()
    nn.init.normal_(network.head.weight, std=0.02)
    return NetworkEngine(network)


def _picture(height, width, seed=0):
    y, x = np.mgrid[0:height, 0:width]
    waves = np.stack([110 + 60 * np.sin(x / 9.0 + seed), 120 + 50 * np.cos(y / 7.0), 0.2 * x + 0.3 * y], axis=2)
    return np.clip(waves, 0, 255).astype(np.uint8)


def test_a_large_crop_is_seen_in_tiles_without_a_seam():
    """What the network does at a pixel here needs no surroundings, so tiles must equal the whole."""
    picture, hole = _picture(703, 817), np.zeros((703, 817), np.uint8)
    hole[100:150, 50:600:7] = 1
    hole[0:9, 800:817] = 1
    hole[640:660, 20:40] = 1
    median = Median()
    filled = NetworkEngine(median).fill([FillRequest(picture, hole.astype(np.float32), hole, hole)])[0]
    wanted = np.median(base_fills(picture, hole), axis=0)
    assert np.array_equal(filled[hole > 0], wanted[hole > 0])
    assert np.array_equal(filled[hole == 0], picture[hole == 0])
    assert max(shape[-1] for shape in median.shapes) <= module._GRID.tile_px
    seen = sum(shape[0] for shape in median.shapes)
    assert 4 <= seen <= 6, "tiles without a hole are not looked at"


def test_only_the_place_of_the_hole_is_looked_at():
    picture, hole = _picture(500, 500), np.zeros((500, 500), np.uint8)
    hole[200:210, 300:330] = 1
    median = Median()
    NetworkEngine(median).fill([FillRequest(picture, hole.astype(np.float32), hole, hole)])
    assert [shape[3:] for shape in median.shapes] == [(80, 96)]  # 10 x 30 with 32 all round, in steps of 16


def test_crops_of_one_size_go_together_and_are_filled_as_alone(untrained):
    requests = []
    for number, (height, width) in enumerate([(50, 70), (64, 64), (50, 70), (33, 90)]):
        hole = np.zeros((height, width), np.uint8)
        hole[10:20, 10 + number // 2 : 30 + number // 2] = 1
        requests.append(FillRequest(_picture(height, width, number), hole.astype(np.float32), hole, hole))
    together = untrained.fill(requests)
    for request, filled in zip(requests, together, strict=True):
        alone = untrained.fill([request])[0]
        assert filled.shape == request.crop.shape
        # Sums of another order of magnitude of batch may round otherwise.
        assert np.abs(filled.astype(int) - alone).max() <= 1
    median = Median()
    NetworkEngine(median).fill(requests)
    assert sum(shape[0] for shape in median.shapes) == 4
    assert len(median.shapes) == 2


def test_what_lies_under_the_hole_or_another_mark_is_never_seen(untrained, request_of, hole):
    invalid = np.zeros_like(hole)
    invalid[10:19, 20:50] = 1
    request = request_of(_picture(64, 80), hole, invalid)
    other = request.crop.copy()
    other[request.invalid > 0] = (0, 255, 0)
    again = FillRequest(other, request.alpha, request.core, request.invalid)
    first, second = untrained.fill([request, again])
    assert np.array_equal(first[hole > 0], second[hole > 0])


def test_a_crop_that_is_all_hole_or_none_is_no_error(untrained):
    picture = _picture(20, 30)
    whole, none = np.ones((20, 30), np.uint8), np.zeros((20, 30), np.uint8)
    requests = [FillRequest(picture, mask.astype(np.float32), mask, mask) for mask in (whole, none)]
    filled = untrained.fill(requests)
    assert (filled[0] == 128).all()
    assert np.array_equal(filled[1], picture)
    assert untrained.fill([]) == []
