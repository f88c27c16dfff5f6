"""The U-Net that networks of fills share: it starts at zero, keeps the resolution, and sees as far as it should."""

import pytest
import torch

from cleanplate.models.unet import MULTIPLE, PixelUnet


@pytest.mark.parametrize("refined", [False, True])
def test_makes_planes_of_the_size_it_is_given(refined):
    network = PixelUnet(5, 2, (8, 12, 16), refined=refined)
    found = network.planes([torch.rand(1, 3, 3 * MULTIPLE, 5 * MULTIPLE), torch.rand(1, 2, 3 * MULTIPLE, 5 * MULTIPLE)])
    assert found.shape == (1, 2, 3 * MULTIPLE, 5 * MULTIPLE)
    assert not found.any()


def test_a_block_more_on_each_way_where_it_is_refined():
    plain, refined = (set(PixelUnet(5, 2, (8, 12, 16), refined=each).state_dict()) for each in (False, True))
    assert plain < refined
    assert {name.split(".first")[0].split(".second")[0] for name in refined - plain} == {"stem.2", "refine"}


def test_what_it_makes_of_a_pixel_depends_on_what_lies_around_it():
    torch.manual_seed(0)
    network = PixelUnet(1, 1, (8, 12, 16))
    for value in network.parameters():  # those that start at zero, too
        torch.nn.init.normal_(value, std=0.1)
    plane = torch.rand(1, 1, 64, 64, requires_grad=True)
    network.planes([plane])[0, 0, 32, 32].backward()
    reach = plane.grad[0, 0].nonzero()
    assert reach.min() <= 8
    assert reach.max() >= 56
