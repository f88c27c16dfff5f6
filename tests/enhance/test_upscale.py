"""Upscaling: random weights in the real file's format, factors, tiles, and errors that say what is missing."""

import hashlib

import cv2
import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file

from cleanplate.config import Config, ModelsConfig
from cleanplate.enhance import build_upscaler
from cleanplate.enhance.upscale import GenerativeUpscaler, LanczosUpscaler, load_upscaling
from cleanplate.errors import ConfigError, ModelError
from cleanplate.metrics.psnr import psnr
from cleanplate.models.registry import Registry

spandrel = pytest.importorskip("spandrel")


def tiny_state(scale=4):
    """The keys of the real file (BasicSR's), with 8 features and one block."""
    generator = torch.Generator().manual_seed(3)
    sizes = {"conv_first": (8, 3), "conv_body": (8, 8), "conv_up1": (8, 8), "conv_up2": (8, 8), "conv_hr": (8, 8),
             "conv_last": (3, 8)}  # fmt: skip
    for dense in (1, 2, 3):
        sizes |= {f"body.0.rdb{dense}.conv{n}": (32 if n < 5 else 8, 8 + 32 * (n - 1)) for n in range(1, 6)}
    state = {}
    for name, (out, given) in sizes.items():
        state[f"{name}.weight"] = torch.randn(out, given, 3, 3, generator=generator) * (9 * given) ** -0.5
        state[f"{name}.bias"] = torch.full((out,), 0.2)
    return state


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("upscale")
    path = folder / "tiny.safetensors"
    save_file(tiny_state(), path)
    entry = {"uri": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "licence": "BSD-3-Clause",
             "commercial": True}  # fmt: skip
    (folder / "mine.yaml").write_text(yaml.safe_dump({"models": {"realesrgan": entry}}))
    return Registry.load(ModelsConfig(registry_files=(str(folder / "mine.yaml"),)))


@pytest.fixture(scope="module")
def picture():
    return np.random.default_rng(2).integers(0, 256, (37, 45, 3), dtype=np.uint8)


def test_the_result_is_the_networks(registry, picture, analysis_of):
    upscaler = build_upscaler("generative", 4, Config(), registry, "cpu")
    found = upscaler.apply(picture, analysis_of())
    assert (upscaler.scale, upscaler.synthetic) == (4, True)
    loaded = load_upscaling(registry.path("realesrgan"))
    with torch.inference_mode():
        direct = loaded(torch.from_numpy(picture).permute(2, 0, 1)[None] / 255)[0].permute(1, 2, 0).numpy() * 255
    assert found.shape == (148, 180, 3)
    assert np.abs(found - direct).max() <= 0.51
    assert found.std() > 5


def test_x2_is_x4_averaged_down(registry, picture, analysis_of):
    four = GenerativeUpscaler(registry, "cpu", 4).apply(picture, analysis_of())
    two = GenerativeUpscaler(registry, "cpu", 2).apply(picture, analysis_of())
    assert two.shape == (74, 90, 3)
    assert np.abs(two.astype(int) - cv2.resize(four, (90, 74), interpolation=cv2.INTER_AREA)).max() <= 1


@pytest.mark.parametrize("scale", [2, 4])
def test_tiles_leave_no_seam(registry, picture, analysis_of, scale):
    # One block of three dense ones has a receptive radius of 18 px besides the last convolutions.
    whole = GenerativeUpscaler(registry, "cpu", scale).apply(picture, analysis_of())
    tiled = GenerativeUpscaler(registry, "cpu", scale, tile_px=42, halo_px=20).apply(picture, analysis_of())
    assert np.abs(whole.astype(int) - tiled).max() <= 1
    cut = GenerativeUpscaler(registry, "cpu", scale, tile_px=20, halo_px=0).apply(picture, analysis_of())
    assert np.abs(whole.astype(int) - cut).max() > 1, "without a halo the seams show"


def test_what_is_missing_or_no_upscaler_is_named(registry, tmp_path):
    with pytest.raises(ModelError, match="no model 'realesrgan' in the registry"):
        GenerativeUpscaler(Registry.load(ModelsConfig()), "cpu", 4)
    save_file({"a": torch.zeros(1)}, tmp_path / "x")
    with pytest.raises(ModelError, match="does not hold a network that spandrel"):
        load_upscaling(tmp_path / "x")
    with pytest.raises(ConfigError, match="unknown upscaler 'bicubic'"):
        build_upscaler("bicubic", 2, Config(), registry, "cpu")


def test_a_factor_that_the_weights_do_not_reach_is_refused(registry, picture, analysis_of):
    with pytest.raises(ModelError, match="upscales by 4, no multiple of 3"):
        GenerativeUpscaler(registry, "cpu", 3).apply(picture, analysis_of())


@pytest.mark.parametrize("scale", [2, 4])
def test_lanczos_keeps_what_it_was_given(photo, analysis_of, scale):
    upscaler = LanczosUpscaler.build(Config(), None, "cpu", scale)
    found = upscaler.apply(photo, analysis_of())
    assert found.shape == (192 * scale, 192 * scale, 3)
    assert not upscaler.synthetic
    assert psnr(cv2.resize(found, (192, 192), interpolation=cv2.INTER_AREA), photo) > 38
