"""Corrected masks become crops that the stroke network's training reads."""

from __future__ import annotations

import csv

import corrections
import crops
import cv2
import numpy as np
import pytest
import torch

from cleanplate.detect.ppocr import Sight
from cleanplate.models.stroke_net import CHANNELS, FEATURES


class Lines:
    """A line detector that sees a line wherever the picture is bright."""

    def look(self, pictures):
        nothing = tuple(torch.zeros(1, channels, 1, 1) for channels in FEATURES)
        return [Sight((picture[..., 0] > 200).astype(np.float32), nothing) for picture in pictures]


@pytest.fixture
def mask():
    mask = np.zeros((300, 400), np.uint8)
    mask[20:40, 30:130] = 255
    mask[250:290, 350:390] = 255
    return mask


def test_a_mask_is_thinned_and_stands_in_its_kinds_channel(mask):
    truth = corrections.truth_of_mask(mask, "stamp")
    assert (truth[0, 20, 60], truth[0, 30, 31], truth[0, 30, 30]) == (0, 255, 0)
    np.testing.assert_array_equal(truth[CHANNELS.index("stamp")], truth[0])
    assert truth[[CHANNELS.index(name) for name in ("overlay_text", "scene_text", "plate")]].max() == 0
    assert corrections.truth_of_mask(mask, "object").max() == 0


def test_every_part_of_a_mask_gets_into_a_crop(mask):
    picture = np.full((300, 400, 3), 90, np.uint8)
    picture[20:40, 30:130] = 255
    found = corrections.cut_corrections(picture, mask, "overlay_text", Lines())
    assert len(found) == 2
    for crop in found:
        assert crop.picture.shape == (crops.CROP_PX, crops.CROP_PX, 4)
        assert crop.truth.shape == (7, crops.CROP_PX, crops.CROP_PX)
        assert crop.truth[0].max() == 255
    assert found[0].picture[..., 3].max() == 255, "the line map travels with it"
    assert corrections.cut_corrections(picture[:100], mask[:100], "overlay_text", Lines()) == [], "too small"


def test_what_review_exported_is_written_where_training_reads(mask, tmp_path, monkeypatch):
    monkeypatch.setattr(corrections, "load_line_detector", Lines)
    photograph = np.full((300, 400, 3), 90, np.uint8)
    photograph[20:40, 30:130] = 255
    cv2.imwrite(str(tmp_path / "photo.png"), photograph)
    cv2.imwrite(str(tmp_path / "0.mask.png"), mask)
    with (tmp_path / "masks.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ("mask", "uri", "kind"))
        writer.writeheader()
        writer.writerow({"mask": "0.mask.png", "uri": f"file://{tmp_path}/photo.png", "kind": "handwriting"})
    assert corrections.main(["--masks", str(tmp_path), "--work", str(tmp_path / "work")]) == 2
    first = sorted((tmp_path / "work" / "train").glob("*.npz"))[0]
    crop = crops.read_crop(first)
    assert crop.picture.shape[:2] == crop.truth.shape[1:]
    assert crop.truth[CHANNELS.index("handwriting")].max() == 255
