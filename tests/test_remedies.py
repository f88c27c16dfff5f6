"""What follows from which failure, and how it reads."""

import pytest

from cleanplate import remedies
from cleanplate.fill.base import EngineSpec

UNCOVERS = EngineSpec("looks under", "MIT", 1.0, uncovers=True)
PLAIN, EXEMPLARS = EngineSpec("plain", "MIT", 1.0), EngineSpec("copies", "MIT", 1.0, exemplars=True)


@pytest.mark.parametrize(
    ("failures", "spec", "done", "remedy"),
    [
        (("residual_text",), PLAIN, (), remedies.WIDER),
        (("residual_text",), PLAIN, (remedies.WIDER,), remedies.NEXT),
        (("residual_text",), UNCOVERS, (), remedies.NEXT),
        (("colour_drift", "expected_error"), PLAIN, (), remedies.MATCHED),
        (("colour_drift",), PLAIN, (remedies.MATCHED,), remedies.NEXT),
        (("structure",), EXEMPLARS, (), remedies.RESCALED),
        (("structure",), EXEMPLARS, (remedies.RESCALED,), remedies.NEXT),
        (("structure",), PLAIN, (), remedies.NEXT),
        (("texture_ratio", "colour_drift"), PLAIN, (), remedies.NEXT),
        ((), PLAIN, (), remedies.NEXT),
    ],
)
def test_the_worst_failure_chooses(failures, spec, done, remedy):
    assert remedies.choose(failures, spec, done, may_widen=True) == remedy


def test_masks_that_may_not_grow_stay():
    assert remedies.choose(("residual_text",), PLAIN, (), may_widen=False) == remedies.NEXT


def test_the_reason_speaks_the_words_of_the_field():
    words = remedies.explain(0.61, 0.7, ("colour_drift", "seam", "structure"), {"colour_drift": 11.3, "seam": 2.5})
    assert words == "confidence 0.61 < 0.70 (low-frequency mismatch=11.30, seam=2.50)"
    assert remedies.explain(0.5, 0.7, (), {}) == "confidence 0.50 < 0.70"
