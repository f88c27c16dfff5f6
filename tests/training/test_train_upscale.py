"""Training the upscale network: pages, small pictures, a loss that falls, a checkpoint, weights with a card."""

import numpy as np
import pages
import pytest
import torch
import train_upscale as training
from patches import Photographs

from cleanplate.evaluation.photographs import list_photographs
from cleanplate.models import upscale_net


@pytest.fixture(scope="module")
def sources(photos, library):
    rng = np.random.default_rng(0)
    return training.Sources(
        Photographs.read(list_photographs([photos])), Photographs([pages.draw_page(rng, library) for _ in range(2)])
    )


@pytest.fixture
def arguments(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "UpscaleNet", lambda: upscale_net.UpscaleNet(8, 2))
    torch.set_num_threads(1)
    words = ["--photos", "x", "--work", str(tmp_path), "--out", str(tmp_path / "upscale.safetensors")]
    return training.parse([*words, "--batch", "4", "--crop-px", "24", "--device", "cpu", "--rate", "3e-3"])


def test_a_page_holds_writing_on_paper(sources):
    for page in sources.pages.pictures:
        assert page.shape == (pages.PAGE_PX, pages.PAGE_PX, 3)
        values, counts = np.unique(page.reshape(-1, 3), axis=0, return_counts=True)
        assert 0.25 < counts.max() / counts.sum() < 0.995
        assert len(values) > 10


def test_small_pictures_are_half_of_their_truth(sources):
    rng = np.random.default_rng(1)
    for _ in range(20):
        small, truth = sources.draw(24, rng)
        assert small.shape == (24, 24, 3)
        assert truth.shape == (48, 48, 3)
        assert np.abs(training.halve(truth).astype(int) - small).mean() < 8


def test_loss_falls_on_a_few_crops(arguments, sources):
    trainer = training.UpscaleTrainer(arguments, training.Sources(sources.pages, sources.pages))
    losses = []
    for _ in range(20):
        trainer.rng = np.random.default_rng(0)
        losses.append(trainer.step(0.1))
    assert losses[-1] < losses[0] - 0.01


def test_goes_on_from_the_checkpoint_and_writes_weights_and_card(arguments, sources, goes_on):
    trainer = training.UpscaleTrainer(arguments, sources)
    trainer.step(0.1)
    trainer.report([0.75], [[sources.photographs.pictures[0]], [sources.pages.pictures[0]]])
    assert goes_on(trainer, lambda: training.UpscaleTrainer(arguments, sources))
