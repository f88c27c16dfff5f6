"""Opacity and colour of marks that were laid over known ground."""

import cv2
import numpy as np
import pytest
from skimage.restoration import denoise_tv_chambolle

from cleanplate.fill import opacity
from cleanplate.fill.opacity import Ground, denoised, evidence, find, invert, refine

SHAPE = (96, 120)


def ground_picture(seed=0, rough=14.0):
    """A shaded, textured picture, float32 (H, W, 3), within 30..225."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]].astype(np.float32)
    shade = 120 + 50 * np.sin(x / 17 + seed)[..., None] * np.cos(y / 13)[..., None] * np.array([1.0, 0.8, -0.6])
    grain = cv2.GaussianBlur(rng.normal(0, 1, (*SHAPE, 3)).astype(np.float32), (0, 0), 1.2) * 3.5 * rough
    return np.clip(shade + grain, 30, 225).astype(np.float32)


def letters(size=2.2, thickness=7, at=(8, 62), text="Abx"):
    """Coverage of anti-aliased letters, float32 (H, W), 0..1."""
    canvas = np.zeros(SHAPE, np.uint8)
    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, 255, thickness, cv2.LINE_AA)
    return canvas.astype(np.float32) / 255


def marked(picture, alpha, colour):
    """The mark laid over the picture, uint8, and the hole: where it is, grown by a pixel."""
    mixed = picture * (1 - alpha[..., None]) + alpha[..., None] * np.asarray(colour, np.float32)
    hole = cv2.dilate((alpha > 0).astype(np.uint8), np.ones((3, 3), np.uint8))
    return np.rint(mixed).astype(np.uint8), hole


def guess_of(picture, hole):
    """What a good fill knows: the picture without its detail."""
    blurred = np.rint(cv2.GaussianBlur(picture, (0, 0), 3)).astype(np.uint8)
    return np.where(hole[..., None] > 0, blurred, np.rint(picture).astype(np.uint8))


def estimated(picture, alpha, colour):
    crop, hole = marked(picture, alpha, colour)
    ground = Ground.of(crop, hole, guess_of(picture, hole))
    found = find(crop.astype(np.float32), ground, hole)
    return crop, hole, ground, found


@pytest.mark.parametrize(
    ("opaque", "colour"),
    [(0.2, (255, 255, 255)), (0.2, (0, 0, 0)), (0.4, (255, 255, 255)), (0.4, (240, 190, 60)), (0.6, (0, 0, 0))],
)
def test_opacity_and_colour_are_found(opaque, colour):
    _, _, _, mark = estimated(ground_picture(), opaque * letters(), colour)
    assert len(mark.layers) == 1
    assert mark.layers[0].opacity == pytest.approx(opaque, abs=0.06)
    # A colour's error counts as far as it shows.
    assert np.abs(mark.layers[0].colour - colour).max() * opaque < 12


def test_a_grey_mark_brightens_dark_ground_and_darkens_bright():
    picture = ground_picture(rough=5)
    picture[:, :60] = 0.5 * picture[:, :60]
    picture[:, 60:] = 110 + 0.5 * picture[:, 60:]
    _, _, _, mark = estimated(picture, 0.5 * letters(), (128, 128, 128))
    assert len(mark.layers) == 1
    assert np.abs(mark.layers[0].colour - 128).max() < 16
    assert mark.layers[0].opacity == pytest.approx(0.5, abs=0.08)


def test_letters_with_a_shadow_have_two_layers():
    white, black = 0.5 * letters(), 0.5 * letters(at=(13, 67))
    picture = ground_picture(rough=6)
    shadowed = picture * (1 - black[..., None])
    crop = np.rint(shadowed * (1 - white[..., None]) + 255 * white[..., None]).astype(np.uint8)
    hole = cv2.dilate((np.maximum(white, black) > 0).astype(np.uint8), np.ones((3, 3), np.uint8))
    ground = Ground.of(crop, hole, guess_of(picture, hole))
    mark = find(crop.astype(np.float32), ground, hole)
    colours = sorted(float(layer.colour.mean()) for layer in mark.layers)
    assert len(colours) == 2
    assert colours[0] < 25
    assert colours[1] > 230


def test_refining_sharpens_the_rim_and_the_inside():
    picture, alpha = ground_picture(), 0.4 * letters()
    crop, hole, ground, mark = estimated(picture, alpha, (255, 255, 255))
    sharp = refine(crop.astype(np.float32), ground, mark, hole)
    before, after = (float(np.abs(each.alpha - alpha)[hole > 0].mean()) for each in (mark, sharp))
    assert after < 0.8 * before
    assert after < 0.04
    assert not sharp.alpha[hole == 0].any()
    core = cv2.erode((alpha > 0.39).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    assert np.abs(sharp.alpha[core] - sharp.layers[0].opacity).mean() < 0.02


def test_clean_ground_has_no_mark_that_shows():
    picture = ground_picture()
    hole = (letters() > 0).astype(np.uint8)
    crop = np.rint(picture).astype(np.uint8)
    mark = find(crop.astype(np.float32), Ground.of(crop, hole, crop), hole)
    assert mark is None


def test_inverting_undoes_compositing_to_the_rounding():
    picture, alpha = ground_picture(), 0.6 * letters()
    crop, _ = marked(picture, alpha, (250, 40, 90))
    under = invert(crop.astype(np.float32), alpha, np.array([250, 40, 90], np.float32))
    assert np.abs(under - picture).max() <= 0.5 / 0.4 + 0.01


def test_what_is_opaque_is_bounded():
    crop = np.full((2, 2, 3), 200, np.float32)
    under = opacity.unclipped(crop, np.ones((2, 2), np.float32), np.full(3, 190, np.float32))
    assert np.isfinite(under).all()


def test_evidence_is_exact_where_the_ground_is_known():
    picture, alpha = ground_picture(), 0.3 * letters()
    colour = np.array([255, 255, 255], np.float32)
    mixed = picture + alpha[..., None] * (colour - picture)
    ground = Ground(picture, *np.ones((2, *SHAPE), np.float32))
    found, trust = evidence(mixed, ground, colour)
    assert np.abs(found - alpha)[np.abs(colour - picture).min(axis=2) > 60].max() < 0.01
    assert trust[0, 0] == pytest.approx(np.square(colour - picture[0, 0]).sum())


def test_denoising_reaches_the_energy_of_an_independent_solver():
    rng = np.random.default_rng(1)
    noisy = np.clip(0.4 * letters() + rng.normal(0.1, 0.1, SHAPE), 0.02, 0.98).astype(np.float32)
    everywhere, smoothness = np.ones(SHAPE, np.uint8), 2.0
    trust = np.full(SHAPE, 20, np.float32)

    def energy(found):
        across, down = np.zeros(SHAPE), np.zeros(SHAPE)
        across[:, :-1], down[:-1] = np.diff(found, axis=1), np.diff(found, axis=0)
        return (0.5 * trust * np.square(found - noisy)).sum() + smoothness * np.hypot(across, down).sum()

    ours = energy(denoised(noisy, trust, smoothness, everywhere, 300))
    theirs = min(energy(denoise_tv_chambolle(noisy, weight, eps=1e-7, max_num_iter=800)) for weight in (0.05, 0.1, 0.2))
    assert ours <= 1.005 * theirs
    hole = (letters() > 0).astype(np.uint8)
    assert not denoised(noisy, trust, smoothness, hole)[hole == 0].any()
