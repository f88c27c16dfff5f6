"""From folders and tables to the manifest: what breaks the contract stops before any work."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from cleanplate.batch.ingest import ingest_source, ingest_table
from cleanplate.batch.probe import Probing, coarse_look
from cleanplate.config import SourceConfig, load_config
from cleanplate.errors import ContractError, StorageError
from cleanplate.guard import DirectCodec

EXAMPLES = Path(__file__).parents[2] / "examples/photos"


def manifest(warehouse, batch="b"):
    rows = warehouse.frame("manifest").where(f"batch_id = '{batch}'").collect()
    return {row.uri.rpartition("/")[2]: row for row in rows}


def test_a_folder_becomes_rows_with_digest_and_size(warehouse, pictures, tmp_path):
    folder, notes = pictures
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 not a picture")
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "readme.txt").write_text("no picture")
    report = ingest_source(warehouse, "b", str(folder), notes=str(notes), rights="owned")
    assert (report.added, report.known, report.total) == (7, 0, 7)
    rows = manifest(warehouse)
    assert (rows["0.png"].width, rows["0.png"].height, rows["0.png"].media_type) == (64, 48, "image/png")
    assert rows["0.png"].regions[0].asDict() == {"left": 10, "top": 8, "right": 30, "bottom": 24, "kind": "object"}
    assert rows["0.png"].strata == {"language": "de"}
    assert rows["0.png"].rights == "owned"
    assert len(rows["0.png"].sha256) == 64
    assert rows["broken.jpg"].width is None
    assert rows["broken.jpg"].sha256 is not None
    assert len({row.image_id for row in rows.values()}) == 7


def test_ingesting_again_adds_only_what_is_new(warehouse, pictures):
    folder, _ = pictures
    ingest_source(warehouse, "b", str(folder))
    Pillow.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "new.png")
    report = ingest_source(warehouse, "b", str(folder))
    assert (report.added, report.known, report.total) == (1, 6, 7)


def test_a_changed_original_is_refused(warehouse, pictures):
    folder, _ = pictures
    ingest_source(warehouse, "b", str(folder))
    Pillow.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "0.png")
    with pytest.raises(ContractError, match=r"0-[0-9a-f]{12} has changed since batch 'b'"):
        ingest_source(warehouse, "b", str(folder))


def test_masks_are_matched_by_stem(warehouse, pictures, tmp_path):
    folder, _ = pictures
    masks = tmp_path / "masks"
    masks.mkdir()
    Pillow.fromarray(np.zeros((48, 64), np.uint8)).save(masks / "3.mask.png")
    ingest_source(warehouse, "b", str(folder), masks=str(masks))
    rows = manifest(warehouse)
    assert rows["3.png"].mask_uri == str(masks / "3.mask.png")
    assert rows["2.png"].mask_uri is None
    Pillow.fromarray(np.zeros((48, 64), np.uint8)).save(masks / "stray.png")
    with pytest.raises(ContractError, match="fits no picture"):
        ingest_source(warehouse, "c", str(folder), masks=str(masks))


@pytest.mark.parametrize(
    ("notes", "message"),
    [
        ({"0.png": {"rights": "mine"}}, "rights 'mine'"),
        ({"0.png": {"remove": ["graffiti"]}}, "kind 'graffiti'"),
        ({"0.png": {"regions": [{"box": [1, 2, 3, 4], "kind": "dog"}]}}, "kind 'dog'"),
        ({"0.png": {"regions": [{"box": [1, 2, 3]}]}}, "four whole numbers"),
        ({"nowhere.png": {"rights": "owned"}}, "is not under"),
        ({"0.png": {"image_id": "same"}, "1.png": {"image_id": "same"}}, "duplicate image_id in the batch: same"),
    ],
)
def test_a_broken_contract_leaves_nothing_behind(warehouse, pictures, notes, message):
    folder, path = pictures
    path.write_text(json.dumps(notes))
    with pytest.raises(ContractError, match=message):
        ingest_source(warehouse, "b", str(folder), notes=str(path))
    assert manifest(warehouse) == {}


def test_unusable_sources_are_named(warehouse, tmp_path):
    with pytest.raises(StorageError, match="no folder"):
        ingest_source(warehouse, "b", str(tmp_path / "nothing"))
    with pytest.raises(ContractError, match="no picture file"):
        ingest_source(warehouse, "b", str(tmp_path))


def test_notes_may_be_csv_or_json_lines(warehouse, pictures, tmp_path):
    folder, _ = pictures
    table = tmp_path / "notes.csv"
    region = '"[{""box"": [1, 2, 9, 8], ""kind"": ""stamp""}]"'
    table.write_text(f"path,rights,language,regions\n0.png,licensed,fr,{region}\n")
    lines = tmp_path / "notes.jsonl"
    lines.write_text('{"path": "1.png", "seed": 9223372036854775806, "strength": 0.5}\n')
    ingest_source(warehouse, "csv", str(folder), notes=str(table))
    ingest_source(warehouse, "lines", str(folder), notes=str(lines))
    row = manifest(warehouse, "csv")["0.png"]
    assert (row.rights, row.strata, row.regions[0].kind) == ("licensed", {"language": "fr"}, "stamp")
    row = manifest(warehouse, "lines")["1.png"]
    assert (row.seed, row.strength) == (9223372036854775806, 0.5)


def test_a_table_of_the_users_own(warehouse, pictures, tmp_path):
    folder, _ = pictures
    frame = warehouse.spark.createDataFrame(
        [(str(folder / "0.png"), "owned", "ru"), (str(folder / "missing.png"), None, "de")],
        "path string, licence string, lang string",
    )
    frame.write.format("delta").save(str(tmp_path / "theirs"))
    columns = {"uri": "path", "rights": "licence", "language": "lang"}
    report = ingest_table(warehouse, "b", str(tmp_path / "theirs"), columns, rights="unknown")
    assert report.total == 2
    rows = manifest(warehouse)
    assert (rows["0.png"].rights, rows["0.png"].strata) == ("owned", {"language": "ru"})
    assert (rows["missing.png"].rights, rows["missing.png"].sha256) == ("unknown", None)
    with pytest.raises(ContractError, match=r"missing in .*: nothing"):
        ingest_table(warehouse, "c", str(tmp_path / "theirs"), {"uri": "nothing"})


@pytest.mark.slow
def test_what_a_coarse_look_finds_is_a_stratum(warehouse, tmp_path):
    folder, photos = tmp_path / "photos", EXAMPLES
    folder.mkdir()
    for name in ("clean.jpg", "price-list.jpg", "broken.jpg"):
        shutil.copy(photos / name, folder)
    notes = tmp_path / "notes.json"
    notes.write_text(json.dumps({"clean.jpg": {"language": "de"}, "price-list.jpg": {"text": "known"}}))
    config = load_config(overrides=["models.threads=1"]).model_dump(mode="json")
    ingest_source(warehouse, "b", str(folder), notes=str(notes), probing=Probing(SourceConfig(), config))
    rows = manifest(warehouse)
    assert rows["clean.jpg"].strata == {"language": "de", "text": "none"}
    assert rows["price-list.jpg"].strata == {"text": "known"}, "the user's own column counts"
    assert rows["broken.jpg"].strata is None


def test_a_coarse_look_says_how_much_text_there_is():
    config = load_config(overrides=["models.threads=1"])
    look = coarse_look(config, DirectCodec(config.source))
    assert look((EXAMPLES / "price-list.jpg").read_bytes()) == "much"
    assert look((EXAMPLES / "stamp.jpg").read_bytes()) == "little"
