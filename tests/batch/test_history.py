"""The audit log: one JSON object per event, the same keys in each, and a file that is whole or not there."""

import json
import os
from datetime import datetime

import pytest

from cleanplate.batch.history import audit_lines
from cleanplate.batch.whole_file import write_whole
from cleanplate.errors import StorageError
from cleanplate.warehouse.events import ActiveRun, Event

EVENTS = [
    Event("b", 1, 0, "start", "b-r0001", "running", config_text="seed: 1\n", scope='{"waves": 2}', note="“ä” \n x"),
    Event(
        "b", 2, 1, "publish", "b-r0001", "published", (ActiveRun("b-r0001", 1),), model_hashes={"z": "1", "a": "2"},
        gates='{"residual": {"value": NaN, "verdict": "hold"}}', at=datetime(2026, 3, 1, 9, 5, 7),
    ),
    Event("b", 3, 1, "hold", "b-r0001", "held", gates="no JSON", at=datetime(2026, 3, 1, 9, 5, 7, 125)),
]  # fmt: skip


def test_each_event_is_one_line_with_the_same_keys():
    lines = audit_lines(EVENTS)
    rows = [json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON")) for line in lines]
    assert [list(row) for row in rows] == [list(rows[0])] * 3
    assert not any("\n" in line for line in lines)
    assert rows[0]["note"] == "“ä” \n x"
    assert (rows[0]["scope"], rows[0]["config_text"], rows[0]["at"]) == ({"waves": 2}, "seed: 1\n", None)
    assert rows[1]["active_runs"] == [{"run_id": "b-r0001", "publish_seq": 1}]
    assert list(rows[1]["model_hashes"]) == ["a", "z"]
    assert rows[1]["gates"] == {"residual": {"value": None, "verdict": "hold"}}
    assert [row["at"] for row in rows[1:]] == ["2026-03-01T09:05:07.000000Z", "2026-03-01T09:05:07.000125Z"]
    assert rows[2]["gates"] == "no JSON"


def test_a_file_is_replaced_whole_or_stays(tmp_path, monkeypatch):
    path = tmp_path / "new" / "log.jsonl"
    write_whole(path, "one\n")
    assert path.read_text() == "one\n"

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StorageError, match="No space left"):
        write_whole(path, "two\n")
    assert [(item.name, item.read_text()) for item in path.parent.iterdir()] == [("log.jsonl", "one\n")]
