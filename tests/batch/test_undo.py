"""Undo: one image goes back to its original, by its source or by its diff."""

from __future__ import annotations

import hashlib

import cv2
import numpy as np
import pytest

from cleanplate.batch.rollback import roll_back
from cleanplate.batch.undo import undo
from cleanplate.cli.main import main
from cleanplate.codec import decode
from cleanplate.config import SourceConfig
from cleanplate.diff import make_diff
from cleanplate.errors import ContractError
from cleanplate.warehouse.ledger import Ledger
from cleanplate.warehouse.schemas import DIFFS, RESULTS

PLAIN = SourceConfig(guard="none")


def write_png(path, seed, blot=False):
    pixels = np.random.default_rng(seed).integers(0, 255, (12, 16, 3), np.uint8)
    if blot:
        pixels[3:6, 4:9] = 0
    cv2.imwrite(str(path), pixels)
    return path.read_bytes()


@pytest.fixture
def cleaned(warehouse, tmp_path):
    """Three images, really stored with their diffs, in a published run; name -> path of the source."""
    run = Ledger(warehouse).start_run("b", config_hash="c0ffee", who="tester")
    sources, results, diffs = {}, [], []
    for number, name in enumerate(("one", "two", "three")):
        sources[name] = tmp_path / f"{name}.png"
        before = write_png(sources[name], number, blot=True)
        after = write_png(tmp_path / "after.png", number)
        uri = warehouse.objects.put("b", run.run_id, after, "png")
        patch = make_diff(decode(before, PLAIN).native, decode(after, PLAIN).native)
        common = {"batch_id": "b", "run_id": run.run_id, "wave": 0, "image_id": name, "config_hash": "c0ffee"}
        results.append(common | {
            "attempt": 1, "status": "cleaned", "uri": str(sources[name]), "result_uri": uri, "seed": 7,
            "source_sha256": hashlib.sha256(before).hexdigest(), "width": 16, "height": 12, "retryable": False,
        })  # fmt: skip
        diffs.append(common | {"kind": "local", "patch": patch})
    for table, schema, rows in (("results", RESULTS, results), ("diffs", DIFFS, diffs)):
        values = [tuple(row.get(name) for name in schema.fieldNames()) for row in rows]
        warehouse.append(warehouse.spark.createDataFrame(values, schema), table)
    Ledger(warehouse).record("b", run.run_id, "publish", active_runs=_active(run.run_id))
    return sources


def _active(run_id):
    from cleanplate.warehouse.events import ActiveRun

    return (ActiveRun(run_id),)


def test_undo_by_source_and_by_diff(warehouse, cleaned, shown, query_without_spark):
    original = decode(cleaned["two"].read_bytes(), PLAIN)
    cleaned["two"].unlink()
    (event,) = undo(warehouse, ["one", "two"], who="ann", note="asked for by the owner")
    assert (event.run_id, event.run_kind, event.counts) == ("b-r0002", "layer", {"restored": 2})
    assert [run.run_id for run in event.active_runs] == ["b-r0001", "b-r0002"]
    assert "asked for by the owner; two: its source is gone" in event.note
    assert shown() == {
        "one": ("b-r0002", "restored"), "two": ("b-r0002", "restored"), "three": ("b-r0001", "cleaned"),
    }  # fmt: skip
    rows = {row["image_id"]: row for row in query_without_spark("results_current")}
    one, two = rows["one"], rows["two"]
    assert (one["result_uri"], one["result_sha256"]) == (str(cleaned["one"]), one["source_sha256"])
    assert "/objects/b/b-r0002/" in two["result_uri"]
    restored = decode(warehouse.objects.get(two["result_uri"]), PLAIN)
    np.testing.assert_array_equal(restored.native, original.native)
    assert [row["image_id"] for row in query_without_spark("diffs_current")] == ["three"]
    with pytest.raises(ContractError, match="'one' is restored: it shows its original already"):
        undo(warehouse, "one")
    roll_back(warehouse, "b", to="b-r0001")
    assert shown()["one"] == ("b-r0001", "cleaned")


