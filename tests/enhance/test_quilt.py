"""Quilt: noise from calm places nearby, as strong as theirs, and none of their texture."""

import cv2
import numpy as np
import pytest

from cleanplate.enhance.quilt import quilt

_SHAPE = (160, 180)


def _mask():
    mask = np.zeros(_SHAPE, np.uint8)
    mask[50:110, 60:120] = 1
    return mask


def _sewn(noise, base=110.0, mask=None, seed=1):
    mask = _mask() if mask is None else mask
    picture = np.clip(np.rint(base + noise), 0, 255).astype(np.uint8)
    picture[mask > 0] = np.broadcast_to(np.rint(base), picture.shape)[mask > 0].astype(np.uint8)
    return quilt(picture, mask.astype(np.float32), mask, np.random.default_rng(seed))


def _noise(sigma=6.0, blur_px=0.0):
    noise = np.random.default_rng(0).normal(0, 1, (*_SHAPE, 3)).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), blur_px) if blur_px else noise
    return noise * (sigma / noise.std())


@pytest.mark.parametrize("blur_px", [0.0, 0.8])
def test_the_noise_is_as_strong_and_coarse_as_around(blur_px):
    noise = _noise(blur_px=blur_px)
    inside = _sewn(noise)[50:110, 60:120]
    assert inside.std() == pytest.approx(6.0, rel=0.1)
    own, asked = (float((part[:, 1:] * part[:, :-1]).mean() / (part**2).mean()) for part in (inside, noise))
    assert own == pytest.approx(asked, abs=0.07)


def test_its_law_need_not_be_normal():
    rng = np.random.default_rng(0)
    rare = 20.0 * (rng.random((*_SHAPE, 1)) < 0.02) * np.ones(3)
    inside = _sewn(rare - rare.mean())[50:110, 60:120, 0]
    assert 3 * inside.std() ** 4 * 4 < (inside**4).mean()  # four times the fourth moment of normal noise


def test_noise_comes_from_places_as_bright():
    light = np.where(np.arange(180) < 90, 60.0, 180.0)[None, :, None]
    inside = _sewn(_noise(1.0) * np.where(light < 100, 2.0, 8.0), light)
    assert inside[50:110, 62:82].std() == pytest.approx(2.0, rel=0.2)
    assert inside[50:110, 98:118].std() == pytest.approx(8.0, rel=0.2)


def test_texture_is_left_where_it_is():
    grass = np.zeros((*_SHAPE, 3), np.float32)
    grass[:, 130:] = 40 * np.sign(_noise()[:, 130:])
    assert np.abs(_sewn(grass + _noise(2.0))).max() < 14


def test_same_seed_same_noise_and_nothing_far_from_the_hole():
    first, again, other = (_sewn(_noise(), seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not first[:30].any()
    assert not first[:, 140:].any()


def test_a_hole_at_the_border_is_covered():
    mask = np.zeros(_SHAPE, np.uint8)
    mask[120:, 130:] = 1
    assert _sewn(_noise(), mask=mask)[mask > 0].std() == pytest.approx(6.0, rel=0.1)


def test_without_room_for_patches_there_is_none():
    mask = np.zeros(_SHAPE, np.uint8)
    mask[::8] = 1
    assert _sewn(_noise(), mask=mask) is None
    assert quilt(np.zeros((12, 12, 3), np.uint8), np.eye(12, dtype=np.float32), np.eye(12, dtype=np.uint8),
                 np.random.default_rng(0)) is None  # fmt: skip
