"""Polish: more detail, no halo, no more noise, no seam."""

import numpy as np
import pytest

from cleanplate.enhance.polish import Polish, sharpen
from cleanplate.metrics.blur import blur_px


def test_soft_detail_comes_out(photo):
    import cv2

    soft = cv2.GaussianBlur(photo, (0, 0), 1.2)
    found = sharpen(soft, 0.0)
    assert blur_px(found) < blur_px(soft) - 0.05
    error = [np.square(p.astype(float) - photo).mean() for p in (soft, found)]
    assert error[1] < error[0], "it goes towards what was there"


@pytest.mark.parametrize("blur", [0, 1.5])
def test_nothing_overshoots(photo, blur):
    import cv2

    step = np.full((40, 60, 3), 60, np.uint8)
    step[:, 30:] = (180, 120, 90)
    for picture in (step, photo):
        given = cv2.GaussianBlur(picture, (0, 0), blur) if blur else picture
        kernel = np.ones((3, 3), np.uint8)
        found = sharpen(given, 0.0)
        assert (found <= cv2.dilate(given, kernel)).all()
        assert (found >= cv2.erode(given, kernel)).all()
    np.testing.assert_array_equal(sharpen(step, 0.0), step)


def test_what_is_noise_stays_as_it_is():
    rng = np.random.default_rng(2)
    noisy = np.clip(np.rint(128 + rng.normal(0, 5, (96, 96, 1))), 0, 255).astype(np.uint8).repeat(3, 2)
    known, unknown = sharpen(noisy, 5.0).std(), sharpen(noisy, 0.0).std()
    assert known < 1.04 * noisy.std()
    assert unknown > 1.1 * known, "the level that was measured is what holds it back"


def test_tiles_leave_no_seam(photo, analysis_of, monkeypatch):
    from cleanplate.enhance import polish

    whole = Polish().apply(photo, analysis_of())
    monkeypatch.setattr(polish, "_TILE_PX", 50)
    assert np.abs(Polish().apply(photo, analysis_of()).astype(int) - whole).max() <= 1
    assert (whole != photo).any()
