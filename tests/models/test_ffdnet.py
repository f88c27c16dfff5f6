"""FFDNet: the published architecture with the real weights, at any size, steered by its map."""

import numpy as np
import pytest
import torch

from cleanplate.config import ModelsConfig
from cleanplate.errors import ModelError
from cleanplate.models.ffdnet import RECEPTIVE_PX, Ffdnet, load_ffdnet
from cleanplate.models.registry import Registry


@pytest.fixture(scope="module")
def network():
    torch.set_num_threads(1)
    return load_ffdnet(Registry.load(ModelsConfig()).path("ffdnet"))


def _psnr(found, truth):
    return float(-10 * torch.log10(torch.mean((found - truth) ** 2)))


@pytest.fixture(scope="module")
def clean():
    y, x = np.mgrid[0:64, 0:65]
    waves = [0.5 + 0.3 * np.sin(x / 7 + c) * np.cos(y / 9 - c) for c in range(3)]
    return torch.tensor(np.stack(waves), dtype=torch.float32)[None]


@pytest.mark.parametrize("sigma", [15, 50])
def test_it_takes_the_noise_away_that_it_is_told_of(network, clean, sigma):
    torch.manual_seed(0)
    noisy = clean + torch.randn_like(clean) * sigma / 255
    with torch.inference_mode():
        told, untold = (network(noisy, torch.full((1, 1, 64, 65), s / 255.0)) for s in (sigma, 0))
    assert told.shape == clean.shape, "an odd width is padded and cropped again"
    assert _psnr(told, clean) > _psnr(noisy, clean) + 11
    assert _psnr(untold, clean) < _psnr(noisy, clean) + 4


def test_the_map_steers_each_place(network, clean):
    torch.manual_seed(0)
    noisy = clean + torch.randn_like(clean) * 25 / 255
    level = torch.zeros(1, 1, 64, 65)
    level[..., :32] = 25 / 255
    with torch.inference_mode():
        found = network(noisy, level)
    moved = (found - noisy).abs().mean(dim=(0, 1, 2))
    assert moved[:28].mean() > 1.5 * moved[-28:].mean()


def test_a_pixel_depends_on_no_more_than_the_receptive_radius(network):
    torch.manual_seed(0)
    picture = torch.rand(1, 3, 80, 80)
    other = picture.clone()
    other[..., :40 - RECEPTIVE_PX - 1, :] = 0
    level = torch.full((1, 1, 80, 80), 0.1)
    with torch.inference_mode():
        first, second = network(picture, level), network(other, level)
    assert torch.allclose(first[..., 40:, :], second[..., 40:, :], atol=1e-6)
    assert not torch.allclose(first[..., 20:, :], second[..., 20:, :], atol=1e-3)


def test_it_has_the_published_size():
    assert sum(p.numel() for p in Ffdnet().parameters()) == 852_108


def test_other_weights_are_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({"model.0.weight": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(ModelError, match="denoiser FFDNet"):
        load_ffdnet(tmp_path / "x.safetensors")
