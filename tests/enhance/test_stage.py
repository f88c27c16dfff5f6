"""The stage within the pipeline: what is touched, what is left alone, what the row says."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

from cleanplate.attempts import Edit
from cleanplate.config import load_config
from cleanplate.enhance.stage import Enhancers, enhance
from cleanplate.errors import ConfigError
from cleanplate.image import Carried, Image
from cleanplate.metrics.psnr import psnr
from cleanplate.models.registry import Registry
from cleanplate.pipeline import Plan
from cleanplate.records import Box, GivenRegion, Job, WholeDiff
from cleanplate.spark.stream import SourceRow, clean_stream
from cleanplate.spark.wide import RunKey, wide_row
from cleanplate.warehouse.schemas import STAGING

MARK = GivenRegion(Box(20, 20, 60, 40), "object")
PLAIN = ["detect.detectors=[given]", "source.guard=none", "metrics.lpips=false", "models.device=cpu"]


@pytest.fixture(scope="module")
def plan():
    """Makes plans without detectors, all of which share one codec."""
    torch.set_num_threads(1)
    base = Plan.load(load_config(overrides=PLAIN))

    def make(*overrides, profile=None):
        config = load_config(profile, overrides=[*PLAIN, *overrides])
        return replace(base, config=config, enhancers=Enhancers.load(config, base.registry, "cpu"))

    yield make
    base.codec.close()


@pytest.fixture
def write(tmp_path):
    """Writes pixels as a file and returns its path."""

    def make(name, pixels, **options):
        PillowImage.fromarray(pixels).save(tmp_path / name, **options)
        return str(tmp_path / name)

    return make


@pytest.fixture(scope="module")
def smooth(photo):
    return np.ascontiguousarray(photo[:96, :128])


@pytest.fixture(scope="module")
def noisy(smooth):
    return np.clip(np.rint(smooth + np.random.default_rng(1).normal(0, 14, smooth.shape)), 0, 255).astype(np.uint8)


def _clean(plan, path, **row):
    (found,) = clean_stream([SourceRow("a", path, **row)], plan)
    return found


def _pixels(outcome):
    return np.array(PillowImage.open(io.BytesIO(outcome.data)))


def test_by_default_nothing_is_touched_or_even_looked_at(plan, write, noisy, monkeypatch):
    monkeypatch.setattr("cleanplate.enhance.stage.analyse", None)
    for name, options in (("a.png", {}), ("a.jpg", {"quality": 30})):
        outcome = _clean(plan(), write(name, noisy, **options)).outcome
        assert (outcome.status, outcome.data, outcome.enhancement, outcome.diff) == ("unchanged", None, None, None)


def test_an_image_that_needs_nothing_keeps_its_bytes_and_says_why(plan, write, smooth):
    asked = plan("enhance.steps=[denoise, polish]", "enhance.polish_above=5")
    outcome = _clean(asked, write("a.jpg", smooth, quality=98)).outcome
    assert (outcome.status, outcome.data) == ("unchanged", None)
    assert outcome.enhancement.steps == ()
    assert ": no denoise; " in outcome.enhancement.reason
    assert outcome.enhancement.analysis["jpeg_quality"] == 98


def test_noise_that_is_measured_goes(plan, write, noisy, smooth):
    outcome = _clean(plan("enhance.steps=[denoise]"), write("a.png", noisy)).outcome
    assert (outcome.status, outcome.width, outcome.confidence) == ("cleaned", 128, 1.0)
    (step,) = outcome.enhancement.steps
    assert step.reason.startswith("noise 1")
    assert step.reason.endswith(" > 4: denoise")
    assert step.seconds > 0
    assert "enhance" in outcome.timings
    error = [np.abs(p.astype(float) - smooth).mean() for p in (noisy, _pixels(outcome))]
    assert error[1] < 0.6 * error[0]
    assert {"no_reference_before", "no_reference_after"} <= set(outcome.metrics)
    assert isinstance(outcome.diff, WholeDiff)
    assert PillowImage.open(io.BytesIO(outcome.diff.picture)).size == (128, 96)
    assert not outcome.enhancement.synthetic


def test_artefacts_go_and_stay_gone_in_the_file_that_is_written(plan, write, smooth):
    path = write("a.jpg", smooth, quality=25)
    gains = []
    for least in (1, 92):
        asked = plan("enhance.steps=[deartifact, denoise]", f"enhance.jpeg_quality={least}")
        outcome = _clean(asked, path).outcome
        assert [step.name for step in outcome.enhancement.steps] == ["deartifact"]
        assert outcome.enhancement.reason.startswith("JPEG quality 25 by its tables < 75: deartifact; ")
        gains.append(psnr(_pixels(outcome), smooth) - psnr(np.array(PillowImage.open(path)), smooth))
    assert gains[1] > gains[0] + 0.1, "the source's own tables take the gain back"
    assert gains[1] > 0.2


def test_the_strength_is_how_far_it_goes(plan, write, noisy):
    path = write("a.png", noisy)
    plans = [plan("enhance.steps=[denoise]", f"enhance.strength={strength}") for strength in (0.5, 1.0)]
    half, full = (np.abs(_pixels(_clean(asked, path).outcome).astype(int) - noisy).mean() for asked in plans)
    assert half == pytest.approx(0.5 * full, rel=0.1)


def test_removal_comes_first_and_counts_at_the_sources_size(plan, write, smooth):
    marked = smooth.copy()
    marked[24:36, 24:56] = (250, 20, 20)
    asked = plan("upscale.photograph=lanczos", "upscale.document=lanczos", "verify.min_confidence=0")
    outcome = _clean(asked, write("a.jpg", marked, quality=90), regions=(MARK,), upscale=2).outcome
    assert (outcome.status, outcome.width, outcome.height) == ("cleaned", 256, 192)
    (region,) = outcome.regions
    assert region.decision == "filled"
    assert region.metrics["seam"] >= 0
    red = _pixels(outcome)[50:70, 50:110].astype(int)
    assert (red[..., 0] - red[..., 1]).mean() < 60, "the red mark is gone in what was upscaled"
    assert outcome.metrics["changed_share"] < 1
    assert isinstance(outcome.diff, WholeDiff)


def test_without_weights_another_upscaler_stands_in_and_the_reason_says_so(plan, write, smooth, monkeypatch):
    monkeypatch.setattr("cleanplate.enhance.stage._FALLBACKS", ("lanczos",))
    asked = plan("upscale.photograph=generative", "upscale.factor=4")
    outcome = _clean(asked, write("a.png", smooth)).outcome
    (step,) = outcome.enhancement.steps
    assert (step.name, step.scale) == ("lanczos", 4)
    assert "generative is not to be had (no model 'realesrgan' in the registry" in step.reason
    assert step.reason.endswith("lanczos instead")
    assert (outcome.width, outcome.height) == (512, 384)


@pytest.mark.parametrize(
    ("row", "overrides", "why"),
    [
        ({"regions": (MARK,)}, ["verify.min_confidence=1"], "a region goes to review: not enhanced"),
        ({"regions": (GivenRegion(MARK.box, "watermark"),)}, [], "refused for want of rights: not enhanced"),
    ],
)
def test_what_goes_to_review_or_is_refused_is_left_alone(plan, write, noisy, row, overrides, why):
    found = _clean(plan("enhance.steps=[denoise]", *overrides), write("a.png", noisy), **row).outcome
    assert found.status in ("review", "refused")
    assert (found.data, found.enhancement.steps) == (None, ())
    assert why in found.enhancement.reason


def test_16_bits_are_left_alone(plan, write, noisy):
    deep = noisy[..., 0].astype(np.uint16) * 257
    outcome = _clean(plan("enhance.steps=[denoise]"), write("a.png", deep)).outcome
    assert outcome.status == "unchanged"
    assert "16 bits" in outcome.enhancement.reason


def test_what_is_too_large_or_forbidden_is_refused_before_any_work(plan, write, smooth):
    path = write("a.png", smooth)
    cases = [
        (plan("source.max_pixels=150000"), 4, "512 x 384 pixels"), (plan("upscale.largest=2"), 4, "upscale.largest=2"),
        (plan(profile="forensic"), 2, "upscale.largest=1"),
    ]  # fmt: skip
    for asked, factor, words in cases:
        outcome = _clean(asked, path, upscale=factor).outcome
        assert (outcome.status, outcome.error.stage) == ("refused", "request")
        assert words in outcome.error.message


def test_the_forensic_profile_enhances_nothing(plan, write, noisy):
    outcome = _clean(plan(profile="forensic"), write("a.png", noisy)).outcome
    assert (outcome.status, outcome.enhancement) == ("unchanged", None)


def test_a_share_must_have_become_a_score():
    config = load_config(overrides=["enhance.worst_share=0.2"])
    registry = Registry.load(config.models)
    with pytest.raises(ConfigError, match=r"enhance\.worst_share=0\.2 is a share of a batch"):
        Enhancers.load(config, registry, "cpu")


def test_the_row_says_all_of_it(plan, write, noisy):
    asked = plan("enhance.steps=[denoise]", "upscale.photograph=lanczos", "upscale.document=lanczos")
    found = _clean(asked, write("a.png", noisy), upscale=2)
    row = wide_row(RunKey("b", "b-r0001", 0, "c0ffee"), found, "/results/a.png")
    assert set(row) == set(STAGING.fieldNames())
    assert [step["name"] for step in row["enhancements"]] == ["denoise", "lanczos"]
    assert set(row["enhancements"][0]) == {field.name for field in STAGING["enhancements"].dataType.elementType}
    assert (row["synthetic"], row["width"], row["diff"]["kind"], row["diff"]["patch"]) == (False, 256, "whole", None)
    assert row["analysis"]["noise_rgb"] > 4
    assert row["origin"] in ("camera", "scan", "screenshot", "social_jpeg")
    assert set(row["diff"]) == {field.name for field in STAGING["diff"].dataType}
    plain = wide_row(RunKey("b", "b-r0001", 0, "c0ffee"), _clean(plan(), write("b.png", noisy)), None)
    assert (plain["synthetic"], plain["enhancements"], plain["analysis"]) == (False, [], {})


def test_a_denoiser_sees_fills_without_the_grain_that_was_given_back(plan, noisy, monkeypatch):
    seen = []
    asked = plan("enhance.steps=[denoise]")
    monkeypatch.setattr(asked.enhancers.step("denoise"), "apply", lambda rgb, analysis: seen.append(rgb) or rgb)
    grainless = np.full_like(noisy, 7)
    job = Job("a", Image(noisy, noisy, Carried("PNG", "image/png", "RGB"), b""))
    edit = Edit(job, noisy, np.zeros(noisy.shape[:2], np.float32), (), grainless=grainless)
    enhance([edit], asked.enhancers)
    assert seen[0] is grainless
    calm = plan("enhance.steps=[denoise]", "enhance.denoise_above=60")
    (left,) = enhance([edit], calm.enhancers)
    assert left.enhancement.rgb is None, "no denoising, so the grain stays"
