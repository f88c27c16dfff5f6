"""The training loop: the loss falls, a checkpoint is taken up again, weights and card are those of the best step."""

import hashlib
import json

import crops
import numpy as np
import pytest
import torch
import train_strokes as training
from loop import fast_precision, schedule
from safetensors.torch import load_file, save_file

from cleanplate.errors import ModelError
from cleanplate.evaluation.photographs import list_photographs
from cleanplate.models.stroke_net import CHANNELS, FEATURE_STRIDES, StrokeNet, load_stroke_net


@pytest.fixture(scope="module")
def cache(tmp_path_factory, library, photos):
    folder = tmp_path_factory.mktemp("cache")
    crops.fill_cache(list_photographs([photos]), library, folder, 0, 4)
    return sorted(folder.glob("*.npz"))


@pytest.fixture
def arguments(tmp_path):
    words = ["--photos", "x", "--work", str(tmp_path), "--out", str(tmp_path / "strokes.safetensors")]
    return training.parse([*words, "--batch", "2", "--side", "64", "--device", "cpu", "--precision", "float32"])


def test_loss_falls_on_a_few_crops(arguments, cache):
    torch.set_num_threads(1)
    trainer = training.StrokeTrainer(arguments)
    losses = [trainer.step(cache, 0.1) for _ in range(25)]
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])


@pytest.mark.parametrize("bare", [False, True])
def test_crops_are_made_with_and_without_bare_photographs(arguments, photos, monkeypatch, bare):
    made = []
    monkeypatch.setattr(training, "fill_cache", lambda *given: made.append(given))
    monkeypatch.setattr(training.os, "nice", lambda by: None)
    arguments.photos, arguments.bare = [photos], [photos] if bare else arguments.bare
    training._make_crops(arguments)
    everything = list_photographs([photos])
    assert made[1][0] == everything
    assert made[1][-1] == (everything if bare else [])


def test_goes_on_from_the_checkpoint(arguments, cache):
    first = training.StrokeTrainer(arguments)
    for _ in range(3):
        first.step(cache, 0.1)
    first.report([1.0], cache, cache[:1])
    second = training.StrokeTrainer(arguments)
    assert second.progress.steps == 3
    assert second.progress.scores == [[3, first.progress.scores[0][1]]]
    for name, value in first.network.state_dict().items():
        assert torch.equal(value, second.network.state_dict()[name])
    moments = [state["exp_avg"].abs().sum() for state in second.optimizer.state.values()]
    assert sum(moments) > 0


def test_weights_and_card_are_written_where_the_score_improves(arguments, cache):
    trainer = training.StrokeTrainer(arguments)
    trainer.step(cache, 0.1)
    trainer.report([1.5], cache, cache[:1])
    digest = hashlib.sha256(arguments.out.read_bytes()).hexdigest()
    card = arguments.out.with_suffix(".md").read_text()
    assert digest in card
    assert "CC BY-SA 4.0" in card
    assert "| 1 | 1.5000 |" in card
    picture, features, _ = training.to_tensors([crops.read_crop(cache[0])], "cpu")
    with torch.inference_mode():
        calibrated = training.calibrate(trainer.mean, cache, "cpu")
        loaded = load_stroke_net(arguments.out)
        assert torch.allclose(loaded(picture, features), calibrated(picture, features), atol=1e-5)
    trainer.progress.best = 2.0
    trainer.report([], cache, cache[:1])
    assert hashlib.sha256(arguments.out.read_bytes()).hexdigest() == digest
    state = torch.load(arguments.work / "checkpoint.pt", weights_only=True)
    assert json.loads(state["progress"])["best"] == 2.0


def test_calibrated_statistics_are_those_of_the_crops(arguments, cache):
    trainer = training.StrokeTrainer(arguments)
    before = {name: value.clone() for name, value in trainer.mean.state_dict().items()}
    calibrated = training.calibrate(trainer.mean, cache, "cpu")
    first = trainer.mean.stem[0][0]
    pictures, _, _ = training.to_tensors([crops.read_crop(path) for path in cache], "cpu")
    with torch.inference_mode():
        features = first(torch.nn.functional.pixel_unshuffle(pictures * 2 - 1, 2))
    mean = calibrated.stem[0][1].running_mean
    assert torch.allclose(mean, features.mean(dim=(0, 2, 3)), atol=1e-4)
    assert all(torch.equal(value, before[name]) for name, value in trainer.mean.state_dict().items())


def test_soft_dice_is_one_for_the_truth_and_near_zero_for_its_contrary():
    truth = (torch.rand(2, len(CHANNELS), 64, 64) > 0.5).float()
    assert torch.allclose(training.soft_dice(truth, truth), torch.ones(len(CHANNELS)))
    assert (training.soft_dice(1 - truth, truth) < 0.05).all()


