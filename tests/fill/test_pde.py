"""Diffusion takes the noise of the rim for colour, so that goes first."""

import numpy as np

from cleanplate.fill.pde import diffuse, without_noise


def _scene(sigma):
    y, x = np.mgrid[0:96, 0:120]
    clean = np.stack([60 + x, 200 - y, np.where(x > 70, 150, 90)], axis=2).astype(np.float64)
    hole = np.zeros(x.shape, np.uint8)
    hole[36:60, 24:58] = 1
    noisy = clean + np.random.default_rng(3).normal(0, sigma, clean.shape)
    return clean, np.clip(np.rint(noisy), 0, 255).astype(np.uint8), hole


def test_noise_of_the_rim_is_not_carried_into_the_hole():
    clean, noisy, hole = _scene(12)
    carried, calm = (diffuse(crop, hole, "biharmonic") - clean for crop in (noisy, without_noise(noisy, hole)))
    assert np.abs(calm[hole > 0]).mean() < 0.5 * np.abs(carried[hole > 0]).mean()


def test_edges_stay_and_what_is_in_the_hole_has_no_part():
    clean, noisy, hole = _scene(6)
    calm = without_noise(noisy, hole)
    outside = hole == 0
    assert np.abs(calm - clean)[outside].mean() < 0.5 * np.abs(noisy - clean)[outside].mean()
    assert np.diff(calm[:20, 60:80, 2].mean(axis=0)).max() > 45, "an edge of 60 grey levels"
    other = noisy.copy()
    other[hole > 0] = (0, 255, 0)
    assert np.array_equal(without_noise(other, hole)[outside], calm[outside])


def test_a_crop_without_noise_is_left_as_it_is():
    clean, _, hole = _scene(0)
    crop = clean.astype(np.uint8)
    assert without_noise(crop, hole) is crop
    _, noisy, _ = _scene(2)
    assert without_noise(noisy, hole, 3.0) is noisy
