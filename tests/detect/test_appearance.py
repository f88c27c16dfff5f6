"""How groups look: AlexNet's features against torchvision's own network, and which part of the picture they are of."""

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torchvision.models import alexnet

from cleanplate.config import ModelsConfig
from cleanplate.detect.appearance import SIZE, Appearance
from cleanplate.detect.components import group_strokes
from cleanplate.models.registry import Registry

HEIGHT, WIDTH = 160, 240


@pytest.fixture(scope="module")
def registry():
    return Registry.load(ModelsConfig())


@pytest.fixture
def picture():
    noise = np.random.default_rng(7).integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), np.uint8)
    return cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


def group_at(top, left, height, width):
    strokes = np.zeros((HEIGHT, WIDTH), np.float32)
    strokes[top : top + height, left : left + width] = 0.9
    (group,) = group_strokes(strokes, 0.25, 3)
    return group


def test_features_are_those_of_torchvisions_network(registry, picture):
    group = group_at(40, 50, 60, 90)
    found = Appearance.build(registry, "cpu").features(picture, [group])[0]
    whole = alexnet(weights=None).eval()
    whole.features.load_state_dict(
        {name.removeprefix("features."): value for name, value in load_file(registry.path("alexnet")).items()}
    )
    box = group.box.expand(max(group.box.width, group.box.height) // 5, WIDTH, HEIGHT)
    size = (192, round(box.height * 192 / box.width))
    crop = cv2.resize(picture[box.slices], size, interpolation=cv2.INTER_LINEAR)
    scaled = (crop / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    pixels = torch.from_numpy(scaled.astype(np.float32)).permute(2, 0, 1)[None]
    with torch.inference_mode():
        third = whole.features[:8](pixels)[0].numpy()
    third /= np.linalg.norm(third, axis=0, keepdims=True)
    assert found.shape == (SIZE,)
    assert found[2 * 192 : 2 * 192 + 384] == pytest.approx(third.mean(axis=(1, 2)), abs=1e-4)


def test_a_group_is_seen_with_its_surroundings_and_nothing_else(registry, picture):
    appearance = Appearance.build(registry, "cpu")
    group = group_at(40, 50, 40, 60)
    before = appearance.features(picture, [group])
    far, near = picture.copy(), picture.copy()
    far[120:], near[30:38, 60:90] = 0, 0
    assert np.array_equal(appearance.features(far, [group]), before)
    assert not np.allclose(appearance.features(near, [group]), before, atol=1e-3)


def test_the_second_half_of_each_layer_is_of_the_strokes(registry, picture):
    whole, part = group_at(20, 20, 100, 100), group_at(20, 20, 100, 100)
    part.confidence[50:] = 0
    one, other = Appearance.build(registry, "cpu").features(picture, [whole, part])
    assert np.allclose(one[:192], other[:192])
    assert not np.allclose(one[192:384], other[192:384], atol=1e-3)


def test_a_tiny_group_at_the_rim_and_none_at_all(registry, picture):
    appearance = Appearance.build(registry, "cpu")
    assert np.isfinite(appearance.features(picture, [group_at(0, 0, 4, 5)])).all()
    assert appearance.features(picture, []).shape == (0, SIZE)
