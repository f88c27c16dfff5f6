"""Grain: its spectrum, colours and growth are measured, and what is made has them."""

import cv2
import numpy as np
import pytest

from cleanplate.enhance import grain

_ALL = np.ones((160, 180), np.uint8)


def _picture(noise, base=110.0):
    return np.clip(np.rint(base + noise), 0, 255).astype(np.uint8)


def _correlation(values):
    return float(np.corrcoef(values[:, 1:].ravel(), values[:, :-1].ravel())[0, 1])


@pytest.mark.parametrize(("blur_px", "within"), [(0.0, 0.08), (0.8, 0.1), (1.5, 0.2)])
def test_noise_is_made_as_coarse_and_strong_as_measured(blur_px, within):
    noise = np.random.default_rng(0).normal(0, 1, (160, 180, 3)).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), blur_px) if blur_px else noise
    noise *= 8 / noise.std()
    made = grain.synthesise(grain.measure(_picture(noise), _ALL), (160, 180), np.random.default_rng(1))
    assert made.std() == pytest.approx(8, rel=within)
    assert _correlation(made[..., 1]) == pytest.approx(_correlation(noise[..., 1]), abs=0.1)


def test_the_colours_of_noise_are_kept():
    rng = np.random.default_rng(0)
    grey = rng.normal(0, 8, (160, 180, 1)) + rng.normal(0, 2, (160, 180, 3))
    made = grain.synthesise(grain.measure(_picture(grey), _ALL), (160, 180), np.random.default_rng(1))
    assert np.corrcoef(made[..., 0].ravel(), made[..., 2].ravel())[0, 1] == pytest.approx(64 / 68, abs=0.04)


def test_what_is_there_already_is_not_made():
    noise = np.random.default_rng(0).normal(0, 8, (160, 180, 3))
    model = grain.measure(_picture(noise), _ALL)
    present = grain.measure(_picture(noise), _ALL, model.axes)
    made = grain.synthesise(model, (160, 180), np.random.default_rng(1))
    assert grain.lacking(made, model, present).std() < 0.5
    assert grain.lacking(made, model, None).std() == pytest.approx(8, rel=0.08)
    half = grain.measure(_picture(noise / 2), _ALL, model.axes)
    assert grain.lacking(made, model, half).std() == pytest.approx(np.sqrt(64 - 16), rel=0.08)


def test_what_rounding_adds_is_not_made():
    model = grain.measure(_picture(np.random.default_rng(0).normal(0, 0.5, (160, 180, 3))), _ALL)
    made = grain.lacking(grain.synthesise(model, (160, 180), np.random.default_rng(1)), model, None)
    assert made.std() == pytest.approx(0.5, rel=0.1)


def test_growth_with_brightness_is_seen():
    rng = np.random.default_rng(0)
    light = np.broadcast_to(np.linspace(30, 200, 180)[None, :, None], (160, 180, 3))
    shot = grain.measure(_picture(rng.normal(0, 1, light.shape) * np.sqrt(0.4 * light), light), _ALL)
    ratio = shot.level_by(np.array([60.0, 180.0], np.float32))
    assert ratio[1] / ratio[0] == pytest.approx(np.sqrt(3), rel=0.15)
    even = grain.measure(_picture(rng.normal(0, 6, light.shape), light), _ALL)
    assert even.level_by(np.array([60.0, 180.0], np.float32)) == pytest.approx([1, 1], abs=0.12)


def test_pixels_that_do_not_count_have_no_influence():
    rng = np.random.default_rng(0)
    picture, where = _picture(rng.normal(0, 5, (160, 180, 3))), _ALL.copy()
    where[:, 90:] = 0
    other = picture.copy()
    other[:, 90:] = 255
    first, second = grain.measure(picture, where), grain.measure(other, where)
    assert np.allclose(first.covariance, second.covariance)
    assert grain.measure(picture, np.zeros_like(where)) is None
