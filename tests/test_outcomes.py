"""The status of an image: what its regions decided, and whether the file as it was written holds up."""

import numpy as np
import pytest

from cleanplate.attempts import Edit
from cleanplate.encode import Result
from cleanplate.image import Carried, Image
from cleanplate.measure import Measured
from cleanplate.outcomes import conclude
from cleanplate.records import Box, Job, Region, RegionOutcome, Route


def _outcome(decision, confidence, number=0):
    plane = np.ones((2, 2), np.float32)
    region = Region(number, "overlay_text", 0.9, Box(0, 0, 2, 2), plane, plane.astype(np.uint8), plane)
    return RegionOutcome(region, decision, confidence, Route("pde", "no rights: kept"))


def _concluded(*regions, data=b"png"):
    rgb = np.zeros((4, 4, 3), np.uint8)
    image = Image(rgb, rgb, Carried("PNG", "image/png", "RGB"), b"")
    after = Image(rgb + 1, rgb + 1, Carried("PNG", "image/png", "RGB"), b"")
    plane = np.zeros((4, 4), np.float32)
    result = Result(edit=Edit(Job("i", image), rgb, plane, regions), data=data, image=after if data else None)
    return conclude([result], [Measured({}, regions)], {"fill": 0.1}, 0.7)[0]


@pytest.mark.parametrize(
    ("regions", "status", "stage"),
    [
        ([("filled", 0.9), ("kept", 0.0)], "cleaned", None),
        ([("filled", 0.9), ("review", 0.4)], "review", "verify"),
        ([("filled", 0.9), ("filled", 0.3)], "review", "measure"),
        ([("gated", 0.0)], "refused", "rights"),
        ([("gated", 0.0), ("filled", 0.8)], "cleaned", None),
    ],
)
def test_the_status_says_the_worst_of_the_regions(regions, status, stage):
    outcome = _concluded(*(_outcome(*region, number) for number, region in enumerate(regions)))
    assert outcome.status == status
    assert (outcome.error.stage if outcome.error else None) == stage


def test_a_written_region_that_does_not_hold_up_is_named_with_its_confidence():
    outcome = _concluded(_outcome("filled", 0.9), _outcome("filled", 0.16, 1))
    assert outcome.error.message == (
        "1 of 2 regions do not hold up in the written result; the worst is region 1 (overlay_text), "
        "confidence 0.16 < 0.70"
    )
    assert outcome.confidence == 0.16
    assert outcome.diff is not None, "the reviewer may still take it"


def test_nothing_done_is_unchanged():
    assert _concluded(data=None).status == "unchanged"
