"""The clock shares seconds and names the stage that failed."""

import time

import pytest

from cleanplate.stages import StageClock, StageError


def test_seconds_are_shared_between_the_images():
    clock = StageClock(4)
    with clock("mask"):
        time.sleep(0.04)
    assert 0.01 <= clock.seconds["mask"] < 0.04


def test_an_error_carries_its_stage_and_cause():
    clock = StageClock(1)
    cause = ValueError("odd")
    with pytest.raises(StageError, match="fill: odd") as caught, clock("fill"):
        raise cause
    assert caught.value.cause is cause
    assert caught.value.stage == "fill"
    assert "fill" in clock.seconds


def test_an_interrupt_is_not_swallowed():
    with pytest.raises(KeyboardInterrupt), StageClock(1)("fill"):
        raise KeyboardInterrupt
