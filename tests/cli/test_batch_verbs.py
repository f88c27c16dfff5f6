"""The verbs that need tables, one after the other, as a user calls them."""

import hashlib
import json

import numpy as np
import pytest
from PIL import Image as Pillow

from cleanplate.cli.main import main

FAST = ["--set", "detect.detectors=[given]", "--set", "metrics.lpips=false", "--set", "source.guard=none"]


@pytest.fixture
def photos(tmp_path):
    """Three pictures, two of them with a box to clean."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a", "b", "c"):
        pixels = np.full((48, 64, 3), 90, np.uint8)
        pixels[12:20, 14:26] = 10
        Pillow.fromarray(pixels).save(folder / f"{name}.png")
    notes = {f"{name}.png": {"regions": [{"box": [10, 8, 30, 24]}]} for name in ("a", "b")}
    (tmp_path / "notes.json").write_text(json.dumps(notes))
    return folder


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.mark.slow
def test_a_batch_from_ingest_to_purge(warehouse, photos, tmp_path, capsys):
    where = ["--warehouse", str(warehouse.location)]
    batch = ["--batch", "b", *where]
    before = digests(photos)

    def call(*arguments):
        code = main(list(arguments))
        return code, capsys.readouterr()

    notes = ["--regions", str(tmp_path / "notes.json")]
    assert "3 images added" in call("ingest", "--source", str(photos), "--rights", "owned", *notes, *batch)[1].out

    code, said = call("clean", "--dry-run", *batch, *FAST)
    assert code == 0
    assert "3 images" in said.out
    assert "nothing was written" in said.out
    assert warehouse.frame("ledger").count() == 0

    code, said = call("clean", *batch, *FAST)
    assert "run b-r0001 published: 2 cleaned, 1 unchanged" in said.out

    status = json.loads(call("status", *where, "--json")[1].out)
    assert (status[0]["images"], status[0]["shows"]) == (3, ["b-r0001"])
    events = json.loads(call("history", *batch, "--json")[1].out)
    assert [event["action"] for event in events] == ["start", "publish"]
    assert "publish" in call("history", *batch)[1].out

    code, said = call("query", *where, "--json", "SELECT image_id, status FROM results_current ORDER BY image_id")
    ids = {row["image_id"][0]: row["image_id"] for row in json.loads(said.out)}
    assert call("query", *where, "DROP TABLE x")[0] == 4

    out = tmp_path / "out"
    assert call("export", *batch, "--out", str(out))[0] == 0
    with Pillow.open(out / f"{ids['a']}.png") as picture:
        assert np.array(picture)[12:20, 14:26].min() > 80
    assert (out / f"{ids['c']}.png").read_bytes() == (photos / "c.png").read_bytes()

    assert "the original is shown again" in call("undo", "--image", ids["a"], *where)[1].out
    code, said = call("rollback", "--purge", *batch)
    assert code == 0
    assert "b-r0001 purged" in said.out
    assert "b-r0002 purged" in said.out
    assert warehouse.frame("results").count() == 0
    assert not [path for path in (tmp_path / "wh" / "objects").rglob("*") if path.is_file()]
    assert digests(photos) == before


def test_a_missing_warehouse_says_who_makes_one(spark, tmp_path, capsys):
    assert main(["status", "--warehouse", str(tmp_path / "none")]) == 4
    assert "`cleanplate ingest`" in capsys.readouterr().err
