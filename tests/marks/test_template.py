"""Templates: one mark from many pictures, and the pictures without it."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from cleanplate.errors import ContractError
from cleanplate.marks import template as marks
from cleanplate.metrics.psnr import psnr
from cleanplate.records import Box

SHAPE = (60, 96)
COLOUR = np.array([250, 200, 40], np.float32)


def scene(seed):
    """A shaded, textured picture of its own colours, float32 (H, W, 3)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]].astype(np.float32)
    base, tilt = rng.uniform(60, 190, 3), rng.uniform(-0.6, 0.6, (2, 3))
    grain = cv2.GaussianBlur(rng.normal(0, 1, (*SHAPE, 3)).astype(np.float32), (0, 0), 1.5) * 50
    shade = base + (x[..., None] - 48) * tilt[0] + (y[..., None] - 30) * tilt[1]
    return np.clip(shade + grain, 5, 250).astype(np.float32)


def coverage():
    canvas = np.zeros(SHAPE, np.uint8)
    cv2.putText(canvas, "(c)", (8, 42), cv2.FONT_HERSHEY_SIMPLEX, 1.4, 255, 4, cv2.LINE_AA)
    return canvas.astype(np.float32) / 255


def lay(picture, alpha):
    return np.rint(picture * (1 - alpha[..., None]) + alpha[..., None] * COLOUR).astype(np.uint8)


@pytest.fixture(scope="module")
def batch():
    """The mark's opacity, twelve pictures without it, with it, and the masks."""
    alpha = 0.45 * coverage()
    clean = [scene(seed) for seed in range(12)]
    mask = cv2.dilate((alpha > 0).astype(np.uint8), np.ones((5, 5), np.uint8))
    return alpha, clean, [lay(picture, alpha) for picture in clean], [mask] * 12


@pytest.fixture(scope="module")
def template(batch):
    _, _, crops, masks = batch
    return marks.estimate(crops, masks)


def test_opacity_and_colour_are_the_marks(batch, template):
    alpha = batch[0]
    assert template.alpha.dtype == template.colour.dtype == np.float32
    assert np.abs(template.alpha - alpha)[alpha > 0].mean() < 0.03
    assert np.abs(template.colour[alpha > 0.2] - COLOUR).mean() < 5
    assert np.abs(template.colour[alpha > 0.2] - COLOUR).max() < 20
    assert (template.alpha[alpha > 0.1] > 0).all()
    assert not template.alpha[batch[3][0] == 0].any()


def test_more_pictures_say_more(batch):
    alpha, _, crops, masks = batch
    errors = [np.abs(marks.estimate(crops[:n], masks[:n]).alpha - alpha)[alpha > 0].mean() for n in (3, 12)]
    assert errors[1] < errors[0]


def test_the_error_is_of_the_size_of_what_is_wrong(batch, template):
    """What eight other pictures, never seen, really are off by, on average."""
    alpha = batch[0]
    inside = alpha > 0.1
    off = []
    for seed in range(60, 68):
        clean = scene(seed)
        result, _ = marks.apply(template, lay(clean, alpha), Box(0, 0, 96, 60))
        off.append(np.square(result - clean).mean(axis=2)[inside])
    assert 0.5 < np.sqrt(np.square(template.error[inside]).mean()) / np.sqrt(np.mean(off)) < 3
    assert template.error[(template.alpha == 0) & (batch[3][0] > 0)].min() > 0
    assert not template.error[cv2.dilate(batch[3][0], np.ones((3, 3), np.uint8)) == 0].any()


def test_a_picture_never_seen_comes_back(batch, template):
    alpha = batch[0]
    picture = scene(77)
    canvas = np.full((100, 140, 3), 90, np.uint8)
    canvas[20:80, 30:126] = lay(picture, alpha)
    result, lost = marks.apply(template, canvas, Box(30, 20, 126, 80))
    assert not lost.any()
    truth = np.rint(picture).astype(np.uint8)
    assert psnr(result[20:80, 30:126], truth, alpha > 0) > 30
    outside = np.ones(canvas.shape[:2], bool)
    outside[20:80, 30:126] = False
    assert np.array_equal(result[outside], canvas[outside])


def test_a_place_may_stick_out(batch, template):
    marked = lay(scene(78), batch[0])
    whole, _ = marks.apply(template, marked, Box(0, 0, 96, 60))
    part, _ = marks.apply(template, marked[10:50, 20:70], Box(-20, -10, 76, 50))
    assert np.array_equal(part, whole[10:50, 20:70])
    away, lost = marks.apply(template, marked, Box(200, 200, 296, 260))
    assert np.array_equal(away, marked)
    assert not lost.any()


def test_what_the_mark_hides_is_left_to_a_fill(batch):
    alpha = coverage()
    crops = [lay(picture, alpha) for picture in batch[1]]
    template = marks.estimate(crops, batch[3])
    _, lost = marks.apply(template, crops[0], Box(0, 0, 96, 60))
    assert lost[alpha > 0.99].mean() > 0.9
    assert not lost[alpha == 0].any()


EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "photos"


def windows(top, shape):
    """Parts of the example photographs, where what is behind a mark is hard to fill."""
    found = []
    for path in sorted(EXAMPLES.glob("*.jpg")):
        picture = cv2.imread(str(path)) if path.stem != "broken" else None
        for left in (40, 200, 360) if picture is not None else ():
            part = picture[top : top + shape[0], left : left + shape[1]]
            found += [part.astype(np.float32)] if part.shape[:2] == shape else []
    return found


def test_the_ghost_that_all_crops_share_is_taken_off(monkeypatch):
    """White letters with a black shadow: what is left of them in pictures never seen, and on average over all."""
    letters = np.pad(coverage(), ((15, 15), (20, 20)))
    alpha, shadow = 0.45 * letters[..., None], 0.4 * np.roll(letters, (3, 3), (0, 1))[..., None]
    seen = (np.maximum(alpha, shadow) > 0)[..., 0]

    def laid(picture):
        return np.rint(picture * (1 - shadow) * (1 - alpha) + 250 * alpha).astype(np.uint8)

    crops, others = [laid(picture) for picture in windows(60, seen.shape)], windows(220, seen.shape)
    assert min(len(crops), len(others)) >= 18
    masks = [cv2.dilate(seen.astype(np.uint8), np.ones((5, 5), np.uint8))] * len(crops)
    place = Box(0, 0, seen.shape[1], seen.shape[0])

    def left():
        known = marks.estimate(crops, masks)
        results = [marks.apply(known, laid(picture), place)[0] for picture in others]
        levels = [psnr(r, np.rint(p).astype(np.uint8), seen) for r, p in zip(results, others, strict=True)]
        off = np.mean([result - picture for result, picture in zip(results, others, strict=True)], axis=0)
        return np.mean(levels), np.abs(off)[seen].mean()

    level, ghost = left()
    monkeypatch.setattr(marks, "_without_ghost", lambda pictures, behind, alpha, colour, where: (alpha, colour))
    level_before, ghost_before = left()
    assert level > level_before + 1
    assert ghost < 0.75 * ghost_before


def test_a_shadow_has_its_own_colour(batch):
    """White letters at 45 % with a black shadow at 40 %."""
    alpha, shadow = 0.45 * coverage(), 0.4 * np.roll(coverage(), (3, 3), (0, 1))
    clean = [scene(seed) for seed in range(20, 36)]
    crops = []
    for picture in [*clean, scene(77)]:
        under = picture * (1 - shadow[..., None])
        crops.append(np.rint(under * (1 - alpha[..., None]) + 255 * alpha[..., None]).astype(np.uint8))
    seen = np.maximum(alpha, shadow) > 0
    mask = cv2.dilate(seen.astype(np.uint8), np.ones((3, 3), np.uint8))
    template = marks.estimate(crops[:-1], [mask] * 16)
    result, _ = marks.apply(template, crops[-1], Box(0, 0, 96, 60))
    truth = np.rint(scene(77)).astype(np.uint8)
    only = (shadow > 0.35) & (alpha == 0)
    assert template.colour[only].mean() < 40
    assert psnr(result, truth, seen) > psnr(crops[-1], truth, seen) + 8


def test_the_median_of_gradients_is_the_marks_shift(batch):
    alpha, clean, crops, masks = batch
    shift = marks.relative_ink(np.stack(crops).astype(np.float32), masks[0])
    wanted = alpha[..., None] * (COLOUR - np.median(np.stack(clean), axis=(0, 1, 2)))
    inside = masks[0] > 0
    assert np.corrcoef(shift[inside].ravel(), wanted[inside].ravel())[0, 1] > 0.9
    assert not shift[~inside].any()


def test_integrating_differences_gives_the_picture_back():
    picture = np.zeros((20, 30, 2), np.float32)
    picture[4:15, 6:24] = np.random.default_rng(0).normal(0, 30, (11, 18, 2))
    across, down = np.zeros_like(picture), np.zeros_like(picture)
    across[:, :-1], down[:-1] = np.diff(picture, axis=1), np.diff(picture, axis=0)
    where = np.zeros((20, 30), np.uint8)
    where[2:17, 3:27] = 1
    assert np.abs(marks.integrate(across, down, where) - picture).max() < 1e-3


def test_what_cannot_be_is_said(batch, template):
    _, _, crops, masks = batch
    with pytest.raises(ContractError, match="give at least 3"):
        marks.estimate(crops[:2], masks[:2])
    with pytest.raises(ContractError, match="cut them to one size"):
        marks.estimate([*crops[:3], crops[3][:-1]], masks[:4])
    with pytest.raises(ContractError, match="leave some picture around it"):
        marks.estimate(crops[:3], [np.ones(SHAPE, np.uint8)] * 3)
    with pytest.raises(ContractError, match="a box of its size"):
        marks.apply(template, crops[0], Box(0, 0, 10, 10))
