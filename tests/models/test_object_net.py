"""The object network: where it starts, what it takes, and files that are none of it."""

import pytest
import torch
from safetensors.torch import save_file

from cleanplate.errors import ModelError
from cleanplate.models.object_net import ObjectNet, load_object_net, to_input


@pytest.fixture
def planes():
    torch.manual_seed(3)
    picture = torch.randint(0, 256, (2, 32, 48, 3), dtype=torch.uint8)
    return picture, *(torch.randint(0, 2, (2, 32, 48), dtype=torch.uint8) for _ in range(4))


def test_starts_from_what_grabcut_says_and_no_shadow(planes):
    network = ObjectNet()
    with torch.inference_mode():
        logits = network(*to_input(*planes))
    assert torch.equal(logits[:, 0] > 0, planes[-1] > 0)
    assert (logits[:, 1] < 0).all()
    assert sum(value.numel() for value in network.parameters()) < 1_000_000


def test_the_hint_and_the_picture_count(planes):
    network = ObjectNet().eval()
    torch.nn.init.normal_(network.head.weight, std=0.1)
    with torch.inference_mode():
        before = network(*to_input(*planes))
        for number in range(5):
            changed = [255 - plane if k == number == 0 else 1 - plane if k == number else plane
                       for k, plane in enumerate(planes)]  # fmt: skip
            assert not torch.allclose(network(*to_input(*changed)), before)


def test_a_brighter_picture_is_the_same_picture(planes):
    network = ObjectNet().eval()
    torch.nn.init.normal_(network.head.weight, std=0.1)
    picture, hints = to_input(*planes)
    with torch.inference_mode():
        assert torch.allclose(network(picture * 0.5, hints), network(picture * 0.5 + 0.2, hints), atol=1e-4)


def test_weights_are_read_and_those_of_others_refused(tmp_path):
    network = ObjectNet()
    save_file({name: value.half() for name, value in network.state_dict().items()}, tmp_path / "o.safetensors")
    assert not load_object_net(tmp_path / "o.safetensors").training
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(ModelError, match="object network"):
        load_object_net(tmp_path / "x.safetensors")
