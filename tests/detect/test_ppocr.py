"""The PP-OCR detector against rapidocr's own, and on pictures of odd sizes."""

import cv2
import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from cleanplate.config import Config, ModelsConfig
from cleanplate.detect.ppocr import _TRUNK, PpocrDetector, _load_on_gpu, prepare
from cleanplate.image import Carried, Image
from cleanplate.models.onnx_files import read_onnx
from cleanplate.models.registry import Registry
from cleanplate.models.stroke_net import FEATURES
from cleanplate.records import Job


def _picture(width=640, height=480):
    """A gradient with three lines of text at known places."""
    y, x = np.mgrid[0:height, 0:width]
    rgb = np.stack([60 + x / 8, 90 + y / 8, 140 - x / 10], axis=2).astype(np.uint8)
    image = Pillow.fromarray(rgb)
    draw = ImageDraw.Draw(image)
    boxes = []
    lines = (("Summer holiday", (60, 60), 40), ("Lisbon 2024", (300, 200), 32), ("all rights", (90, 380), 24))
    for text, place, size in lines:
        font = ImageFont.load_default(size)
        draw.text(place, text, font=font, fill=(255, 255, 255))
        boxes.append(draw.textbbox(place, text, font=font))
    return np.array(image), np.array(boxes)


def _job(rgb):
    return Job("a", Image(rgb, rgb, Carried("PNG", "image/png", "RGB"), b""))


@pytest.fixture(scope="module")
def detector():
    config = Config(models=ModelsConfig(threads=1))
    return PpocrDetector.build(config, Registry.load(config.models), "cpu")


def test_finds_every_line_where_it_was_drawn(detector):
    rgb, drawn = _picture()
    found = detector.detect([_job(rgb)])[0]
    assert len(found) == 3
    for detection, (left, top, right, bottom) in zip(found, drawn, strict=True):
        box = detection.box
        assert abs(box.left - left) < 12
        assert abs(box.right - right) < 12
        assert abs(box.top - top) < 12
        assert abs(box.bottom - bottom) < 12
        assert detection.kind == "overlay_text"
        assert 0.6 <= detection.score <= 1
        assert 0.7 < detection.height_px / (bottom - top) < 1.7
        assert detection.confidence.shape == (box.height, box.width)
        assert detection.confidence.dtype == np.float32
        soft = (detection.confidence > 0.02) & (detection.confidence < 0.98)
        assert soft.any(), "the map must not be thresholded"


def test_boxes_are_those_of_rapidocr(detector):
    rapidocr = pytest.importorskip("rapidocr")
    engine = rapidocr.RapidOCR(
        params={
            "Global.log_level": "error",
            "Global.use_cls": False,
            "Global.use_rec": False,
            "Det.limit_type": "max",
            "Det.limit_side_len": 960,
            "Det.mean": [0.485, 0.456, 0.406],
            "Det.std": [0.229, 0.224, 0.225],
        }
    )
    rgb, _ = _picture(960, 480)  # seen at its own size by both
    boxes = engine(rgb[:, :, ::-1]).boxes
    theirs = sorted((cv2.boundingRect(np.round(box).astype(int)) for box in boxes), key=lambda rect: rect[1])
    ours = [detection.box for detection in detector.detect([_job(rgb)])[0]]
    assert len(ours) == len(theirs) == 3
    for box, (x, y, w, h) in zip(ours, theirs, strict=True):
        assert np.abs(np.array([box.left, box.top, box.right, box.bottom]) - [x, y, x + w, y + h]).max() <= 4


def test_input_is_bgr_normalised():
    rgb = np.zeros((64, 64, 3), np.uint8)
    rgb[..., 0] = 255
    tensor = prepare(rgb, (64, 96))
    assert tensor.shape == (3, 64, 96)
    assert tensor.dtype == np.float32
    assert tensor[2].mean() == pytest.approx((1 - 0.406) / 0.225, abs=1e-4)
    assert tensor[0].mean() == pytest.approx((0 - 0.485) / 0.229, abs=1e-4)


