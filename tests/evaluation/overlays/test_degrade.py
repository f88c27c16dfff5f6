"""Degradation changes the picture, and the truth only by scale."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from cleanplate.evaluation.overlays import Degradation, OverlayStyle, degrade, generate, sample_degradation
from cleanplate.evaluation.overlays.degrade import jpeg


@pytest.fixture
def sample(photograph, fonts):
    return generate(photograph, 3, [OverlayStyle(size_px=30), OverlayStyle(kind="stamp", design="square")], fonts)


def test_noise_has_the_asked_strength_and_leaves_the_truth(sample):
    noisy = degrade(sample, Degradation(noise=5.0), np.random.default_rng(0))
    residual = noisy.picture.astype(float) - sample.picture
    middle = (sample.picture > 30) & (sample.picture < 225)
    assert residual[middle].std() == pytest.approx(5.0, rel=0.05)
    assert noisy.influence is sample.influence
    assert noisy.clean is sample.clean


def test_scaling_takes_picture_truth_and_records_along(sample):
    half = degrade(sample, Degradation(scale=0.5), np.random.default_rng(0))
    assert half.picture.shape == (100, 130, 3)
    assert half.influence.shape == half.alpha.shape == half.kinds["stamp"].shape == (100, 130)
    assert half.influence.sum() * 4 == pytest.approx(sample.influence.sum(), rel=0.01)
    for before, after in zip(sample.overlays, half.overlays, strict=True):
        np.testing.assert_allclose(after.polygon * 2, before.polygon, rtol=1e-5)
        assert after.style.size_px == before.style.size_px / 2
        assert after.alpha.shape == (after.box.height, after.box.width)


def test_the_composite_still_holds_after_shrinking(sample):
    half = degrade(sample, Degradation(scale=0.5), np.random.default_rng(0))
    recomposed = half.clean * (1 - half.alpha[..., None]) + half.ink
    assert np.abs(recomposed - half.picture).mean() < 2.0


@pytest.mark.parametrize(("quality", "halve"), [(40, True), (90, False)])
def test_jpeg_loses_as_much_as_pillow_s(photograph, quality, halve):
    stream = BytesIO()
    Image.fromarray(photograph).save(stream, "JPEG", quality=quality, subsampling=2 if halve else 0)
    reference = np.asarray(Image.open(stream).convert("RGB"), float)
    ours = jpeg(photograph, quality, halve).astype(float)
    error, expected = (np.abs(x - photograph).mean() for x in (ours, reference))
    assert error == pytest.approx(expected, rel=0.05)
    assert np.abs(ours - reference).mean() < 1.5


def test_the_spread_of_degradations_is_the_stated_one():
    drawn = [sample_degradation(np.random.default_rng(seed)) for seed in range(600)]
    compressed = [d for d in drawn if d.quality]
    assert 0.78 < len(compressed) / 600 < 0.9
    assert min(d.quality for d in compressed) >= 30
    assert max(d.quality for d in compressed) <= 95
    assert 0.1 < np.mean([d.scale != 1 for d in drawn]) < 0.3
