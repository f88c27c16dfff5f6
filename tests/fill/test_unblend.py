"""The un-blending engine over known priors: what comes back, when it does not apply, what it may see."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import cleanplate
from cleanplate.config import load_config
from cleanplate.fill import build_engines, opacity, unblend
from cleanplate.fill.base import EngineSpec, FillRequest
from cleanplate.fill.unblend import Diffusions, UnblendEngine
from cleanplate.metrics.psnr import psnr
from cleanplate.models.registry import Registry
from cleanplate.models.unblend_net import load_unblend_net
from cleanplate.records import Template


class Blurred:
    """A fill that knows the truth, but for its detail."""

    spec = EngineSpec("blurred", "none", 1.0)

    def __init__(self, truth):
        self.answer = cv2.GaussianBlur(truth, (0, 0), 3)

    def fill(self, requests):
        return [np.where(r.hole[..., None] > 0, self.answer, r.crop) for r in requests]


@pytest.fixture(scope="module")
def network():
    return load_unblend_net(Path(cleanplate.__file__).parent / "weights/unblend.safetensors")


@pytest.fixture
def truth():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:110, 0:150].astype(np.float32)
    shade = 120 + 50 * np.sin(x / 17)[..., None] * np.cos(y / 13)[..., None] * np.array([1.0, 0.8, -0.6])
    grain = cv2.GaussianBlur(rng.normal(0, 1, (110, 150, 3)).astype(np.float32), (0, 0), 1.2) * 45
    return np.clip(np.rint(shade + grain), 30, 225).astype(np.uint8)


@pytest.fixture
def coverage():
    canvas = np.zeros((110, 150), np.uint8)
    cv2.putText(canvas, "Abx", (12, 75), cv2.FONT_HERSHEY_SIMPLEX, 2.4, 255, 7, cv2.LINE_AA)
    return canvas.astype(np.float32)[..., None] / 255


def _request(truth, alpha, colour=(255, 255, 255), invalid=None):
    crop = np.rint(truth * (1 - alpha) + alpha * np.array(colour)).astype(np.uint8)
    hole = cv2.dilate((alpha[..., 0] > 0).astype(np.uint8), np.ones((3, 3), np.uint8))
    bad = hole if invalid is None else hole | invalid
    return FillRequest(crop, hole.astype(np.float32), hole, bad, 1, "watermark")


@pytest.mark.parametrize(("opacity", "colour"), [(0.25, (255, 255, 255)), (0.5, (0, 0, 0)), (0.4, (240, 190, 60))])
def test_the_picture_under_a_mark_comes_back(network, truth, coverage, opacity, colour):
    prior, request = Blurred(truth), _request(truth, opacity * coverage, colour)
    engine = UnblendEngine(prior, network)
    filled = engine.fill([request])[0]
    hole = request.hole
    assert [(remark.note, remark.refusal) for remark in engine.remarks] == [("", "")]
    kept = engine.remarks[0].kept
    assert kept[coverage[..., 0] == 1].mean() > 0.6
    assert not kept[hole == 0].any()
    assert psnr(filled, truth, hole) > psnr(prior.answer, truth, hole) + 5
    assert np.array_equal(filled[hole == 0], request.crop[hole == 0])


def _known(truth, alpha, colour, error=2.0):
    known = Template(
        alpha[..., 0].astype(np.float32), np.full(truth.shape, colour, np.float32),
        np.where(alpha[..., 0] > 0, error, 0).astype(np.float32),
    )  # fmt: skip
    return replace(_request(truth, alpha, colour), known=known)


@pytest.mark.parametrize(("opacity", "colour"), [(0.25, (255, 255, 255)), (0.5, (120, 120, 120)), (0.7, (40, 90, 160))])
def test_a_known_mark_comes_off_better_than_an_estimated_one(network, truth, coverage, opacity, colour):
    engine = UnblendEngine(Blurred(truth), network)
    request = _known(truth, opacity * coverage, colour)
    known, estimated = engine.fill([request, replace(request, known=None)])
    mark = (coverage[..., 0] > 0).astype(np.uint8)
    assert psnr(known, truth, mark) > max(34, psnr(estimated, truth, mark) + 3)
    assert engine.remarks[0].kept[mark > 0].mean() > 0.85
    assert engine.remarks[0].rest is None
    assert np.array_equal(known[request.hole == 0], request.crop[request.hole == 0])
    beside = (request.hole > 0) & (mark == 0)
    assert np.array_equal(known[beside], request.crop[beside])


def test_a_template_is_believed_as_far_as_it_is_sure(network, truth, coverage):
    """Where its error is large, the network's word counts; a wrong template does less harm then."""
    engine = UnblendEngine(Blurred(truth), network)
    sure, unsure = (_known(truth, 0.4 * coverage, (255, 255, 255), error) for error in (1.0, 80.0))
    wrong = [replace(each, known=replace(each.known, alpha=np.roll(each.known.alpha, 2, 1))) for each in (sure, unsure)]
    inverses = opacity.invert(wrong[0].crop.astype(np.float32), wrong[0].known.alpha, wrong[0].known.colour)
    off = [np.abs(filled - inverses)[sure.core > 0].mean() for filled in engine.fill(wrong)]
    assert off[0] < 1 < off[1]


