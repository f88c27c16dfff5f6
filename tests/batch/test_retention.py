"""The retention guard: Delta's intervals, and what is said when their time is nearly up."""

from datetime import datetime, timedelta, timezone

import pytest

from cleanplate.batch.retention import FILES, LOG, WARN_DAYS, interval_days, retention_warnings, shortest_days
from cleanplate.warehouse.events import ActiveRun, Event
from cleanplate.warehouse.schemas import TABLES, properties

START = datetime(2026, 1, 1, 12)


class Tables:
    """Stands for a warehouse: only the tables' properties are asked for."""

    def __init__(self, **changed):
        self._changed = changed

    def properties(self, table):
        return properties(TABLES[table]) | self._changed.get(table, {})


def event(seq, action, state, at=START, run="b-r0001", **values):
    return Event("b", seq, 0, action, run, state, at=at, **values)


def said(events, days, tables=None):
    now = START.replace(tzinfo=timezone.utc) + timedelta(days=days)
    return retention_warnings(tables or Tables(), events, now)


@pytest.mark.parametrize(
    ("text", "days"),
    [("interval 30 days", 30), ("INTERVAL 1 week", 7), ("interval 12 hours", 0.5), ("interval 1 fortnight", 0),
     ("interval 1 week 2 days", 9)],
)  # fmt: skip
def test_intervals_of_delta(text, days):
    assert interval_days(text) == days


def test_a_table_without_properties_has_deltas_own_week():
    assert shortest_days({}) == 7
    assert shortest_days({FILES: "interval 60 days", LOG: "interval 60 days"}) == 60
    assert shortest_days({FILES: "interval 60 days"}) == 30, "the log's default bounds it"


def test_a_table_that_keeps_less_than_the_window_is_named():
    (warning,) = said([], 0, Tables(diffs={FILES: "interval 7 days"}))
    assert "table diffs keeps former versions for 7 days, not 30" in warning
    assert said([], 0) == []


def test_an_open_run_is_told_before_its_manifest_can_go():
    events = [event(1, "start", "running"), event(2, "hold", "held", START + timedelta(days=29))]
    assert said(events, 30 - WARN_DAYS - 1) == []
    (warning,) = said(events, 30 - WARN_DAYS + 1)
    assert "run b-r0001 is held and reads the manifest as it was when it started" in warning
    assert "until 2026-01-31 12:00 UTC only" in warning
    assert "safe only until 2026-01-31" in said(events, 45)[0]


def test_pinned_readers_are_told_only_while_there_is_time():
    active = (ActiveRun("b-r0001", 1),)
    events = [
        event(1, "start", "running"),
        event(2, "publish", "published", active_runs=active, table_versions={"results": 3}),
    ]
    assert said(events, 10) == []
    assert "pinned to the table versions of event 2" in said(events, 25)[0]
    assert said(events, 31) == []
    assert said([*events, event(3, "roll_back", "rolled_back")], 25) == [], "nobody is pinned to what is not shown"
