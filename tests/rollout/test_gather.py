"""Explain and audit of a batch in real tables: the same figures as the rows give by hand."""

import json
from datetime import datetime

import numpy as np
import pytest
from PIL import Image as Pillow

from cleanplate.batch.publish import publish
from cleanplate.batch.recurring import write_marks
from cleanplate.cli.main import main
from cleanplate.errors import ContractError
from cleanplate.marks.recurring import RecurringMark
from cleanplate.records import Template
from cleanplate.rollout.audit import Share
from cleanplate.rollout.audit_gather import gather_audit
from cleanplate.rollout.chain_gather import gather_chain
from cleanplate.warehouse.ledger import Ledger
from cleanplate.warehouse.schemas import DIFFS, MANIFEST, MASKS, METRICS, RESULTS, REVIEWS

TABLES = {"manifest": MANIFEST, "results": RESULTS, "masks": MASKS, "diffs": DIFFS, "metrics": METRICS,
          "reviews": REVIEWS}  # fmt: skip
MARK_IDS = ("m1", "m2")


@pytest.fixture
def add(warehouse):
    """Appends rows to a table: add("results", {...}, {...})."""

    def append(table, *rows):
        names = TABLES[table].fieldNames()
        values = [tuple(row.get(name) for name in names) for row in rows]
        warehouse.append(warehouse.spark.createDataFrame(values, TABLES[table]), table)

    return append


@pytest.fixture
def batch(warehouse, add, tmp_path):
    """Four images in two arms, one of them also in a layer that restores it."""
    source = tmp_path / "photo.png"
    Pillow.fromarray(np.full((40, 60, 3), 90, np.uint8)).save(source)
    add("manifest", *({"batch_id": "b", "image_id": f"photo-{n}", "uri": str(source), "sha256": "ab"} for n in "1234"))
    base = Ledger(warehouse).start_run("b", config_hash="c0ffee", config_text="seed: 7\n", model_hashes={"net": "ff"})
    add("results", *(_result(base, f"photo-{n}", status, arm, str(source)) for n, status, arm in (
        ("1", "cleaned", "A"), ("2", "cleaned", "A"), ("3", "review", "B"), ("4", "unchanged", "B"))))  # fmt: skip
    add("masks", *(_mask(base, f"photo-{n}", engine, cost) for n, engine, cost in (
        ("1", "pde", 2.0), ("2", "network", 10.0), ("3", "network", 20.0))))  # fmt: skip
    shape = (6, 8)
    template = Template(np.full(shape, 0.5, "f4"), np.full((*shape, 3), 200.0, "f4"), np.zeros(shape, "f4"))
    marks = [RecurringMark(name, "stamp", "middle", 0, 0, template, 0.75, ("photo-1", "photo-2")) for name in MARK_IDS]
    write_marks(warehouse, "b", base.run_id, marks)
    warehouse.spark.sql(f"UPDATE {warehouse.name('marks')} SET error_png = NULL WHERE mark_id = '{MARK_IDS[1]}'")
    key = {"batch_id": "b", "run_id": base.run_id, "wave": 0, "config_hash": "c0ffee"}
    add("diffs", key | {"image_id": "photo-1", "kind": "local", "patch": b"12345", "before_sha256": "11"})
    add("metrics", key | {"image_id": "photo-1", "name": "mask_coverage", "value": 0.25},
        key | {"image_id": "photo-2", "name": "mask_coverage", "value": 0.75})  # fmt: skip
    verdict = {"batch_id": "b", "run_id": base.run_id, "at": datetime(2026, 3, 1), "reviewer": "ann"}
    add("reviews", verdict | {"image_id": "photo-1", "verdict": "accept"},
        verdict | {"image_id": "photo-1", "verdict": "reject", "at": datetime(2026, 2, 1)},
        verdict | {"image_id": "photo-2", "verdict": "reject"},
        verdict | {"image_id": "photo-2", "verdict": "accept", "reviewer": "bob"})  # fmt: skip
    publish(warehouse, "b", base.run_id)
    layer = Ledger(warehouse).start_run("b", "layer")
    add("results", _result(layer, "photo-1", "restored", "A", str(source)))
    publish(warehouse, "b", layer.run_id)
    return str(warehouse.location)


