"""States of runs, without Spark."""

from __future__ import annotations

import pytest

from cleanplate.errors import ContractError
from cleanplate.warehouse.events import (
    TRANSITIONS,
    ActiveRun,
    Event,
    check_transition,
    event_from_row,
    event_to_row,
    last_of,
    open_run_of,
    run_state,
)
from cleanplate.warehouse.schemas import LEDGER, STATES

ONE, TWO = ActiveRun("b-r0001", 1), ActiveRun("b-r0002", 2)


def event(seq, action, run, *active):
    return Event("b", seq, 0, action, run, TRANSITIONS[action][1], active)


def test_a_replaced_run_counts_as_rolled_back_and_a_restored_one_as_published():
    events = [
        event(1, "start", "b-r0001"),
        event(2, "publish", "b-r0001", ONE),
        event(3, "start", "b-r0002", ONE),
        event(4, "publish", "b-r0002", TWO),
    ]
    assert run_state(events, "b", "b-r0001") == "rolled_back"
    assert run_state(events, "b", "b-r0002") == "published"
    assert run_state(events, "b", "b-r0003") is None
    events.append(event(5, "roll_back", "b-r0002", ONE))
    assert run_state(events, "b", "b-r0001") == "published"
    assert run_state(events, "b", "b-r0002") == "rolled_back"


def test_the_open_run_is_found_behind_events_of_other_runs():
    events = [event(1, "start", "b-r0001"), event(2, "publish", "b-r0001", ONE), event(3, "start", "b-r0002", ONE)]
    events += [event(4, "hold", "b-r0002", ONE), event(5, "roll_back", "b-r0001")]
    assert open_run_of(events, "b").seq == 4
    assert last_of(events, "b").seq == 5
    assert open_run_of(events[:2], "b") is None
    assert open_run_of(events, "other") is None


HISTORY = {
    None: [],
    "running": ["start"],
    "held": ["start", "hold"],
    "published": ["start", "publish"],
    "rolled_back": ["start", "publish", "roll_back"],
    "aborted": ["start", "abort"],
    "purging": ["start", "abort", "purge"],
    "purged": ["start", "abort", "purge", "purged"],
}
ALLOWED = {
    None: {"start"},
    "running": {"hold", "resume", "publish", "abort"},
    "held": {"hold", "resume", "approve", "abort", "rehearsed"},
    "published": {"roll_back", "purge", "restore", "rehearsed"},
    "rolled_back": {"republish", "purge", "restore"},
    "aborted": {"purge"},
    "purging": {"purge", "purged"},
    "purged": set(),
}


@pytest.mark.parametrize("state", HISTORY)
@pytest.mark.parametrize("action", TRANSITIONS)
def test_every_step_from_every_state(state, action):
    events = [event(seq, act, "b-r0001", *[ONE] * (act == "publish")) for seq, act in enumerate(HISTORY[state], 1)]
    assert run_state(events, "b", "b-r0001") == state
    if action in ALLOWED[state]:
        assert check_transition(events, "b", "b-r0001", action) in STATES
    else:
        with pytest.raises(ContractError, match=r"cannot .* run b-r0001, which is"):
            check_transition(events, "b", "b-r0001", action)


def test_a_rehearsal_leaves_the_state_as_it_is():
    held = [event(1, "start", "b-r0001"), event(2, "hold", "b-r0001")]
    assert check_transition(held, "b", "b-r0001", "rehearsed") == "held"
    published = [event(1, "start", "b-r0001"), event(2, "publish", "b-r0001", ONE)]
    assert check_transition(published, "b", "b-r0001", "rehearsed") == "published"


def test_rows_and_events_turn_into_each_other():
    whole = Event(
        "b", 3, 2, "publish", "b-r0002", "published", (ONE, TWO), "layer", 4, "hash", "seed: 1\n", {"det": "ff"},
        "0.1", "{}", {"results": 9}, {"cleaned": 2}, "{}", "ann", None, "note",
    )  # fmt: skip
    row = event_to_row(whole)
    assert set(row) == set(LEDGER.fieldNames())
    assert row["active_keys"] == ["b-r0001@1", "b-r0002@2"]
    assert event_from_row(row) == whole