def test_the_overlay_channel_weighs_double():
    truth = torch.zeros(1, len(CHANNELS), 32, 32)
    losses = []
    for channel in (0, 1):
        logits = torch.full_like(truth, -12.0)
        logits[:, channel] = 12.0
        losses.append(float(training.loss_of(logits, truth)))
    assert losses[0] == pytest.approx(2 * losses[1], rel=0.02)


def test_rate_warms_up_and_falls():
    shares = np.linspace(0, 1, 50)
    rates = [schedule(share) for share in shares]
    top = int(np.argmax(rates))
    assert 0.02 < shares[top] < 0.1
    assert rates[-1] == pytest.approx(0.01)
    assert all(a >= b for a, b in zip(rates[top:], rates[top + 1 :], strict=False))


def test_the_wide_network_begins_as_what_the_narrow_one_has_learnt(arguments, cache):
    first = training.StrokeTrainer(arguments)
    first.step(cache, 0.1)
    first.report([1.0], cache, cache[:1])
    (arguments.work / "checkpoint.pt").unlink()
    arguments.start, arguments.wide = arguments.out, True
    narrow = load_file(arguments.out)
    trainer = training.StrokeTrainer(arguments)
    own = trainer.network.state_dict()
    assert own["up4.block.first.weight"].shape[0] > narrow["up4.refine.0.weight"].shape[0]
    for name, value in narrow.items():
        assert torch.equal(own[name][tuple(slice(size) for size in value.shape)], value)
    losses = [trainer.step(cache, 0.1) for _ in range(3)]
    assert np.isfinite(losses).all()


@pytest.mark.parametrize("wide", [False, True])
def test_weights_that_lack_a_layer_are_no_start(arguments, wide):
    """What is missing would stay random, and nobody would know."""
    weights = StrokeNet().state_dict()
    del weights["up4.refine.0.weight"]
    arguments.start, arguments.wide = arguments.out, wide
    save_file(weights, arguments.start)
    with pytest.raises(ModelError, match="does not hold the weights of the stroke network"):
        training.StrokeTrainer(arguments)


def test_starts_from_given_weights_unless_there_is_a_checkpoint(arguments, cache):
    first = training.StrokeTrainer(arguments)
    first.step(cache, 0.1)
    first.report([1.0], cache, cache[:1])
    (arguments.work / "checkpoint.pt").rename(arguments.work / "kept.pt")
    arguments.start = arguments.out
    weights = load_file(arguments.out)
    second = training.StrokeTrainer(arguments)
    assert second.progress.steps == 0
    assert all(torch.equal(value, weights[name]) for name, value in second.network.state_dict().items())
    (arguments.work / "kept.pt").rename(arguments.work / "checkpoint.pt")
    third = training.StrokeTrainer(arguments)
    assert third.progress.steps == 1
    assert all(torch.equal(v, first.network.state_dict()[n]) for n, v in third.network.state_dict().items())


@pytest.mark.parametrize(("native", "expected"), [(True, "bf16"), (False, "float32")])
def test_bfloat16_only_where_the_processor_computes_in_it(monkeypatch, native, expected):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native, raising=False)
    assert fast_precision("cpu") == expected
    assert training.parse(["--photos", "x", "--device", "cpu"]).precision == expected


def test_features_are_cut_where_the_picture_is(arguments, cache):
    """A part of a crop is a part in all of its planes: the first value of each level is found where it was."""
    crop = crops.read_crop(cache[0])
    (part,) = training.sample_batch(cache[:1], 1, np.random.default_rng(3), 64)
    steps = range(0, 256 - 64 + 1, 16)
    shown = {(top, left): crop.picture[top : top + 64, left : left + 64, :3] for top in steps for left in steps}
    top, left = next(place for place, seen in shown.items() if np.array_equal(seen, part.picture[..., :3]))
    assert np.array_equal(part.truth, crop.truth[:, top : top + 64, left : left + 64])
    for level, whole, stride in zip(part.features, crop.features, FEATURE_STRIDES, strict=True):
        rows, columns = (slice(start // stride, (start + 64) // stride) for start in (top, left))
        assert np.array_equal(level, whole[:, rows, columns])


def test_crops_of_an_earlier_version_are_named(tmp_path):
    crops.write_arrays(tmp_path / "1.npz", picture=np.zeros((256, 256, 4), np.uint8), truth=np.zeros(1, np.uint8))
    with pytest.raises(RuntimeError, match=r"1\.npz has no features of the line detector: delete"):
        crops.read_crop(tmp_path / "1.npz")
