"""Photographs: what is missing or broken is named, and boxes are read as they were written."""

import cv2
import numpy as np
import pytest

from cleanplate.errors import ConfigError
from cleanplate.evaluation.photographs import list_photographs, read_boxes, read_rgb
from cleanplate.records import Box


def test_pictures_are_listed_in_order_and_read_as_rgb(tmp_path):
    red = np.zeros((4, 5, 3), np.uint8)
    red[..., 2] = 255  # OpenCV writes BGR
    for name in ("b.png", "a.PNG", "notes.txt"):
        (tmp_path / name).write_bytes(cv2.imencode(".png", red)[1].tobytes())
    paths = list_photographs([tmp_path])
    assert [path.name for path in paths] == ["a.PNG", "b.png"]
    assert read_rgb(paths[0])[0, 0].tolist() == [255, 0, 0]


def test_an_empty_folder_is_named(tmp_path):
    with pytest.raises(ConfigError, match="no photographs in"):
        list_photographs([tmp_path])


def test_a_broken_picture_is_named(tmp_path):
    (tmp_path / "x.png").write_bytes(b"no picture")
    with pytest.raises(ConfigError, match=r"x\.png cannot be read"):
        read_rgb(tmp_path / "x.png")


def test_boxes_come_by_photograph(tmp_path):
    (tmp_path / "signs.csv").write_text("photograph,left,top,right,bottom\na.png,1,2,3,4\na.png,5,6,7,8\n")
    assert read_boxes(tmp_path / "signs.csv") == {"a.png": [Box(1, 2, 3, 4), Box(5, 6, 7, 8)]}
