"""Blur: the width of the sharpest edges."""

import cv2
import numpy as np
import pytest

from cleanplate.metrics.blur import blur_px


@pytest.mark.parametrize("sigma", [0.7, 1.2, 2.0, 3.0])
def test_the_width_of_a_blurred_edge_is_found(sigma):
    picture = np.full((120, 160, 3), 60, np.float32)
    picture[30:90, 40:120] = 190
    soft = cv2.GaussianBlur(picture, (0, 0), sigma)
    assert blur_px(np.rint(soft).astype(np.uint8)) == pytest.approx(sigma, rel=0.25)


def test_sharp_edges_beside_soft_ones_count():
    picture = np.full((120, 240, 3), 60, np.float32)
    picture[30:90, 140:200] = 190
    soft = cv2.GaussianBlur(picture, (0, 0), 3.0)
    picture[:, :120] = soft[:, 120:][:, ::-1]
    assert blur_px(picture.astype(np.uint8)) < 0.8
