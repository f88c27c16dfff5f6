"""Known marks as detections: where a picture carries one, with its template; nowhere else."""

import cv2
import numpy as np
import pytest

from cleanplate.config import MaskConfig
from cleanplate.detect.recurring import SOURCE, RecurringDetector
from cleanplate.image import Carried, Image
from cleanplate.marks.recurring import RecurringMark
from cleanplate.mask import build_masks
from cleanplate.records import Box, Job, Template


@pytest.fixture
def mark():
    canvas = np.zeros((30, 80), np.uint8)
    cv2.putText(canvas, "abc", (4, 22), cv2.FONT_HERSHEY_SIMPLEX, 0.9, 255, 3, cv2.LINE_AA)
    alpha = 0.5 * canvas.astype(np.float32) / 255
    template = Template(alpha, np.full((30, 80, 3), 250, np.float32), np.full((30, 80), 2, np.float32))
    return RecurringMark("m-1", "watermark", "top_right", -90, 12, template)


def job(mark, with_it):
    rng = np.random.default_rng(5)
    rgb = cv2.GaussianBlur(rng.normal(0, 40, (90, 160, 3)).astype(np.float32), (0, 0), 2) + 110
    if with_it:
        place = mark.place(160, 90)
        alpha = mark.template.alpha[..., None]
        rgb[place.slices] = rgb[place.slices] * (1 - alpha) + alpha * mark.template.colour
    rgb = np.clip(np.rint(rgb), 0, 255).astype(np.uint8)
    return Job("x", Image(rgb, rgb, Carried("PNG", "image/png", "RGB"), b""))


def test_a_picture_with_it_has_one_detection_and_its_mask_is_the_templates(mark):
    found, none = RecurringDetector([mark]).detect([job(mark, True), job(mark, False)])
    assert none == []
    (detection,) = found
    assert (detection.kind, detection.source, detection.box) == ("watermark", SOURCE, Box(70, 12, 150, 42))
    assert 0.62 < detection.score <= 1
    assert np.array_equal(detection.strokes > 0, mark.template.alpha > 0)
    (region,) = build_masks([job(mark, True)], [found], MaskConfig())[0]
    assert region.known.mark_id == "m-1"
    assert np.array_equal(region.known.within(Box(70, 12, 150, 42)).alpha, mark.template.alpha)
    inside = np.zeros((90, 160), np.float32)
    inside[region.box.slices] = region.core
    assert inside[detection.box.slices][mark.template.alpha > 0].all()


def test_a_mark_that_sticks_out_is_cut(mark):
    from dataclasses import replace

    away = replace(mark, left=-60)
    (found,) = RecurringDetector([away]).detect([job(mark, False)])[:1]
    assert found == []
    picture = job(mark, False)
    rgb = picture.image.rgb.copy()
    alpha = mark.template.alpha[:, :60, None]
    rgb[12:42, 100:160] = np.rint(rgb[12:42, 100:160] * (1 - alpha) + alpha * 250)
    (detection,) = RecurringDetector([away]).detect([replace(picture, image=replace(picture.image, rgb=rgb))])[0]
    assert detection.box == Box(100, 12, 160, 42)
    assert detection.known.box == Box(100, 12, 180, 42)
