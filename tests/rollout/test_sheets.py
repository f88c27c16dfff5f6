"""A review without a server: the folder that is written, and the CSV that is read back."""

from __future__ import annotations

import csv
import io
from datetime import datetime, timezone

import cv2
import numpy as np
import pytest

from cleanplate.batch.verdicts import Review
from cleanplate.errors import ContractError
from cleanplate.rollout.sheets import COLUMNS, read_sheet, write_masks, write_sheets

AT = datetime(2026, 2, 3, 4, 5, 6, tzinfo=timezone.utc)


def known(asked):
    return {result for result in asked if result[2].startswith("photo-")}


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def text_of(rows, columns=COLUMNS, **style):
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, extrasaction="ignore", **style)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def test_the_folder_shows_the_queue_and_its_csv_comes_back(store, tmp_path):
    store.queue[0] = store.queue[0].__class__("b", "photo-0", ("<script>alert(1)</script>",), store.queue[0].candidates)
    page = write_sheets(store, tmp_path / "out", "Review of b").read_text()
    assert "<script>alert" not in page
    assert page.count("<article") == 4
    assert page.count("http") == 0, "no request to anywhere"
    for name in ("sheet.js", "sheet.css"):
        assert (tmp_path / "out" / name).exists()
    key = store.queue[0].key
    after = cv2.imread(str(tmp_path / "out" / "images" / f"{key}-after.webp"))
    assert np.abs(after[:, :, ::-1].astype(int) - store.pictures[key, "b-r0001"]).mean() < 6
    rows = rows_of(tmp_path / "out" / "queue.csv")
    assert [row["image_id"] for row in rows] == [f"photo-{number}" for number in range(4)]
    rows[0] |= {"verdict": "accept", "note": "fine, \"really\"", "at": "2026-02-03T04:05:06Z"}
    rows[2] |= {"verdict": " Reject ", "reviewer": "bob"}
    sheet = read_sheet(text_of(rows), "ann", known)
    first, second = sheet.reviews
    assert first == Review("b", "b-r0001", "photo-0", "accept", "ann", AT, 'fine, "really"')
    assert (second.image_id, second.verdict, second.reviewer) == ("photo-2", "reject", "bob")
    assert (sheet.empty, sheet.known) == (2, 0)


def test_every_wrong_line_is_named_and_nothing_is_taken(store):
    row = {"batch_id": "b", "run_id": "b-r0001", "image_id": "photo-0", "verdict": "accept", "reviewer": "ann"}
    rows = [row, row | {"verdict": "acept"}, row | {"image_id": "nobody"}, row | {"at": "yesterday"}, row]
    rows += [row | {"at": "2126-01-01T00:00:00Z"}, row | {"reviewer": ""}]
    with pytest.raises(ContractError) as error:
        read_sheet(text_of(rows), "", known)
    said = str(error.value)
    assert said.startswith("nothing was imported: line 3: verdict 'acept' is unknown; the nearest is 'accept'")
    assert "line 4: batch 'b' has no result of image 'nobody' in run 'b-r0001'" in said
    assert "line 5: time 'yesterday' is not understood" in said
    assert "line 7: the time of a verdict must be" in said
    assert "line 8: a verdict needs the reviewer's name" in said
    assert "line 2" not in said


def test_a_sheet_without_its_columns_is_refused():
    with pytest.raises(ContractError, match="no column run_id, verdict"):
        read_sheet("batch_id,image_id\nb,photo-0\n", "ann", known)


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_spreadsheets_of_other_countries_are_read(mark):
    row = {"batch_id": "b", "run_id": "b-r0001", "image_id": "photo-0", "verdict": "REJECT"}
    (review,) = read_sheet("\ufeff" + text_of([row], delimiter=mark), "ann", known).reviews
    assert review.verdict == "reject"


def test_the_same_sheet_again_adds_nothing():
    row = {"batch_id": "b", "run_id": "b-r0001", "image_id": "photo-0", "verdict": "accept"}
    first = read_sheet(text_of([row]), "ann", known).reviews
    again = read_sheet(text_of([row]), "ann", known, first)
    assert (again.reviews, again.known) == ((), 1)
    changed = read_sheet(text_of([row | {"verdict": "reject"}]), "ann", known, first)
    assert [review.verdict for review in changed.reviews] == ["reject"], "a changed mind is stored"
    timed = row | {"at": AT.isoformat()}
    keys = {read_sheet(text_of([timed]), "ann", known).reviews[0].key for _ in range(2)}
    assert len(keys) == 1, "its own time makes it the same verdict"


def test_corrected_masks_are_written_with_their_photographs(tmp_path):
    masks = [Review("b", "b-r0001", "a/../b", "corrected", "ann", AT, mask_png=b"png")]
    assert write_masks(masks, {("b", "a/../b"): "/photos/a.jpg"}, {}, tmp_path / "masks") == 1
    (row,) = rows_of(tmp_path / "masks" / "masks.csv")
    assert row == {
        "mask": "00000.mask.png", "uri": "/photos/a.jpg", "kind": "object", "batch_id": "b", "image_id": "a/../b",
        "over_run": "b-r0001", "reviewer": "ann", "at": "2026-02-03T04:05:06Z",
    }  # fmt: skip
    assert (tmp_path / "masks" / "00000.mask.png").read_bytes() == b"png"
