"""Shadows of objects: only where there are any."""

import numpy as np

from cleanplate.mask.cast_shadow import cast_shadow


def test_a_shadow_is_found_and_nothing_where_there_is_none(scene):
    picture, inside, shade = scene(shadow=0.4)
    hard = inside.astype(np.uint8)
    found = cast_shadow(picture, hard, hard) > 0
    assert found[shade].mean() > 0.8
    assert not (found & inside).any()
    bare, _, _ = scene()
    assert cast_shadow(bare, hard, hard)[shade].mean() < 0.25


def test_ground_that_is_dark_in_places_casts_no_shadow(scene):
    picture, inside, _ = scene()
    y, x = np.mgrid[0 : inside.shape[0], 0 : inside.shape[1]]
    patches = (np.sin(x / 9) * np.sin(y / 7) > 0.3) & ~inside
    picture[patches] = (picture[patches] * 0.6).astype(np.uint8)
    shade = cast_shadow(picture, inside.astype(np.uint8), inside.astype(np.uint8))
    assert shade.sum() < 0.3 * inside.sum()
