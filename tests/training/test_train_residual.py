"""Training the residual network: a loss that falls, a checkpoint, weights with a card."""

import hashlib

import holes
import numpy as np
import pytest
import torch
import train_residual as training
from train_fill import Crops

from cleanplate.evaluation.photographs import list_photographs
from cleanplate.models.residual_net import detail_of, detail_scale, load_residual_net, mixture


class First(torch.nn.Module):
    """A pre-fill that believes the first of the fills."""

    def forward(self, fills, hole):
        return fills[:, 0]


@pytest.fixture(scope="module")
def crops(tmp_path_factory, library, photos):
    folder = tmp_path_factory.mktemp("holes")
    holes.fill_cache(list_photographs([photos]), library, folder, 3, 1)
    crops = Crops(folder)
    assert crops.refresh() == 1
    return crops


@pytest.fixture
def arguments(tmp_path):
    words = ["--work", str(tmp_path), "--out", str(tmp_path / "residual.safetensors"), "--batch", "4"]
    return training.parse([*words, "--device", "cpu", "--precision", "float32", "--rate", "2e-3"])


def test_an_exact_velocity_costs_nothing(crops):
    _, hole, truth = training.to_tensors(crops.draw(4, np.random.default_rng(0)), "cpu")
    prefill = torch.where(hole > 0, torch.full_like(truth, 0.5), truth)
    share, noise = torch.tensor([0.1, 0.4, 0.7, 0.95]), torch.randn(truth.shape)
    clean = detail_of(truth) / detail_scale(detail_of(prefill), hole)
    signal, sigma = (weight[:, None, None, None] for weight in mixture(share))
    exact = signal * noise - sigma * clean
    loss = training.velocity_loss(lambda *_: exact, prefill, hole, truth, share, noise)
    assert float(loss) < 1e-9
    other = training.velocity_loss(lambda *_: 0 * exact, prefill, hole, truth, share, noise)
    assert float(other) > 0.1


def test_loss_falls_on_a_few_crops(arguments, crops):
    torch.set_num_threads(1)
    trainer = training.Trainer(arguments, First())
    trainer.rng = np.random.default_rng(0)
    losses = [trainer.step(crops, 0.1) for _ in range(24)]
    assert np.mean(losses[-8:]) < 0.9 * np.mean(losses[:4])


def test_goes_on_from_the_checkpoint_and_writes_weights_and_card(arguments, crops):
    first = training.Trainer(arguments, First())
    first.step(crops, 0.1)
    first.report([0.75], crops)
    second = training.Trainer(arguments, First())
    assert second.progress.steps == 1
    for name, value in first.network.state_dict().items():
        assert torch.equal(value, second.network.state_dict()[name])
    card = arguments.out.with_suffix(".md").read_text()
    assert hashlib.sha256(arguments.out.read_bytes()).hexdigest() in card
    assert "| 1 | 0.7500 |" in card
    loaded = load_residual_net(arguments.out).state_dict()
    for name, value in first.mean.state_dict().items():
        assert torch.allclose(loaded[name], value, atol=1e-3)
