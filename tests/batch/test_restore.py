"""Restoring a batch to an earlier event: forwards and backwards, with a list of what vanishes and comes back."""

import json

import pytest

from cleanplate.batch.consequences import ORIGINAL, ImageChange
from cleanplate.batch.purge import purge
from cleanplate.batch.restore import foresee_restore, restore_to
from cleanplate.batch.rollback import roll_back
from cleanplate.cli.main import main
from cleanplate.errors import ContractError
from cleanplate.warehouse.ledger import Ledger


@pytest.mark.slow
def test_back_and_forth_over_the_ledger(warehouse, add_run, shown, capsys, tmp_path):
    add_run("b", ["x", "y"])  # events 1, 2
    add_run("b", ["y"], run_kind="layer", status="restored")  # 3, 4
    add_run("b", ["x", "z"])  # 5, 6
    add_run("late", ["z"])
    roll_back(warehouse, "b", originals=True)  # 7
    seq = Ledger(warehouse).last("b").seq

    found = foresee_restore(warehouse, "b", 4)
    assert [(run.run_id, run.kind, run.counts) for run in found.returning] == [
        ("b-r0001", "base", {"cleaned": 2}), ("b-r0002", "layer", {"restored": 1}),
    ]  # fmt: skip
    assert (found.vanishing, found.images) == ((), {"original to result": 1})
    assert found.named == (ImageChange("x", ORIGINAL, "b-r0001"),)
    assert Ledger(warehouse).last("b").seq == seq, "nothing was written"

    event = restore_to(warehouse, "b", 4, who="ann", note="after all")
    assert (event.action, event.state, event.note) == ("restore", "published", "after all; as after event 4")
    assert [run.key for run in event.active_runs] == ["b-r0001@1", "b-r0002@2"], "each keeps its publish_seq"
    assert shown() == {"x": ("b-r0001", "cleaned"), "y": ("b-r0002", "restored"), "z": ("late-r0001", "cleaned")}

    found = foresee_restore(warehouse, "b", 6)
    assert [run.run_id for run in found.vanishing] == ["b-r0001", "b-r0002"]
    assert found.images == {"result to other result": 1}, "another batch covers z before and after"
    where = ["--batch", "b", "--warehouse", str(warehouse.location)]
    assert main(["restore", "--to", "6", *where]) == 0
    assert "restored to event 6: it now shows b-r0003" in capsys.readouterr().out
    assert shown()["x"] == ("b-r0003", "cleaned")
    assert main(["rollback", "--dry-run", *where]) == 0
    said = capsys.readouterr().out
    assert "would show b-r0001, b-r0002; nothing was written" in said
    assert "would vanish: base run b-r0003 (2 cleaned)" in said
    assert "would come back: layer run b-r0002 (1 restored)" in said
    assert "images: 1 result to other result" in said
    assert "warning" not in said, "the tables keep their files for the window"

    purge(warehouse, "b", "b-r0001")
    assert foresee_restore(warehouse, "b", 4).purged == ("b-r0001",)
    with pytest.raises(ContractError, match="showed after event 2 was purged"):
        restore_to(warehouse, "b", 2)
    with pytest.raises(ContractError, match="events 1 to 11, not 99"):
        restore_to(warehouse, "b", 99)
    assert restore_to(warehouse, "b", 7).action == "roll_back"
    with pytest.raises(ContractError, match="already shows the originals"):
        restore_to(warehouse, "b", 1)
    log = tmp_path / "log.jsonl"
    assert main(["history", "--audit-log", str(log), *where]) == 0
    actions = [json.loads(line)["action"] for line in log.read_text().splitlines()]
    assert actions == ["start", "publish"] * 3 + ["roll_back", "restore", "restore", "purge", "purged", "roll_back"]


def test_rows_deleted_by_hand_stop_a_roll_back_to_them(warehouse, add_run, shown):
    add_run("b", ["x", "y"])
    add_run("b", ["x", "y"])
    warehouse.delete("results", "run_id = 'b-r0001' AND image_id = 'y'")
    with pytest.raises(ContractError, match="published with 2 images, but `results` holds 1"):
        roll_back(warehouse, "b")
    assert shown()["y"] == ("b-r0002", "cleaned"), "nothing was done"
    roll_back(warehouse, "b", originals=True)
    assert shown() == {}
