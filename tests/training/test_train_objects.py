"""Training the object network: samples with the truth, a loss that falls, a checkpoint, weights with a card."""

import numpy as np
import pytest
import silhouettes
import torch
import train_objects as training
from stacks import Stacks

from cleanplate.evaluation.photographs import list_photographs
from cleanplate.models.object_net import SIDE_PX, load_object_net


def bottle():
    """A thing with an outline of its own, RGBA."""
    thing = np.zeros((90, 40, 4), np.uint8)
    thing[:30, 14:26] = thing[30:, :] = (200, 60, 40, 255)
    return thing


@pytest.fixture(scope="module")
def cache(tmp_path_factory, photos):
    folder = tmp_path_factory.mktemp("objects")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(silhouettes, "SAMPLES_PER_FILE", 12)
        patch.setattr(silhouettes, "pictographs", lambda split: (bottle(),))
        silhouettes.fill_cache(list_photographs([photos]), None, folder, 3, 1)
    return folder


@pytest.fixture
def samples(cache):
    found = Stacks(cache, training.turned)
    found.refresh()
    return found


@pytest.fixture
def arguments(tmp_path):
    words = ["--photos", "x", "--work", str(tmp_path), "--out", str(tmp_path / "objects.safetensors")]
    return training.parse([*words, "--batch", "4", "--device", "cpu", "--precision", "float32", "--rate", "3e-3"])


def test_a_sample_holds_the_window_the_hint_and_the_truth(samples):
    stored = samples.all()[0]
    assert stored["picture"].shape == (12, SIDE_PX, SIDE_PX, 3)
    for number in range(12):
        maybe, sure, thing, shade = (stored[name][number] for name in ("maybe", "sure", "thing", "shade"))
        assert thing.mean() >= 0.01
        assert not (thing & shade).any()
        assert (thing & maybe).sum() > 0.7 * thing.sum()
        assert (sure & thing).sum() >= 0.7 * sure.sum()
    assert 0 < (stored["shade"].mean(axis=(1, 2)) > 0).mean() < 1


def test_turning_a_sample_keeps_its_parts_together(samples):
    stored = {name: values[0] for name, values in samples.all()[0].items()}
    flips = set()
    for seed in range(8):
        turned = training.turned(stored, np.random.default_rng(seed))
        flipped = not np.array_equal(turned["thing"], stored["thing"])
        flips.add(flipped)
        for name in ("sure", "maybe", "likely", "grabbed", "thing", "shade"):
            assert np.array_equal(turned[name], np.flip(stored[name], 1) if flipped else stored[name])
    assert flips == {False, True}


def test_loss_falls_on_a_few_samples(arguments, samples):
    torch.set_num_threads(1)
    trainer = training.ObjectTrainer(arguments)
    losses = []
    for _ in range(20):
        trainer.rng = np.random.default_rng(0)
        losses.append(trainer.step(samples, 0.1))
    assert losses[-1] < losses[0] - 0.05


def test_goes_on_from_the_checkpoint_and_writes_weights_and_card(arguments, samples, goes_on):
    trainer = training.ObjectTrainer(arguments)
    trainer.step(samples, 0.1)
    trainer.report([0.75], samples)
    assert goes_on(trainer, lambda: training.ObjectTrainer(arguments), load_object_net)


def test_what_is_measured_is_overlap(samples):
    """A network that returns the truth overlaps wholly; one that finds all overlaps by the share of the truth."""
    stored = samples.all()[0]
    _, truth = training.to_tensors(stored, "cpu")

    class Says(torch.nn.Module):
        def __init__(self, logits):
            super().__init__()
            self.logits = logits

        def forward(self, picture, hints):
            return self.logits

    assert training.measure(Says(truth - 0.5), [stored], "cpu")[1:] == pytest.approx((1.0, 1.0))
    everywhere = training.measure(Says(torch.ones_like(truth)), [stored], "cpu")
    assert everywhere[1] == pytest.approx(float(truth[:, 0].mean()))


def test_loss_is_least_at_the_truth():
    truth = torch.zeros(1, 2, 16, 16)
    truth[:, 0, 4:10, 4:12] = 1
    right, wrong = (training.loss_of(sign * (truth - 0.5) * 12, truth) for sign in (1, -1))
    assert right < 0.1 < wrong
