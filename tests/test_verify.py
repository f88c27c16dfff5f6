"""The verifier: a good fill passes, each defect lowers the confidence and is named."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from cleanplate.confidence import SIGNALS
from cleanplate.config import Config, ModelsConfig, VerifyConfig
from cleanplate.detect import build_detectors
from cleanplate.models.registry import Registry
from cleanplate.records import Box, Region
from cleanplate.residue import ghosts
from cleanplate.ring import dilate
from cleanplate.verify import Candidate, Verifier


@pytest.fixture(scope="module")
def detectors():
    config = Config(models=ModelsConfig(threads=1))
    return build_detectors(config, Registry.load(config.models), "cpu")


@pytest.fixture(scope="module")
def scene():
    """clean, with letters, hard mask of the letters."""
    y, x = np.mgrid[0:120, 0:320]
    noise = np.random.default_rng(2).normal(0, 2, (120, 320, 3))
    clean = np.clip(np.stack([80 + x / 8, 100 + y / 6, 120 + x / 10], axis=2) + noise, 0, 255).astype(np.uint8)
    image = Pillow.fromarray(clean)
    ImageDraw.Draw(image).text((40, 40), "Holiday 2024", font=ImageFont.load_default(36), fill=(255, 255, 255))
    letters = np.array(image)
    core = dilate((np.abs(letters.astype(int) - clean).max(axis=2) > 2).astype(np.uint8), 1)
    return clean, letters, core


def _candidate(before, after, core, kind="overlay_text"):
    height, width = core.shape
    alpha = core.astype(np.float32)
    region = Region(0, kind, 0.9, Box(0, 0, width, height), alpha, core, alpha, height_px=40)
    return Candidate(region, before, after, alpha, core, core)


def test_a_perfect_fill_passes(detectors, scene):
    clean, letters, core = scene
    verdict = Verifier(detectors, VerifyConfig()).judge([_candidate(letters, clean, core)])[0]
    assert verdict.confidence > 0.95
    assert verdict.failures == ()
    assert set(verdict.scores) == {"expected_error", *SIGNALS}


def test_letters_that_are_still_there_fail_as_residual_text(detectors, scene):
    clean, letters, core = scene
    faint = (0.45 * letters + 0.55 * clean).astype(np.uint8)
    verifier = Verifier(detectors, VerifyConfig())
    for after in (letters, faint):
        verdict = verifier.judge([_candidate(letters, after, core)])[0]
        assert verdict.failures[0] == "residual_text"
        assert verdict.confidence < 0.5
        assert verdict.scores["residual_text"] > 0.5


def test_scene_text_under_a_mark_that_was_taken_off_is_no_residue(detectors, scene):
    """A sign that goes on beside the mark shows through it; only where the mark itself is left does it fail."""
    clean, letters, core = scene
    sign = Pillow.fromarray(clean)
    font = ImageFont.load_default(36)
    ImageDraw.Draw(sign).text((20, 40), "Bakery & Cafe", font=font, fill=(250, 240, 220))
    truth = np.array(sign)
    mask = np.zeros_like(core)
    mask[44:80, 60:180] = 1
    before = np.where(mask[..., None] > 0, truth * 0.6 + 100, truth).astype(np.uint8)
    painted = _candidate(before, truth, mask)
    taken_off = replace(painted, uncovered=True)
    left = replace(_candidate(letters, (0.45 * letters + 0.55 * clean).astype(np.uint8), core), uncovered=True)
    verdicts = Verifier(detectors, VerifyConfig()).judge([painted, taken_off, left])
    assert [v.scores["residual_text"] > 0.3 for v in verdicts] == [True, False, True]
    assert verdicts[1].failures == ()


def test_one_letter_left_fails(detectors, scene):
    clean, letters, core = scene
    after = clean.copy()
    after[:, 40:110] = letters[:, 40:110]
    verdict = Verifier(detectors, VerifyConfig()).judge([_candidate(letters, after, core)])[0]
    assert "residual_text" in verdict.failures


def test_a_step_at_the_border_fails_as_seam(scene):
    clean, _letters, core = scene
    block = np.zeros_like(core)
    block[40:80, 60:200] = 1
    after = clean.copy()
    after[block > 0] = np.clip(after[block > 0].astype(int) + 45, 0, 255).astype(np.uint8)
    verdict = Verifier([], VerifyConfig()).judge([_candidate(clean, after, block, "object")])[0]
    assert verdict.failures[0] == "seam"
    assert verdict.confidence < 0.7


def test_a_smear_in_rough_surroundings_fails_as_texture(scene):
    _, _, core = scene
    rough = np.random.default_rng(1).integers(0, 256, (*core.shape, 3)).astype(np.uint8)
    block = np.zeros_like(core)
    block[40:80, 60:200] = 1
    after = rough.copy()
    after[block > 0] = 128
    verdict = Verifier([], VerifyConfig()).judge([_candidate(rough, after, block, "object")])[0]
    assert "texture_ratio" in verdict.failures


def test_confidence_never_rises_as_the_residue_grows(detectors, scene):
    clean, letters, core = scene
    verifier = Verifier(detectors, VerifyConfig())
    mixes = [(share * letters + (1 - share) * clean).astype(np.uint8) for share in (0.0, 0.15, 0.4, 0.7, 1.0)]
    confidences = [v.confidence for v in verifier.judge([_candidate(letters, mix, core) for mix in mixes])]
    assert confidences[0] > 0.95
    assert confidences[-1] < 0.3
    assert all(later <= earlier + 0.02 for earlier, later in itertools.pairwise(confidences))


def test_without_a_text_detector_the_contrast_that_is_left_counts(scene):
    clean, letters, core = scene
    verifier = Verifier([], VerifyConfig())
    good, bad = verifier.judge([_candidate(letters, clean, core), _candidate(letters, letters, core)])
    assert good.scores["residual_text"] < 0.3 < bad.scores["residual_text"]
    assert good.confidence > 0.7 > bad.confidence


def test_objects_are_not_read(detectors, scene):
    _, letters, core = scene
    verdict = Verifier(detectors, VerifyConfig()).judge([_candidate(letters, letters, core, "object")])[0]
    assert verdict.scores["residual_text"] == 0


def test_a_detector_that_sees_letters_in_leaves_is_not_believed_alone(scene):
    clean, letters, core = scene

    class Sure:
        def confidence_maps(self, images):
            return [np.ones(image.shape[:2], np.float32) for image in images]

    verifier = Verifier([Sure()], VerifyConfig())
    good, bad = verifier.judge([_candidate(letters, clean, core), _candidate(letters, letters, core)])
    assert good.confidence > 0.95
    assert bad.confidence < 0.5


def test_ghosts_show_where_letters_are_left(scene):
    clean, letters, core = scene
    assert ghosts(letters, clean, core)[core > 0].mean() < 0.1
    assert ghosts(letters, letters, core)[core > 0].min() > 0.9
    half = np.where(np.arange(320)[None, :, None] < 150, clean, letters)
    found = ghosts(letters, half, core)
    columns = np.arange(320)[None, :].repeat(120, 0)
    assert found[(core > 0) & (columns < 120)].mean() < 0.2
    assert found[(core > 0) & (columns > 180)].mean() > 0.8
    assert found[core == 0].max() == 0
    assert ghosts(letters, letters, np.zeros_like(core)).max() == 0


def test_nothing_to_judge():
    assert Verifier([], VerifyConfig()).judge([]) == []