def test_on_smooth_ground_the_fill_is_believed_and_not_a_template_with_an_error(network, coverage):
    flat = np.full((110, 150, 3), 140, np.uint8)
    engine = UnblendEngine(Diffusions(), network)
    request = _known(flat, 0.4 * coverage, (255, 255, 255), 6.0)
    noise = np.random.default_rng(0).normal(0, 0.03, flat.shape[:2]).astype(np.float32) * (coverage[..., 0] > 0)
    request = replace(request, known=replace(request.known, alpha=np.clip(request.known.alpha + noise, 0, 1)))
    inverse = opacity.invert(request.crop.astype(np.float32), request.known.alpha, request.known.colour)
    (filled,) = engine.fill([request])
    mark = coverage[..., 0] > 0
    assert np.abs(filled[mark] - 140.0).mean() < 0.4 * np.abs(inverse[mark] - 140.0).mean()


def test_what_a_known_mark_hides_is_left_to_be_filled(network, truth, coverage):
    engine = UnblendEngine(Blurred(truth), network)
    engine.fill([_known(truth, np.minimum(coverage, 0.99), (255, 255, 255))])
    rest = engine.remarks[0].rest
    assert rest.core[coverage[..., 0] > 0.95].mean() > 0.9
    assert rest.core.sum() < 1.3 * (coverage[..., 0] > 0.5).sum()


def test_a_template_beside_the_mask_is_no_mark(network, truth, coverage):
    request = _known(truth, 0.4 * coverage, (255, 255, 255))
    engine = UnblendEngine(Blurred(truth), network)
    engine.fill([replace(request, known=replace(request.known, alpha=np.zeros_like(request.known.alpha)))])
    assert engine.remarks[0].refusal == unblend.NO_MARK


def test_what_is_opaque_is_filled_and_said(network, truth, coverage):
    prior, request = Blurred(truth), _request(truth, coverage)
    engine = UnblendEngine(prior, network)
    filled = engine.fill([request])[0]
    assert np.array_equal(filled, prior.fill([request])[0])
    remark = engine.remarks[0]
    assert remark.note == f"{remark.refusal}, fallback to blurred"
    assert remark.refusal.startswith("next to nothing of the picture is to be had back there (0.0")
    assert remark.kept is None
    assert remark.rest is None
    assert engine.spec.stand_in == "blurred"


def test_opaque_letters_are_not_taken_for_see_through_by_their_shadow(network, truth, coverage):
    shadow = 0.4 * cv2.GaussianBlur(np.roll(coverage[..., 0], (3, 3), (0, 1)), (0, 0), 2)[..., None]
    shaded = truth * (1 - shadow)
    crop = np.rint(shaded * (1 - coverage) + 255 * coverage).astype(np.uint8)
    hole = cv2.dilate(((coverage[..., 0] > 0) | (shadow[..., 0] > 0.02)).astype(np.uint8), np.ones((3, 3), np.uint8))
    engine = UnblendEngine(Blurred(truth), network)
    filled = engine.fill([FillRequest(crop, hole.astype(np.float32), hole, hole, 1, "overlay_text")])[0]
    rest, letters = engine.remarks[0].rest, coverage[..., 0] == 1
    assert (rest.alpha[letters] == 1).mean() > 0.97
    assert (rest.core <= hole).all()
    assert np.array_equal(rest.invalid, rest.core)
    assert np.array_equal(rest.crop[hole > 0], filled[hole > 0])
    assert rest.core.sum() < 0.9 * hole.sum()


def test_in_a_file_with_losses_opaque_letters_are_handed_on_whole(network, truth, coverage):
    """What shone through was their rim only, and compression has spread that."""
    request = _request(truth, coverage)
    engine = UnblendEngine(Blurred(truth), network)
    crop = cv2.GaussianBlur(request.crop, (0, 0), 0.7)
    engine.fill([replace(request, crop=crop), replace(request, crop=crop, lossy=True)])
    exact, lossy = engine.remarks
    assert "spread its edges" not in exact.refusal
    assert lossy.refusal.endswith("hides what is under it, and the file's compression has spread its edges")


def test_less_of_a_caption_is_believed_in_a_file_with_losses(network, truth, coverage):
    request = replace(_request(truth, 0.5 * coverage), kind="overlay_text")
    engine = UnblendEngine(Blurred(truth), network)
    engine.fill([request, replace(request, lossy=True), replace(request, lossy=True, kind="stamp")])
    exact, caption, stamp = (0 if remark.rest is None else int(remark.rest.core.sum()) for remark in engine.remarks)
    assert caption > exact == stamp


