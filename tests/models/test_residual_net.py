"""The residual network: what it may change, how its sampling goes, what it says of weights that are not its own."""

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from cleanplate.errors import ModelError
from cleanplate.models import residual_net as module
from cleanplate.models.residual_net import ResidualNet, detail_of, high_only, load_residual_net, mixture, sample


class Knowing(torch.nn.Module):
    """A network that knows the truth, so that its velocity is exact; counts its calls."""

    def __init__(self, clean):
        super().__init__()
        self.clean, self.times = clean, []

    def forward(self, noisy, prefill, hole, share):
        self.times.append(float(share[0]))
        signal, sigma = (weight[:, None, None, None] for weight in mixture(share))
        noise = (noisy - signal * self.clean) / sigma
        return signal * noise - sigma * self.clean


@pytest.fixture
def network():
    torch.manual_seed(5)
    network = ResidualNet().eval()
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)
    return network


@pytest.fixture
def batch():
    """Pre-fill, hole and noise of two crops."""
    generator = torch.Generator().manual_seed(3)
    y, x = torch.meshgrid(torch.arange(48.0), torch.arange(64.0), indexing="ij")
    shade = 0.5 + 0.2 * torch.sin(x / 20) * torch.cos(y / 17)
    prefill = (shade + 0.03 * torch.randn(2, 3, 48, 64, generator=generator)).clamp(0, 1)
    hole = torch.zeros(2, 1, 48, 64)
    hole[..., 10:38, 12:50] = 1
    return prefill, hole, torch.randn(2, 3, 48, 64, generator=generator)


def _low(picture, sigma):
    line = torch.exp(-0.5 * (torch.arange(-16.0, 17) / sigma).square())
    line = (line / line.sum()).expand(3, 1, -1)
    rows = functional.conv2d(functional.pad(picture, (16,) * 4, mode="replicate"), line[:, :, None], groups=3)
    return functional.conv2d(rows, line[:, :, :, None], groups=3)


def test_the_strength_of_detail_is_that_nearby_outside_the_hole():
    detail, hole = torch.zeros(1, 3, 96, 320), torch.zeros(1, 1, 96, 320)
    detail[..., :160] = 0.2
    hole[..., 30:60, 20:50] = 1
    detail[:, :, 30:60, 20:50] = 5.0
    scale = module.detail_scale(detail, hole)
    assert scale.shape == (1, 1, 96, 320)
    assert float(scale[0, 0, 45, 30]) == pytest.approx(0.2, abs=0.01)
    assert float(scale[0, 0, 45, 300]) == pytest.approx(0.01, abs=0.003)
    assert torch.allclose(module.detail_scale(detail, torch.ones_like(hole)), torch.tensor(0.01))


def test_is_small_and_says_nothing_before_it_is_trained(batch):
    fresh = ResidualNet()
    assert sum(value.numel() for value in fresh.parameters()) < 1_700_000
    with torch.inference_mode():
        assert not fresh(batch[2], *batch[:2], torch.full((2,), 0.5)).any()


def test_only_high_frequencies_inside_the_hole_change(network, batch):
    prefill, hole, noise = batch
    with torch.inference_mode():
        drawn = sample(network, prefill, hole, noise, 3)
    known = (hole == 0).expand_as(drawn)
    assert torch.equal(drawn[known], prefill[known])
    change = float((drawn - prefill)[~known].square().mean().sqrt())
    low = float((_low(drawn, 5.0) - _low(prefill, 5.0)).square().mean().sqrt())
    assert change > 0.01
    assert low < 0.1 * change


def test_thin_holes_keep_no_low_frequencies_either():
    hole = torch.zeros(1, 1, 32, 64)
    hole[..., 15:17, 4:60] = 1
    left = high_only(torch.full((1, 3, 32, 64), 0.3), hole)
    assert float(left.abs().max()) < 1e-5


def test_an_exact_network_draws_the_truth(batch):
    prefill, hole, noise = batch
    truth = (prefill + 0.05 * hole * torch.randn(prefill.shape, generator=torch.Generator().manual_seed(9))).clamp(0, 1)
    scale = module.detail_scale(detail_of(prefill), hole)
    knowing = Knowing(detail_of(truth) / scale)
    drawn = sample(knowing, prefill, hole, noise, 7)
    wanted = prefill + high_only(detail_of(truth) - detail_of(prefill), hole)
    assert torch.allclose(drawn, wanted, atol=1e-3)
    assert len(knowing.times) == 7
    assert knowing.times == sorted(knowing.times, reverse=True)
    assert knowing.times[0] == 1


def test_signal_and_noise_keep_their_power():
    signal, sigma = mixture(torch.linspace(0, 1, 11))
    assert torch.allclose(signal.square() + sigma.square(), torch.ones(11), atol=1e-6)
    assert abs(float(signal[-1])) < 1e-6
    assert float(sigma[0]) < 0.02


def test_is_the_same_after_saving_and_loading(network, batch, tmp_path):
    save_file(network.state_dict(), tmp_path / "residual.safetensors")
    share = torch.full((2,), 0.5)
    with torch.inference_mode():
        first = network(batch[2], *batch[:2], share)
        second = load_residual_net(tmp_path / "residual.safetensors")(batch[2], *batch[:2], share)
    assert first.abs().max() > 0.01
    assert torch.allclose(first, second, atol=1e-4)


def test_weights_of_something_else_are_refused(tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match="does not hold the weights of the residual network"):
        load_residual_net(tmp_path / "other.safetensors")
