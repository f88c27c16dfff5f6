"""The evaluation: counts against maps whose answer is known."""

import evaluate_strokes as evaluation
import numpy as np
import pytest

from cleanplate.evaluation.overlays import OverlayStyle, generate


def _truth():
    truth = np.zeros((40, 60), bool)
    truth[10:20, 10:30] = True
    return truth


def test_the_truth_itself_is_all_found_and_smaller_than_the_grown():
    counted = evaluation.count_picture("x", _truth(), _truth().astype(np.float32))
    assert counted.truth == 200
    assert counted.grown == 12 * 22
    assert counted.hit == counted.inside == counted.marked == (200, 200)


def test_thresholds_and_false_pixels_are_counted():
    found = np.where(_truth(), 0.4, 0).astype(np.float32)
    found[30:34, 40:50] = 0.9
    counted = evaluation.count_picture("x", _truth(), found)
    assert counted.marked == (240, 40)
    assert counted.inside == (200, 0)
    assert counted.hit == (200, 0)
    table = evaluation.pixel_table([counted])
    assert "| x | 1.000 | 0.000 | 0.833 | 0.000 | 0.909 | 0.152 |" in table


def test_an_overlay_is_found_and_named_by_its_own_pixels(library):
    photograph = np.full((120, 160, 3), 90, np.uint8)
    style = OverlayStyle("stamp", "square", "latin", 24)
    sample = generate(photograph, 2, [style], library)
    truth = sample.influence > 0.5
    maps = np.zeros((6, 120, 160), np.float32)
    maps[0] = truth
    maps[3] = truth * 0.5
    maps[1, :20] = 1
    marked = evaluation.mark(sample.overlays[0], truth, maps)
    assert marked.recall == 1
    assert marked.voted == "stamp"
    missed = evaluation.mark(sample.overlays[0], truth, maps * 0)
    assert missed.recall == 0
    table = evaluation.region_table([marked, missed])
    assert "| stamp | 2 | 0.500 | 1.000 |" in table
    assert "| script | latin | 2 | 0.500 | 0.500 |" in evaluation.spread_table([marked, missed])


@pytest.mark.parametrize(("size", "label"), [(12, "overlay_text < 16 px"), (24, "overlay_text >= 16 px")])
def test_printed_text_is_told_apart_by_size(library, size, label):
    photograph = np.full((120, 160, 3), 90, np.uint8)
    sample = generate(photograph, 2, [OverlayStyle(size_px=size)], library)
    assert evaluation.label_of(sample, "overlay_text") == label
