"""The verb `review`: what it refuses before Spark starts, and its ways without a server."""

from __future__ import annotations

import csv
from datetime import datetime, timezone

import cv2
import numpy as np
import pytest

from cleanplate.batch.verdicts import Review
from cleanplate.cli.main import main
from cleanplate.warehouse.schemas import MASKS

AT = datetime(2026, 5, 1, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--host", "0.0.0.0"], "--token"),
        (["--host", "0.0.0.0", "--token", "abc"], "at least 8"),
        (["--apply"], "name the --batch"),
        (["--summary"], "--ab RUN_A RUN_B"),
    ],
)
def test_what_cannot_go_is_refused_at_once(arguments, says, capsys):
    pytest.importorskip("fastapi", reason="the extra `review` is not installed")
    assert main(["review", "--warehouse", "nowhere", *arguments]) == 2
    assert says in capsys.readouterr().err


def test_a_sheet_that_is_not_there_exits_with_5(tmp_path, capsys):
    assert main(["review", "--warehouse", "nowhere", "--import", str(tmp_path / "no.csv")]) == 5
    assert "no.csv" in capsys.readouterr().err


@pytest.mark.slow
def test_a_review_without_a_server(warehouse, add_run, shown, tmp_path, capsys):
    from cleanplate.batch.reviews import append_reviews

    run = add_run("b", ["one", "two", "three"], mark="x")
    region = (run.batch_id, run.run_id, 0, "two", "c0ffee", 0, "stamp", 0, 0, 4, 4, 0.9)
    columns = ("batch_id", "run_id", "wave", "image_id", "config_hash", "region_id", "kind", "left", "top", "right",
               "bottom", "coverage")  # fmt: skip
    values = dict(zip(columns, region, strict=True))
    rows = [tuple(values.get(name) for name in MASKS.fieldNames())]
    warehouse.append(warehouse.spark.createDataFrame(rows, MASKS), "masks")
    place = ["review", "--batch", "b", "--warehouse", str(warehouse.location)]
    out = tmp_path / "out"
    assert main([*place, "--export", str(out), "--set", "review.sample_share=1.0"]) == 0
    with (out / "queue.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image_id"] for row in rows] == ["one", "three", "two"]
    rows[0]["verdict"], rows[1]["verdict"] = "accept", "acept"
    sheet = tmp_path / "verdicts.csv"

    def write():
        with sheet.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)

    write()
    assert main([*place, "--import", str(sheet)]) == 4
    assert "line 3: verdict 'acept' is unknown; the nearest is 'accept'" in capsys.readouterr().err
    assert warehouse.frame("reviews").count() == 0
    rows[1]["verdict"] = ""
    write()
    for said in ("1 verdicts imported, 0 were there already", "0 verdicts imported, 1 were there already"):
        assert main([*place, "--import", str(sheet), "--reviewer", "ann"]) == 0
        assert said in capsys.readouterr().out
    mask = cv2.imencode(".png", np.full((4, 4), 255, np.uint8))[1].tobytes()
    votes = [Review("b", run.run_id, image, "ab_a", "ann", AT, note="b-r0009") for image in ("one", "two")]
    append_reviews(warehouse, [Review("b", run.run_id, "two", "corrected", "ann", AT, mask_png=mask), *votes])
    assert main([*place, "--export-masks", str(tmp_path / "masks")]) == 0
    assert (tmp_path / "masks" / "00000.mask.png").read_bytes() == mask
    assert ",stamp,b,two," in (tmp_path / "masks" / "masks.csv").read_text(), "the kind of what was found there"
    assert main([*place, "--ab", run.run_id, "b-r0009", "--summary"]) == 0
    assert f"{run.run_id} was preferred in 2 of 2 verdicts" in capsys.readouterr().out
    assert main([*place, "--apply"]) == 0
    assert "no verdict changes what is shown" in capsys.readouterr().out
    assert shown()["one"] == (run.run_id, "cleaned")
