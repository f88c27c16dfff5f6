"""Crops with truth: the same seed gives the same file, nothing held out is trained on, half files are never seen."""

from types import SimpleNamespace

import crops
import cv2
import numpy as np
import pytest
from crops import wait_for

from cleanplate.evaluation.overlays import OverlayStyle, generate
from cleanplate.evaluation.photographs import list_photographs, read_rgb
from cleanplate.models.stroke_net import CHANNELS, FEATURE_STRIDES, FEATURES
from cleanplate.records import Box


def test_a_cache_is_the_same_when_made_again(tmp_path, library, photos):
    paths = list_photographs([photos])
    for name in ("one", "two"):
        crops.fill_cache(paths, library, tmp_path / name, 5, 6)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert len(files) >= 6
    assert files == sorted(path.name for path in (tmp_path / "two").iterdir())
    for name in files:
        first, second = (crops.read_crop(tmp_path / folder / name) for folder in ("one", "two"))
        assert np.array_equal(first.picture, second.picture)
        assert np.array_equal(first.truth, second.truth)
        for one, two in zip(first.features, second.features, strict=True):
            assert np.array_equal(one, two)


def test_a_cache_goes_on_where_it_stopped(tmp_path, library, photos):
    paths = list_photographs([photos])
    crops.fill_cache(paths, library, tmp_path, 5, 3)
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    crops.fill_cache(paths, library, tmp_path, 5, len(stamps) + 2)
    assert len(list(tmp_path.iterdir())) >= len(stamps) + 2
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())


def test_crops_hold_picture_and_truth_in_one_size(tmp_path, library, photos):
    crops.fill_cache(list_photographs([photos]), library, tmp_path, 1, 4)
    for path in tmp_path.glob("*.npz"):
        crop = crops.read_crop(path)
        assert crop.picture.shape == (crops.CROP_PX, crops.CROP_PX, 4)
        assert crop.truth.shape == (len(CHANNELS), crops.CROP_PX, crops.CROP_PX)
        assert crop.picture.dtype == crop.truth.dtype == np.uint8
        for level, channels, stride in zip(crop.features, FEATURES, FEATURE_STRIDES, strict=True):
            assert level.shape == (channels, crops.CROP_PX // stride, crops.CROP_PX // stride)
            assert level.dtype == np.float16
            assert np.isfinite(level).all()


def test_truth_has_overlays_and_scene_text_in_their_channels(library, photos):
    styles = [
        OverlayStyle("scene_text", "painted", "latin", 40),
        OverlayStyle("handwriting", "pen", "latin", 40),
    ]
    sample = generate(read_rgb(photos / "a.png"), 3, styles, library)
    overlay, printed, hand, stamp, watermark, scene, plate = crops.truth_of(sample)
    assert hand.max() == 255
    assert scene.max() > 200
    assert not printed.any()
    assert not stamp.any()
    assert not watermark.any()
    assert not plate.any()
    assert np.array_equal(overlay > 0, hand > 0)
    assert not (overlay[scene > 0] == 0).all() or not overlay[scene > 128].any()


def test_held_out_and_excluded_photographs_are_not_trained_on(tmp_path, photos, monkeypatch):
    for name, listed in (("HELDOUT_LIST", "b.png"), ("EXCLUDED_LIST", "c.png")):
        path = tmp_path / name
        path.write_text(f"{listed}\n")
        monkeypatch.setattr(crops, name, path)
    train, heldout = crops.split_photographs([photos])
    assert [path.name for path in heldout] == ["b.png"]
    assert [path.name for path in train] == ["a.png"]


def test_a_real_sign_is_scene_text_in_the_truth_and_no_overlay(library):
    y, x = np.mgrid[0:600, 0:700]
    photograph = np.repeat((120 + 40 * np.sin(x / 40) * np.cos(y / 50))[..., None], 3, 2).astype(np.uint8)
    cv2.putText(photograph, "BAKERY", (250, 320), cv2.FONT_HERSHEY_SIMPLEX, 2, (20, 20, 20), 5, cv2.LINE_AA)
    sign = Box(230, 250, 520, 350)
    detector = crops.load_line_detector()
    bare = [crops.make_sign_canvas(photograph, [sign], seed, library, detector) for seed in range(6)]
    for sample in bare:
        seen = sample.kinds["scene_text"]
        assert 0.1 < seen.max() <= 1
        assert min(sample.picture.shape[:2]) >= 300
    assert any(not sample.influence.any() for sample in bare), "some canvases bear nothing but the sign"


def test_writing_in_a_bare_photograph_is_the_scenes(tmp_path, library, monkeypatch):
    photograph = np.full((600, 700, 3), 120, np.uint8)
    cv2.putText(photograph, "BAKERY", (250, 320), cv2.FONT_HERSHEY_SIMPLEX, 2, (20, 20, 20), 5, cv2.LINE_AA)
    (sign,) = crops.written_signs(photograph, crops.load_line_detector())
    assert sign.intersection(Box(230, 250, 520, 350)).area_px > 0.7 * sign.area_px
    path = tmp_path / "bare.png"
    cv2.imwrite(str(path), photograph)
    monkeypatch.setattr(crops, "_BARE_SIGN_SHARE", 1.0)
    asked = []
    made = crops.make_sign_canvas
    monkeypatch.setattr(crops, "make_sign_canvas", lambda *given: asked.append(given[1]) or made(*given))
    crops.fill_cache([], library, tmp_path / "crops", 3, 2, bare=[path])
    assert all(boxes == [sign] for boxes in asked)
    assert asked


def test_the_committed_signs_lie_in_photographs_that_are_named_once():
    signs = crops.read_signs()
    assert sum(map(len, signs.values())) == 94
    assert all(box.area_px > 0 for boxes in signs.values() for box in boxes)


def test_the_committed_list_names_thirty_photographs():
    names = (crops.HELDOUT_LIST).read_text().split()
    assert len(set(names)) == len(names) == 30


def test_waiting_for_crops_ends_with_them_or_with_their_maker(tmp_path):
    running, dead = (SimpleNamespace(is_alive=lambda alive=alive: alive, exitcode=1) for alive in (True, False))
    (tmp_path / "0.npz").touch()
    wait_for(tmp_path, 1, running)
    wait_for(tmp_path, 1, dead)
    with pytest.raises(RuntimeError, match="ended with code 1: 1 of 2 in"):
        wait_for(tmp_path, 2, dead, poll_s=0)