@pytest.fixture
def upscaled(warehouse, tmp_path):
    """An image whose result has twice its size and a diff that leads nowhere; the path of its source."""
    run = Ledger(warehouse).start_run("u", config_hash="c0ffee", who="tester")
    source = tmp_path / "small.png"
    before = write_png(source, 3)
    after = cv2.imencode(".png", cv2.resize(cv2.imread(str(source)), (32, 24)))[1].tobytes()
    common = {"batch_id": "u", "run_id": run.run_id, "wave": 0, "image_id": "small", "config_hash": "c0ffee"}
    result = common | {
        "attempt": 1, "status": "cleaned", "uri": str(source), "seed": 7, "retryable": False, "width": 32, "height": 24,
        "result_uri": warehouse.objects.put("u", run.run_id, after, "png"), "synthetic": True,
        "source_sha256": hashlib.sha256(before).hexdigest(), "enhancements": [{"name": "generative", "scale": 2}],
    }  # fmt: skip
    for table, schema, row in (
        ("results", RESULTS, result), ("diffs", DIFFS, common | {"kind": "whole", "picture": b"p"})
    ):  # fmt: skip
        values = [tuple(row.get(name) for name in schema.fieldNames())]
        warehouse.append(warehouse.spark.createDataFrame(values, schema), table)
    Ledger(warehouse).record("u", run.run_id, "publish", active_runs=_active(run.run_id))
    return source


def test_what_changed_as_a_whole_comes_back_by_its_source_only(warehouse, upscaled, query_without_spark):
    data = upscaled.read_bytes()
    upscaled.unlink()
    with pytest.raises(ContractError, match=r"no diff leads back to it \(the whole picture was enhanced"):
        undo(warehouse, "small")
    upscaled.write_bytes(data)
    undo(warehouse, "small")
    (row,) = [row for row in query_without_spark("results_current") if row["image_id"] == "small"]
    assert (row["status"], row["result_uri"], row["width"], row["height"]) == ("restored", str(upscaled), 16, 12)
    assert (row["synthetic"], row["media_type"]) == (False, "image/png")


def test_undo_refuses_what_it_cannot_bring_back(warehouse, cleaned, shown):
    write_png(cleaned["three"], 99)  # the source changed ...
    warehouse.delete("diffs", "image_id = 'three'")  # ... and no diff leads back
    with pytest.raises(ContractError, match="bring that file back"):
        undo(warehouse, ["one", "three"])
    with pytest.raises(ContractError, match="'four' is not published"):
        undo(warehouse, "four")
    assert Ledger(warehouse).last("b").seq == 2, "nothing was begun"
    assert shown()["one"] == ("b-r0001", "cleaned")


def test_a_list_of_images_is_one_layer(warehouse, cleaned, shown, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("cleanplate.batch.undo.CHUNK_IMAGES", 1)
    cleaned["one"].unlink()
    listed = tmp_path / "ids.txt"
    listed.write_text("one\n# a remark\n\n  three \none\n")
    where = ["--warehouse", str(warehouse.location)]
    assert main(["undo", "--images", str(listed), "--image", "two", *where]) == 0
    assert "layer b-r0002 published; the originals are shown again (3 images)" in capsys.readouterr().out
    assert {run for run, _ in shown().values()} == {"b-r0002"}
    assert Ledger(warehouse).last("b").counts == {"restored": 3}
    assert main(["undo", "--images", str(listed), *where]) == 4
    assert "'one' is restored: it shows its original already (and 1 more of 2" in capsys.readouterr().err


def test_a_list_without_images_is_refused(tmp_path, capsys):
    (tmp_path / "ids.txt").write_text("# nothing\n")
    assert main(["undo", "--images", str(tmp_path / "ids.txt"), "--warehouse", "none"]) == 4
    assert main(["undo", "--images", str(tmp_path / "none.txt"), "--warehouse", "none"]) == 5
    assert main(["undo", "--warehouse", "none"]) == 2
    assert "names no image" in capsys.readouterr().err
