"""Training the residual network: a loss that falls, a checkpoint, weights with a card."""

import holes
import numpy as np
import pytest
import torch
import train_residual as training
from stacks import Stacks

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
    crops = Stacks(folder, training.turned)
    assert crops.refresh() == 1
    return crops


@pytest.fixture
def arguments(tmp_path):
    folders = ["--photos", str(tmp_path), "--work", str(tmp_path), "--out", str(tmp_path / "residual.safetensors")]
    return training.parse([*folders, "--batch", "4", "--device", "cpu", "--precision", "float32", "--rate", "2e-3"])


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
    trainer = training.ResidualTrainer(arguments, First())
    trainer.rng = np.random.default_rng(0)
    losses = [trainer.step(crops, 0.1) for _ in range(24)]
    assert np.mean(losses[-8:]) < 0.9 * np.mean(losses[:4])


def test_goes_on_from_the_checkpoint_and_writes_weights_and_card(arguments, crops, goes_on):
    trainer = training.ResidualTrainer(arguments, First())
    trainer.step(crops, 0.1)
    trainer.report([0.75], crops)
    assert goes_on(trainer, lambda: training.ResidualTrainer(arguments, First()), load_residual_net)
