"""Training the un-blending network: crops with marks, a loss that falls, a checkpoint, weights with a card."""

import numpy as np
import pytest
import torch
import train_unblend as training
from stacks import Stacks

import marks
from cleanplate.config import MaskConfig
from cleanplate.evaluation.photographs import list_photographs
from cleanplate.fill.unblend import Diffusions
from cleanplate.models.unblend_net import load_unblend_net

HELPERS = marks.Helpers(
    (Diffusions(), Diffusions()), lambda picture: (picture[..., 0] > 150).astype(np.float32), MaskConfig()
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory, library, photos):
    folder = tmp_path_factory.mktemp("marks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(marks, "CROPS_PER_FILE", 8)
        patch.setattr(marks.Helpers, "load", lambda: HELPERS)
        marks.fill_cache(list_photographs([photos]), library, folder, 3, 1)
    return folder


@pytest.fixture
def crops(cache):
    found = Stacks(cache, training.turned)
    found.refresh()
    return found


@pytest.fixture
def arguments(tmp_path):
    words = ["--photos", "x", "--work", str(tmp_path), "--out", str(tmp_path / "unblend.safetensors")]
    return training.parse([*words, "--batch", "4", "--device", "cpu", "--precision", "float32", "--rate", "1e-3"])


def test_a_crop_holds_a_mark_its_estimate_and_the_truth(crops):
    stored = crops.all()[0]
    assert stored["picture"].shape == (8, marks.SIDE_PX, marks.SIDE_PX, 3)
    for number in range(8):
        picture, guess, truth, alpha, own = (stored[k][number] for k in ("picture", "guess", "truth", "alpha", "own"))
        assert 0.02 <= own.mean() <= 0.8
        assert np.array_equal(guess[own == 0], picture[own == 0])
        assert not alpha[own == 0].any()
        # JPEG moves what is near a mark, too: a little
        assert np.abs(picture[own == 0].astype(int) - truth[own == 0]).mean() < 4


def test_a_mask_as_seen_holds_the_mark_and_what_touches_it_of_the_scene():
    picture = np.full((96, 96, 3), 60, np.uint8)
    picture[40:44, 30:80] = picture[10:14, 10:80] = 220  # a bar that the mark touches, and another one
    truth = np.zeros((96, 96), np.uint8)
    truth[30:50, 30:36] = 1
    seen = marks._as_seen(picture, truth, HELPERS)
    assert seen[truth > 0].all()
    assert seen[40:44, 30:80].all()
    assert not seen[:20].any()


def test_turning_a_crop_keeps_its_parts_together(crops):
    drawn = crops.draw(8, np.random.default_rng(1))
    for picture, guess, own, alpha in zip(*(drawn[k] for k in ("picture", "guess", "own", "alpha")), strict=True):
        assert np.array_equal(picture[own == 0], guess[own == 0])
        assert not alpha[own == 0].any()


def test_loss_falls_on_a_few_crops(arguments, crops):
    torch.set_num_threads(1)
    trainer = training.UnblendTrainer(arguments)
    losses = []
    for _ in range(32):
        trainer.rng = np.random.default_rng(0)
        losses.append(trainer.step(crops, 0.1))
    assert losses[-1] < losses[0] - 0.05


def test_goes_on_from_the_checkpoint_and_writes_weights_and_card(arguments, crops, goes_on):
    trainer = training.UnblendTrainer(arguments)
    trainer.step(crops, 0.1)
    trainer.report([0.75], crops)
    assert goes_on(trainer, lambda: training.UnblendTrainer(arguments), load_unblend_net)


def test_what_is_measured_is_the_place_of_the_mark(crops):
    """A network that returns the truth there reaches the floor of 50 dB, whatever it says elsewhere."""
    stored = crops.all()[0]
    given = training.to_tensors(stored, "cpu")

    class Truth(torch.nn.Module):
        def forward(self, *planes):
            own = planes[-1] > 0
            return training.Uncovered(torch.where(own, given["truth"], 0.0), planes[1], planes[3], planes[-1])

    guess, _, found = training.measure(Truth(), [stored], "cpu")
    assert found == pytest.approx(50)
    assert guess < 45
