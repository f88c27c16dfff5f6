"""The stroke network: size, resolution, determinism, and what it says of weights that are not its own."""

import pytest
import torch
from safetensors.torch import save_file

from cleanplate.errors import ModelError
from cleanplate.models.stroke_net import (
    CHANNELS,
    FEATURE_STRIDES,
    FEATURES,
    KIND_CHANNELS,
    WIDER,
    WIDTHS,
    StrokeNet,
    load_stroke_net,
)


def features_for(count, height, width, seed=1):
    generator = torch.Generator().manual_seed(seed)
    levels = zip(FEATURES, FEATURE_STRIDES, strict=True)
    return [torch.randn(count, channels, height // by, width // by, generator=generator) for channels, by in levels]


@pytest.fixture
def network():
    torch.manual_seed(3)
    return StrokeNet().eval()


@pytest.mark.parametrize(("size", "most"), [((WIDTHS, False), 1_100_000), ((WIDER, True), 2_000_000)])
def test_stays_within_the_budget_of_parameters(size, most):
    widths, deeper = size
    assert 0.9 * most <= sum(value.numel() for value in StrokeNet(widths, deeper=deeper).parameters()) <= most


@pytest.mark.parametrize("shape", [(16, 16), (48, 112), (256, 64)])
def test_logits_have_the_resolution_of_the_picture(network, shape):
    with torch.inference_mode():
        logits = network(torch.rand(2, 4, *shape), features_for(2, *shape))
    assert logits.shape == (2, len(CHANNELS), *shape)
    assert len(CHANNELS) == 1 + len(KIND_CHANNELS) + 1


def test_sub_pixels_are_told_apart(network):
    """Logits within one position of the stem differ: the map is no enlarged one."""
    with torch.inference_mode():
        logits = network(torch.rand(1, 4, 32, 32), features_for(1, 32, 32))
    assert not torch.allclose(logits[..., 0::2, :], logits[..., 1::2, :], atol=1e-4)


def test_is_the_same_after_saving_and_loading(network, tmp_path):
    path = tmp_path / "strokes.safetensors"
    save_file(network.state_dict(), path)
    picture = torch.rand(1, 4, 64, 64)
    with torch.inference_mode():
        features = features_for(1, 64, 64)
        assert torch.allclose(load_stroke_net(path)(picture, features), network(picture, features), atol=1e-5)


def test_a_file_says_how_wide_its_network_is(tmp_path):
    wide = StrokeNet((4, 6, 8, 10), deeper=True).eval()
    path = tmp_path / "wide.safetensors"
    save_file(wide.state_dict(), path)
    picture, features = torch.rand(1, 4, 64, 64), features_for(1, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(load_stroke_net(path)(picture, features), wide(picture, features), atol=1e-5)


def test_a_picture_in_a_batch_is_seen_as_alone(network):
    pictures = torch.rand(3, 4, 48, 48)
    with torch.inference_mode():
        features = features_for(3, 48, 48)
        alone = network(pictures[1:2], [level[1:2] for level in features])
        assert torch.allclose(network(pictures, features)[1:2], alone, atol=1e-4)


def test_features_say_nothing_before_training_and_something_after(network):
    picture = torch.rand(1, 4, 64, 64)
    with torch.inference_mode():
        first, other = (network(picture, features_for(1, 64, 64, seed)) for seed in (1, 2))
        assert torch.equal(first, other)
    for level in range(len(FEATURES)):
        network.told[level][1].weight.data.normal_()
        with torch.inference_mode():
            first, other = (network(picture, features_for(1, 64, 64, seed)) for seed in (1, 2))
        assert not torch.allclose(first, other, atol=1e-3)
        network.told[level][1].weight.data.zero_()


def test_weights_of_something_else_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"a.weight": torch.zeros(3)}, path)
    with pytest.raises(ModelError, match=r"other\.safetensors does not hold the weights of the stroke network"):
        load_stroke_net(path)


def test_a_file_that_is_no_weights_is_refused(tmp_path):
    path = tmp_path / "broken.safetensors"
    path.write_bytes(b"not weights at all")
    with pytest.raises(ModelError, match=r"broken\.safetensors"):
        load_stroke_net(path)