def _result(run, image, status, arm, uri):
    return {
        "batch_id": "b", "run_id": run.run_id, "wave": 0, "image_id": image, "config_hash": "c0ffee", "attempt": 1,
        "status": status, "uri": uri, "result_uri": uri, "source_sha256": "ab", "arm": arm, "retryable": False,
        "synthetic": False, "enhancements": [] if status == "restored" else [("denoise", "", 1, False, 0.1)],
        "confidence": 0.5 if status == "review" else 0.75, "timings": {} if status == "restored" else {"fill": 2.0},
    }  # fmt: skip


def _mask(run, image, engine, cost):
    attempt = (1, engine, "", 0.5, cost, {}, [])
    return {
        "batch_id": "b", "run_id": run.run_id, "wave": 0, "image_id": image, "config_hash": "c0ffee", "region_id": 0,
        "kind": "stamp", "left": 0, "top": 0, "right": 4, "bottom": 4, "engine": engine, "attempts": [attempt],
        "mark_id": None if image == "photo-3" else MARK_IDS[0],
        "decision": "review" if image == "photo-3" else "filled", "confidence": 0.5, "score": 0.9, "features": {},
    }  # fmt: skip


def test_the_figures_of_a_batch(warehouse, batch, tmp_path, capsys):
    found = gather_audit(warehouse, "b")
    assert (found.runs, found.images, found.touched, found.coverage) == (("b-r0001", "b-r0002"), 4, 1, 0.75)
    assert found.statuses == {"restored": 1, "cleaned": 1, "review": 1, "unchanged": 1}
    (kind,) = found.kinds
    assert (kind.kind, kind.images, kind.regions, kind.decisions) == ("stamp", 2, 2, {"filled": 1, "review": 1})
    carried, lost = found.marks
    assert (carried.mark_id, carried.run_id, carried.kind, carried.support) == ("m1", "b-r0001", "stamp", 0.75)
    assert (carried.pictures, carried.images, carried.decisions, carried.confidence) == (2, 1, {"filled": 1}, 0.5)
    assert carried.template.alpha == pytest.approx(np.full((6, 8), 0.5), abs=1e-4)
    assert (lost.mark_id, lost.template, lost.images, lost.decisions, lost.confidence) == ("m2", None, 0, {}, None)
    (route,) = found.routes
    assert (route.engine, route.regions, route.review, route.cost_units) == ("network", 2, 1, 30.0)
    assert found.per_thousand(found.cost_units) == 7500
    assert found.seconds == {"fill": 6.0}
    assert (found.enhanced, found.synthetic) == ({"denoise": 3}, 0)
    assert (found.accepted, found.verdicts) == (Share(1, 2), {"accept": 2, "reject": 2})
    arms = {row.what: row for row in found.arms}
    assert (arms["cleaned"].images, arms["cleaned"].a, arms["cleaned"].difference) == ((2, 2), 1.0, -1.0)
    assert (arms["cost units"].a, arms["cost units"].b, arms["cost units"].difference) == (6.0, 10.0, 4.0)
    (point,) = found.trends
    assert (point.batch_id, point.images, point.values["touched"], point.values["in review"]) == ("b", 4, 0.25, 0.25)
    assert [entry.image_id for entry in found.worst] == ["photo-3", "photo-2"]
    assert main(["audit", "--batch", "b", "--warehouse", batch, "--out", str(tmp_path / "audit.html")]) == 0
    assert "1 cleaned, 1 unchanged, 1 restored, 1 review of 4 images" in capsys.readouterr().out
    assert "7,500" in (tmp_path / "audit.html").read_text()
    with pytest.raises(ContractError, match="nothing was run on batch 'none'"):
        gather_audit(warehouse, "none")

    chain = gather_chain(warehouse, "photo-1")
    assert chain.standing == "run b-r0002 counts: restored, its original is shown"
    assert (chain.detailed["run_id"], len(chain.regions), chain.diff["patch_bytes"]) == ("b-r0001", 1, 5)
    assert [verdict["verdict"] for verdict in chain.reviews] == ["reject", "accept"]
    page = tmp_path / "photo.html"
    assert main(["explain", "--image", "photo-2", "--warehouse", batch, "--json", "--out", str(page)]) == 0
    values = json.loads(capsys.readouterr().out)
    assert (values["applied"]["config_text"], values["regions"][0]["engine"]) == ("seed: 7\n", "network")
    assert "counts now" in page.read_text()
    with pytest.raises(ContractError, match=r"no image 'foto-2'; the nearest are: photo-2, photo-"):
        gather_chain(warehouse, "foto-2")
    with pytest.raises(ContractError, match=r"batch 'b' has no image 'photo'; the nearest are: photo-1, photo-2"):
        gather_chain(warehouse, "photo", "b")
