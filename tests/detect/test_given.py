"""Given boxes and masks as detections, and the registry of detectors."""

import numpy as np
import pytest

from cleanplate.config import Config, DetectConfig, ModelsConfig
from cleanplate.detect import build_detectors, detect
from cleanplate.detect.given import GivenDetector
from cleanplate.errors import ConfigError, ModelError
from cleanplate.image import Carried, Image
from cleanplate.models.registry import ModelEntry, Registry
from cleanplate.records import Box, GivenRegion, Job


def _job(mask=None, regions=()):
    rgb = np.zeros((40, 60, 3), np.uint8)
    return Job("a", Image(rgb, rgb, Carried("PNG", "image/png", "RGB"), b""), mask=mask, regions=tuple(regions))


def test_each_part_of_a_mask_keeps_its_own_alpha():
    mask = np.zeros((40, 60), np.float32)
    mask[2:6, 3:9] = 0.5
    mask[3, 4] = 1
    mask[20:30, 40:60] = 0.25
    mask[6, 9] = 0.1  # touches the first part at a corner
    first, second = GivenDetector().detect([_job(mask)])[0]
    assert (first.box, second.box) == (Box(3, 2, 10, 7), Box(40, 20, 60, 30))
    assert first.source == second.source == "given_mask"
    assert first.score == 1
    assert second.score == 0.25
    assert np.array_equal(first.confidence, mask[2:7, 3:10])
    assert first.kind == "object"


def test_parts_with_overlapping_boxes_do_not_take_each_others_pixels():
    mask = np.zeros((40, 60), np.float32)
    mask[0:10, 0] = mask[9, 0:10] = 1  # an L around ...
    mask[2:5, 5:8] = 0.5  # ... a block
    parts = GivenDetector().detect([_job(mask)])[0]
    assert sum(float(part.confidence.sum()) for part in parts) == pytest.approx(float(mask.sum()))


def test_boxes_keep_their_kind_and_are_clipped():
    regions = [GivenRegion(Box(50, 30, 90, 90), "stamp"), GivenRegion(Box(1, 1, 5, 5))]
    stamp, thing = GivenDetector().detect([_job(regions=regions)])[0]
    assert (stamp.kind, stamp.box, stamp.source) == ("stamp", Box(50, 30, 60, 40), "given_box")
    assert stamp.confidence.shape == (10, 10)
    assert stamp.confidence.min() == 1
    assert thing.kind == "object"
    assert thing.height_px == 0


def test_a_box_around_a_mask_tells_its_kind():
    mask = np.zeros((40, 60), np.float32)
    mask[5:8, 5:8] = 1
    found = GivenDetector().detect([_job(mask, [GivenRegion(Box(0, 0, 20, 20), "watermark")])])[0]
    assert {detection.kind for detection in found} == {"watermark"}


def test_nothing_given_nothing_found():
    assert GivenDetector().detect([_job(), _job()]) == [[], []]
    assert GivenDetector().detect([_job(np.zeros((40, 60), np.float32))]) == [[]]


def test_detectors_are_joined_per_job():
    class Twice:
        name = "twice"

        def detect(self, jobs):
            return [[job.image_id] * 2 for job in jobs]

    jobs = [_job(regions=[GivenRegion(Box(0, 0, 4, 4))]), _job()]
    first, second = detect(jobs, [GivenDetector(), Twice()])
    assert len(first) == 3
    assert second == ["a", "a"]


def test_an_unknown_detector_and_missing_weights_are_clear_errors(tmp_path):
    registry = Registry.load(ModelsConfig())
    with pytest.raises(ConfigError, match="unknown detector 'ocr'; there are: crosses, given, ppocr"):
        build_detectors(Config(detect=DetectConfig(detectors=("ocr",))), registry, "cpu")
    entry = ModelEntry(id="ppocr_det", uri=str(tmp_path / "none.onnx"), sha256="0" * 64, licence="MIT", commercial=True)
    with pytest.raises(ModelError, match="missing"):
        build_detectors(Config(), Registry((entry,)), "cpu")