def test_a_picture_alone_and_in_a_batch_give_the_same_map(detector):
    rgb, _ = _picture()
    other = rgb[::-1].copy()
    alone = detector.confidence_maps([rgb])[0]
    together = detector.confidence_maps([other, rgb, rgb[:200]])
    assert together[1].shape == rgb.shape[:2]
    assert np.abs(together[1] - alone).max() < 1e-3
    assert together[2].shape == (200, 640)


@pytest.mark.parametrize("shape", [(1, 1), (3, 20_000), (20_000, 3), (40, 33), (5, 900)])
def test_odd_sizes_yield_maps_of_their_size(detector, shape):
    rgb = np.full((*shape, 3), 200, np.uint8)
    assert detector.confidence_maps([rgb])[0].shape == shape
    assert detector.detect([_job(rgb)]) == [[]]


def test_small_text_in_a_long_strip_is_still_found(detector):
    rgb, _ = _picture(640, 200)
    strip = np.full((200, 4000, 3), 90, np.uint8)
    strip[:, 3000:3640] = rgb
    found = detector.detect([_job(strip)])[0]
    assert any(detection.box.left > 3000 and detection.box.height > 30 for detection in found)


def test_an_empty_batch(detector):
    assert detector.detect([]) == []
    assert detector.confidence_maps([]) == []


def test_features_are_the_trunks_own(detector):
    rgb, _ = _picture()
    sight = detector.look([rgb[:200], rgb])[1]
    model = read_onnx(Registry.load(ModelsConfig()).path("ppocr_det"), _TRUNK)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    wanted = session.run(None, {session.get_inputs()[0].name: prepare(rgb, (736, 960))[None]})[1:]
    assert tuple(level.shape[1] for level in sight.features) == FEATURES
    for found, level in zip(sight.features, wanted, strict=True):
        assert np.allclose(found.numpy(), level, atol=1e-3 * np.abs(level).max())
    assert np.array_equal(sight.confidence, detector.confidence_maps([rgb[:200], rgb])[1])


def test_features_in_torch_are_those_of_onnxruntime(detector):
    rgb, _ = _picture(320, 320)
    by_torch = PpocrDetector(
        _load_on_gpu(Registry.load(ModelsConfig()).path("ppocr_det"), "cpu", 1), Config().detect
    ).look([rgb])[0]
    wanted = detector.look([rgb])[0]
    assert np.abs(by_torch.confidence - wanted.confidence).max() < 1e-3
    for found, level in zip(by_torch.features, wanted.features, strict=True):
        assert torch.allclose(found, level, atol=1e-3 * float(level.abs().max()))


@pytest.mark.parametrize("upright", [False, True])
def test_features_of_a_long_strip_are_those_of_its_parts(detector, upright):
    """Far from where two windows meet, the strip's features are those of the part alone, at its place."""
    rgb, _ = _picture(640, 200)
    strip = np.full((200, 2400, 3), 90, np.uint8)
    strip[:, 400:1040] = rgb
    strip[:, 1600:2240] = rgb[:, ::-1]
    given = np.ascontiguousarray(strip.transpose(1, 0, 2)) if upright else strip
    levels = detector.look([given])[0].features
    alone = detector.look([given[:800] if upright else given[:, :800]])[0].features
    for whole, part, stride in zip(levels, alone, (4, 8, 16, 32), strict=True):
        along = 2 if upright else 3
        assert whole.shape[along] == 3 * part.shape[along]
        assert whole.shape[5 - along] == part.shape[5 - along]
        # the next window begins at 700 of 800 pixels, but its rim, an eighth of its short side, is not used
        same = round(part.shape[along] * 7 / 8) + part.shape[5 - along] // 8
        difference = (whole.narrow(along, 0, same) - part.narrow(along, 0, same)).abs()
        assert difference.max() < 1e-3 * part.abs().max(), stride
        # nothing is left out between the windows
        assert (whole.abs().sum(dim=(0, 1, 5 - along)) > 0).all()


def test_a_picture_too_small_for_text_has_features_of_nothing(detector):
    sight = detector.look([np.full((5, 900, 3), 200, np.uint8)])[0]
    assert [level.shape[1] for level in sight.features] == list(FEATURES)
    assert not any(level.any() for level in sight.features)
