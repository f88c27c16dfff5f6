"""Diffusion takes the noise of the rim for colour, so that goes first."""

import cv2
import numpy as np

from cleanplate.enhance.footprint import Footprint
from cleanplate.fill.pde import calm_chroma, diffuse, without_noise


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


def test_what_a_jpeg_left_of_a_mark_is_not_carried_into_the_hole():
    clean, _, hole = _scene(0)
    crop = clean.astype(np.uint8)
    marked = np.where(hole[:, :, None] > 0, np.uint8(0), crop)
    file = cv2.imdecode(cv2.imencode(".jpg", marked, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], cv2.IMREAD_COLOR)
    footprint = Footprint(np.full((8, 8), 12), None, (1, 1), (0, 0))
    given = (file, without_noise(file, hole, footprint=footprint))
    errors = [np.abs(diffuse(each, hole, "tension") - clean)[hole > 0].mean() for each in given]
    assert errors[1] < 0.7 * errors[0]


def test_chroma_steps_of_a_jpeg_do_not_swing_into_the_hole():
    """A rim whose colour changes by a step gives a colour between its two, and the luma stays."""
    crop = np.full((64, 64, 3), 120, np.uint8)
    crop[:, :24] = (126, 118, 120)
    hole = np.zeros((64, 64), np.uint8)
    hole[20:44, 26:50] = 1
    wild = crop.copy()
    wild[hole > 0] = (180, 90, 140)
    calm = calm_chroma(wild, hole)
    assert np.array_equal(calm[hole == 0], wild[hole == 0])
    luma = np.array([0.299, 0.587, 0.114])
    inside = calm[hole > 0].astype(float)
    assert np.abs(inside @ luma - wild[hole > 0].astype(float) @ luma).max() < 1.5
    red = inside[:, 0] - inside @ luma
    assert red.min() > -2
    assert red.max() < 8
    everything = np.ones((16, 16), np.uint8)
    assert np.array_equal(calm_chroma(crop[:16, :16], everything), crop[:16, :16])
