"""Training the deartifact network: crops after JPEG, a loss that falls, a checkpoint, weights with a card."""

import cv2
import numpy as np
import patches
import pytest
import torch
import train_deartifact as training

from cleanplate.evaluation.photographs import list_photographs
from cleanplate.models import deartifact_net, ffdnet
from cleanplate.models.deartifact_net import BLIND


@pytest.fixture(scope="module")
def photographs(photos):
    read = patches.Photographs.read(list_photographs([photos]))
    rng = np.random.default_rng(0)
    grained = [np.clip(p + rng.normal(0, 8, p.shape[:2])[..., None], 0, 255).astype(np.uint8) for p in read.pictures]
    return patches.Photographs(grained)


@pytest.fixture
def arguments(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "DeartifactNet", lambda: deartifact_net.DeartifactNet(16, 12))
    monkeypatch.setattr(training, "load_ffdnet", lambda *_: ffdnet.Ffdnet(16, 12))
    monkeypatch.setattr(training, "_MEASURED_COUNT", 2)
    torch.set_num_threads(1)
    words = ["--photos", "x", "--work", str(tmp_path), "--out", str(tmp_path / "deartifact.safetensors")]
    return training.parse([*words, "--batch", "2", "--crop-px", "32", "--device", "cpu"])


def blockiness(picture, row):
    """Mean step across the rows that begin a block, over the mean step across all."""
    steps = np.abs(np.diff(picture.astype(float).mean(axis=2), axis=0)).mean(axis=1)
    return steps[(7 - row) % 8 :: 8].mean() / steps.mean()


def test_a_crop_knows_its_grid(photographs, monkeypatch):
    monkeypatch.setattr(patches, "draw_quality", lambda rng: 5)
    rng = np.random.default_rng(1)
    crops = [patches.make_jpeg_crop(photographs, 64, rng) for _ in range(60)]
    known = [crop for crop in crops if crop.grid[0] >= 0]
    assert len(known) >= 45
    on = np.mean([blockiness(crop.seen, crop.grid[0]) for crop in known])
    off = np.mean([blockiness(crop.seen, crop.grid[0] + 4) for crop in known])
    assert on > 1.5 * off


def test_crops_are_told_the_quality_unless_they_are_blind(photographs):
    rng = np.random.default_rng(2)
    told = np.array([patches.make_jpeg_crop(photographs, 32, rng).quality for _ in range(200)])
    assert 0.04 < (told == BLIND).mean() < 0.25
    assert told[told != BLIND].min() >= 3
    assert told[told != BLIND].max() <= 97


def test_a_crop_differs_from_its_truth_by_the_jpeg_alone(photographs):
    rng = np.random.default_rng(3)
    for _ in range(20):
        crop = patches.make_jpeg_crop(photographs, 48, rng)
        assert crop.seen.shape == crop.truth.shape == (48, 48, 3)
        assert 0 < np.abs(crop.seen.astype(int) - crop.truth).mean() < 20


def test_large_photographs_are_halved(tmp_path):
    cv2.imwrite(str(tmp_path / "large.png"), np.zeros((300, 1200, 3), np.uint8))
    assert patches.Photographs.read([tmp_path / "large.png"]).pictures[0].shape == (150, 600, 3)


def test_levels_are_what_jpeg_changes_at_each_quality(photographs):
    network = deartifact_net.DeartifactNet(8, 12)
    training.measure_levels(network, patches.Photographs(photographs.pictures[:1]), np.random.default_rng(0))
    level = network.log_level.detach().exp()
    assert (level[:-2].diff() < 0).all()
    assert level[-2] < level[-1] < level[0]
    rng = np.random.default_rng(1)
    crops = [photographs.patch(128, rng) for _ in range(8)]
    change = np.mean([(patches.compress(c, 20).astype(float) - c).std() for c in crops]) / 255
    assert 0.6 < float(level[3]) / change < 1.6


def test_loss_falls_on_a_few_crops(arguments, photographs):
    trainer = training.DeartifactTrainer(arguments, photographs)
    losses = []
    for _ in range(20):
        trainer.rng = np.random.default_rng(0)
        losses.append(trainer.step(0.1))
    assert losses[-1] < losses[0] - 0.01


def test_goes_on_from_the_checkpoint_and_writes_weights_and_card(arguments, photographs, goes_on):
    trainer = training.DeartifactTrainer(arguments, photographs)
    trainer.step(0.1)
    trainer.report([0.75], [photographs.pictures[0][:64, :64]])
    assert goes_on(trainer, lambda: training.DeartifactTrainer(arguments, photographs))
    assert len(trainer.progress.scores[0]) == 8
