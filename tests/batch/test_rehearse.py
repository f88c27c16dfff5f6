"""The rehearsed way back of a real batch, small: all diffs invert, and what is spoilt is named by row."""

import numpy as np
import pytest

from cleanplate.batch.rehearse import rehearse
from cleanplate.batch.run import RunOptions, clean_batch
from cleanplate.batch.undo import undo
from cleanplate.cli.main import main
from cleanplate.diff import make_diff
from cleanplate.errors import ContractError
from cleanplate.warehouse.ledger import Ledger
from cleanplate.warehouse.schemas import DIFFS


def commits(warehouse):
    return warehouse.versions(("manifest", "results", "masks", "diffs", "metrics", "staging"))


@pytest.mark.slow
def test_a_batch_rehearses_its_way_back(warehouse, ingested, config, steps, pictures, capsys):
    with pytest.raises(ContractError, match="no way back to rehearse"):
        rehearse(warehouse, "b")
    ingested("3.png", image_id="twin", sha256=None)  # never read when it was ingested; no boxes, so it stays
    clean_batch(warehouse, "b", config, RunOptions(who="ann"), steps)
    undo(warehouse, ["0"])
    before = commits(warehouse)
    found = rehearse(warehouse, "b", who="ann", note="before the release")
    assert (found.runs, found.failures) == (("b-r0001", "b-r0002"), ())
    assert (found.images, found.diffs, found.whole, found.failed, found.unrecorded) == (8, 6, 0, 0, 0)
    assert commits(warehouse) == before, "nothing was written but the event"
    event = Ledger(warehouse).last("b")
    assert (event.action, event.state, event.run_id) == ("rehearsed", "published", "b-r0001")
    assert event.note.startswith("before the release; rehearsed in ")
    assert "6 local diffs, 0 results without one: every one leads back" in event.note
    assert event.counts == {"cleaned": 6, "unchanged": 1}, "what the run's last event said of it still stands"
    assert [run.run_id for run in event.active_runs] == ["b-r0001", "b-r0002"], "what is shown is as before"

    spoil(warehouse, pictures[0])
    found = rehearse(warehouse, "b")
    failed = [(failure.image_id, failure.run_id, failure.step) for failure in found.failures]
    assert failed == [
        ("1", "b-r0001", "original"), ("2", "b-r0001", "result"), ("4", "b-r0001", "back"), ("4", "b-r0001", "forth"),
    ]  # fmt: skip
    assert (found.failed, found.diffs) == (3, 6)
    assert main(["rollback", "--rehearse", "--batch", "b", "--warehouse", str(warehouse.location)]) == 4
    said = capsys.readouterr()
    assert "3 of the rows do not lead back" in said.out
    assert "is closed for 3 rows" in said.err
    assert "1.png" in said.out


def spoil(warehouse, folder):
    """One original changes, one result is lost, one diff is another picture's."""
    rows = {row["image_id"]: row for row in warehouse.current("results").collect()}
    (folder / "1.png").write_bytes((folder / "2.png").read_bytes())
    [item] = [item for item in warehouse.objects.list("b") if item.uri == rows["2"]["result_uri"]]
    warehouse.objects.delete(item)
    diff = warehouse.frame("diffs").where("image_id = '4'").first().asDict()
    diff["patch"] = make_diff(np.zeros((48, 64, 3), np.uint8), np.ones((48, 64, 3), np.uint8))
    diff["before_sha256"] = diff["after_sha256"] = None
    warehouse.delete("diffs", "image_id = '4'")
    values = [tuple(diff[name] for name in DIFFS.fieldNames())]
    warehouse.append(warehouse.spark.createDataFrame(values, DIFFS), "diffs")


def test_a_rehearsal_is_of_all_that_is_shown(capsys):
    assert main(["rollback", "--rehearse", "--to", "3", "--batch", "b", "--warehouse", "none"]) == 2
    assert "leave out --to" in capsys.readouterr().err
