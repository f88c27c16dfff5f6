"""Training the fill network: crops with fills, a loss that falls, a checkpoint, weights with a card."""

import holes
import numpy as np
import pytest
import torch
import train_fill as training
from stacks import Stacks

from cleanplate.evaluation.photographs import list_photographs
from cleanplate.fill.network import base_fills
from cleanplate.models.fill_net import load_fill_net


@pytest.fixture(scope="module")
def cache(tmp_path_factory, library, photos):
    folder = tmp_path_factory.mktemp("holes")
    holes.fill_cache(list_photographs([photos]), library, folder, 3, 1)
    return folder


@pytest.fixture
def crops(cache):
    found = Stacks(cache, training.turned)
    assert found.refresh() == 1
    return found


@pytest.fixture
def arguments(tmp_path):
    words = ["--photos", "x", "--work", str(tmp_path), "--out", str(tmp_path / "fill.safetensors")]
    return training.parse([*words, "--batch", "4", "--device", "cpu", "--precision", "float32", "--rate", "1e-3"])


def test_a_crop_holds_truth_hole_and_fills_that_agree_outside(crops):
    stored = crops.all()[0]
    assert stored["fills"].shape == (holes.CROPS_PER_FILE, 3, holes.SIDE_PX, holes.SIDE_PX, 3)
    for truth, hole, fills in zip(stored["truth"], stored["hole"], stored["fills"], strict=True):
        assert 0 < hole.mean() <= 0.4
        assert np.array_equal(fills, base_fills(truth, hole))
        assert all(np.array_equal(fill[hole == 0], truth[hole == 0]) for fill in fills)


def test_the_same_seed_makes_the_same_file(cache, library, photos, tmp_path):
    holes.fill_cache(list_photographs([photos]), library, tmp_path, 3, 1)
    with np.load(tmp_path / "000003.npz") as one, np.load(cache / "000003.npz") as other:
        assert all(np.array_equal(one[name], other[name]) for name in one.files)


def test_turning_a_crop_keeps_its_parts_together(crops):
    drawn = crops.draw(6, np.random.default_rng(1))
    for each, mask, wanted in zip(*(drawn[name] for name in ("fills", "hole", "truth")), strict=True):
        assert np.array_equal(each[0][mask == 0], wanted[mask == 0])


def test_loss_falls_on_a_few_crops(arguments, crops):
    torch.set_num_threads(1)
    trainer = training.FillTrainer(arguments)
    trainer.rng = np.random.default_rng(0)
    losses = [trainer.step(crops, 0.1) for _ in range(24)]
    assert np.mean(losses[-8:]) < np.mean(losses[:4]) - 0.1


def test_goes_on_from_the_checkpoint_and_writes_weights_and_card(arguments, crops, goes_on):
    trainer = training.FillTrainer(arguments)
    trainer.step(crops, 0.1)
    trainer.report([0.75], crops)
    assert goes_on(trainer, lambda: training.FillTrainer(arguments), load_fill_net)


def test_gains_are_measured_inside_the_hole(crops):
    class Truth(torch.nn.Module):
        def forward(self, fills, hole):
            return self.truth

    stored = crops.all()[0]
    network = Truth()
    network.truth = training.to_tensors(stored, "cpu")[2]
    over_mean, over_best = training.measure(network, [stored], "cpu")
    assert over_mean > 5
    assert over_best > 5