@pytest.mark.parametrize("opacity", [0.35, 0.6])
def test_a_mask_much_wider_than_the_mark_is_narrowed_by_a_second_look(network, truth, coverage, opacity, monkeypatch):
    request = _request(truth, opacity * coverage)
    block = np.zeros_like(request.core)
    block[25:95, 5:140] = 1
    wide = replace(request, alpha=block.astype(np.float32), core=block, invalid=block)
    engine = UnblendEngine(Diffusions(), network)
    twice = engine.fill([wide])[0]
    kept = engine.remarks[0].kept
    monkeypatch.setattr(unblend, "_LEAST_FREED", 2.0)
    once = engine.fill([wide])[0]
    mark = (coverage[..., 0] > 0).astype(np.uint8)
    assert psnr(twice, truth, mark) > psnr(once, truth, mark) + 0.5
    assert kept[(block > 0) & (mark == 0)].mean() > 0.8
    assert np.array_equal(twice[block == 0], request.crop[block == 0])


def test_what_a_second_look_finds_opaque_is_left_to_be_filled_without_its_surroundings(network, truth, coverage):
    request = _request(truth, coverage)
    block = np.zeros_like(request.core)
    block[25:95, 5:140] = 1
    engine = UnblendEngine(Blurred(truth), network)
    filled = engine.fill([replace(request, alpha=block.astype(np.float32), core=block, invalid=block)])[0]
    rest = engine.remarks[0].rest
    assert (rest.alpha[coverage[..., 0] == 1] == 1).mean() > 0.97
    assert rest.core.sum() < 0.6 * block.sum()
    assert np.abs(filled.astype(int) - truth)[(block > 0) & (rest.core == 0)].mean() < 4


def test_a_hole_full_of_something_else_is_filled_and_said(network, truth, coverage):
    prior, request = Blurred(truth), _request(truth, 0.4 * coverage)
    crop = request.crop.copy()
    noise = np.random.default_rng(3).integers(0, 256, crop.shape, dtype=np.uint8)
    crop[request.hole > 0] = noise[request.hole > 0]
    engine = UnblendEngine(prior, network)
    filled = engine.fill([FillRequest(crop, request.alpha, request.core, request.invalid)])[0]
    assert "fallback to blurred" in engine.remarks[0].note
    assert np.array_equal(filled[request.hole > 0], prior.answer[request.hole > 0])


def test_a_picture_without_a_mark_is_hardly_changed(network, truth, coverage):
    request = _request(truth, 0 * coverage)
    hole = (coverage[..., 0] > 0).astype(np.uint8)
    request = FillRequest(truth, hole.astype(np.float32), hole, hole)
    exact = Blurred(truth)
    exact.answer = truth
    assert psnr(UnblendEngine(exact, network).fill([request])[0], truth, hole) > 45


def test_hidden_parts_are_filled_and_the_rest_is_not(network, truth, coverage):
    """A see-through word with an opaque bar through it, in one colour."""
    alpha = 0.35 * coverage
    alpha[50:56, 20:130] = 1
    prior, request = Blurred(truth), _request(truth, alpha)
    filled = UnblendEngine(prior, network).fill([request])[0]
    bar, word = np.zeros_like(request.hole), request.hole.copy()
    bar[52:54, 24:126] = 1
    word[44:62] = 0
    assert np.abs(filled.astype(int) - prior.answer)[bar > 0].mean() < 2
    assert psnr(filled, truth, word) > psnr(prior.answer, truth, word) + 3


def test_other_marks_are_never_seen(network, truth, coverage):
    other = np.zeros((110, 150), np.uint8)
    other[90:105, 20:120] = 1
    request = _request(truth, 0.4 * coverage, invalid=other)
    crop = request.crop.copy()
    crop[other > 0] = (0, 255, 0)
    again = FillRequest(crop, request.alpha, request.core, request.invalid, 1, "watermark")
    first, second = UnblendEngine(Diffusions(), network).fill([request, again])
    assert np.array_equal(first[request.alpha > 0], second[request.alpha > 0])


def test_requests_are_left_alone_and_odd_ones_do_not_crash(network, truth, coverage):
    request = _request(truth, 0.4 * coverage)
    before = [array.copy() for array in (request.crop, request.alpha, request.core, request.invalid)]
    everything, nothing = np.ones((5, 7), np.uint8), np.zeros((5, 7), np.uint8)
    corner = nothing.copy()
    corner[0, 0] = 1
    small = [FillRequest(truth[:5, :7].copy(), m.astype(np.float32), m, m) for m in (everything, nothing, corner)]
    engine = UnblendEngine(Diffusions(), network)
    first, second, *rest = engine.fill([request, request, *small])
    assert np.array_equal(first, second)
    assert [filled.shape for filled in rest] == [(5, 7, 3)] * 3
    assert [bool(remark.refusal) for remark in engine.remarks] == [False, False, True, False, True]
    for old, new in zip(before, (request.crop, request.alpha, request.core, request.invalid), strict=True):
        assert np.array_equal(old, new)
    assert engine.fill([]) == []


def test_the_configuration_names_the_prior():
    for prior, generative in (("pde", False), ("network", True)):
        config = load_config(overrides=["route.engines=[unblend]", f"fill.unblend_prior={prior}", "models.device=cpu"])
        engine = build_engines(config, Registry.load(config.models), "cpu")["unblend"]
        assert engine.spec.generative is generative
        assert (engine.spec.name, engine.spec.stand_in) == ("unblend", "network" if generative else "")
        assert engine.spec.uncovers
