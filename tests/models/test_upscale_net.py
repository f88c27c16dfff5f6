"""The upscale network: where it starts, how far it looks, and what it says of weights that are not its own."""

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from cleanplate.errors import ModelError
from cleanplate.models.upscale_net import UpscaleNet, enlarge, load_upscale_net


def test_starts_from_bicubic_interpolation_as_pillow_does_it():
    picture = np.random.default_rng(0).integers(90, 160, (12, 20, 3), dtype=np.uint8)  # Pillow clips in between
    given = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        found = UpscaleNet()(given)
    assert torch.allclose(found, enlarge(given))
    pixels = found[0].clamp(0, 1).mul(255).round().permute(1, 2, 0).numpy()
    wanted = np.asarray(Image.fromarray(picture).resize((40, 24), Image.Resampling.BICUBIC))
    assert np.abs(pixels - wanted).max() <= 1
    assert sum(value.numel() for value in UpscaleNet().parameters()) < 300_000


def test_a_pixel_farther_than_the_radius_does_not_count():
    torch.manual_seed(0)
    network = UpscaleNet(8, 2).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    one = torch.rand(1, 3, 40, 40)
    other = one.clone()
    other[..., 20, 20] += 1
    with torch.inference_mode():
        changed = (network(one) != network(other)).any(dim=1)[0].nonzero()
    rows = changed[:, 0] // 2
    assert rows.min() == 20 - network.radius_px
    assert rows.max() == 20 + network.radius_px


def test_weights_of_something_else_are_refused(tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(ModelError, match="upscale network"):
        load_upscale_net(tmp_path / "x.safetensors")
