"""GrabCut's object without specks and holes, and edges that move to the picture's."""

import numpy as np

from cleanplate.mask import objects


def test_grabcut_finds_what_differs_from_the_ground_and_says_where_nothing_does(scene):
    picture, inside, _ = scene()
    maybe = np.zeros(inside.shape, np.uint8)
    maybe[50:160, 100:200] = 1
    found = objects.grab(picture, np.zeros_like(maybe), maybe, maybe) > 0
    assert (found & inside).sum() / (found | inside).sum() > 0.95
    everywhere = np.ones_like(maybe)
    assert objects.grab(picture, np.zeros_like(maybe), everywhere, everywhere) is None


def test_specks_go_and_small_holes_are_closed():
    hard = np.zeros((80, 100), np.uint8)
    hard[20:60, 20:60] = 1
    hard[38:42, 38:42] = 0
    hard[70:73, 90:93] = 1
    whole = objects.solid(hard, np.zeros_like(hard))
    assert whole[20:60, 20:60].all()
    assert whole.sum() == 1600
    assert objects.solid(np.zeros_like(hard), np.zeros_like(hard)) is None


def test_snapping_moves_an_edge_to_the_picture_s(scene):
    picture, inside, _ = scene()
    off = np.roll(inside, 2, axis=1).astype(np.float32)
    snapped = objects.snap(picture, off) >= 0.5
    assert (snapped ^ inside).sum() < 0.6 * ((off >= 0.5) ^ inside).sum()


def test_a_mask_made_at_a_fraction_of_the_size_may_be_further_off(scene):
    picture, inside, _ = scene()
    off = np.roll(inside, 7, axis=1).astype(np.float32)
    wrong = [((objects.snap(picture, off, scale) >= 0.5) ^ inside).sum() for scale in (1.0, 3.0)]
    assert wrong[1] < 0.8 * wrong[0]
