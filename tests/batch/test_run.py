"""Whole runs on Spark: waves, resume, layers, and the promise that the models run once per image."""

from collections import Counter

import numpy as np
import pytest
from PIL import Image as Pillow

from cleanplate.batch import waves
from cleanplate.batch.publish import approve
from cleanplate.batch.rollback import roll_back
from cleanplate.batch.run import RunOptions, clean_batch
from cleanplate.batch.undo import undo
from cleanplate.errors import ContractError, HeldError
from cleanplate.warehouse.ledger import Ledger
from cleanplate.warehouse.schemas import RESULTS, where

COUNTER = '''
class Counting:
    """Notes every image it is given in the file that the row's prompt names."""

    name = "counting"

    @classmethod
    def build(cls, config, registry, device):
        return cls()

    def detect(self, jobs):
        for job in jobs:
            if job.prompt:
                with open(job.prompt, "a") as out:
                    out.write(job.image_id + "\\n")
        return [[] for _ in jobs]
'''


@pytest.fixture(scope="module")
def counting(ship):
    """A detector of the user's own, shipped to the workers."""
    ship("counting_detector", COUNTER)
    return "counting_detector:Counting"


class Cut(BaseException):
    """What a kill looks like from inside."""


def cut(*args, **kwargs):
    raise Cut


def statuses(warehouse):
    rows = warehouse.current("results").collect()
    return {row.uri.rpartition("/")[2]: row.status for row in rows}


def keys_of(warehouse, table):
    rows = warehouse.frame(table).collect()
    return Counter((row.run_id, row.wave, row.image_id) for row in rows)


def test_a_batch_is_cleaned_in_waves_published_and_taken_back(warehouse, ingested, config, steps):
    config = config.model_copy(update={"run": config.run.model_copy(update={"wave_images": 3})})
    report = clean_batch(warehouse, "b", config, RunOptions(who="me"), steps)
    assert (report.run_id, report.state, report.cleaned_now) == ("b-r0001", "published", 6)
    assert dict(report.counts) == {"cleaned": 6}
    assert sum(steps.begun) == 6
    assert len(steps.begun) == steps.finished == 2
    assert set(statuses(warehouse).values()) == {"cleaned"}
    result = warehouse.current("results").where("uri like '%3.png'").collect()[0]
    with Pillow.open(result.result_uri) as after:
        pixels = np.array(after)
    assert np.abs(pixels.astype(int) - 120).max() <= 3
    assert warehouse.current("masks").count() == warehouse.current("diffs").count() == 6
    assert warehouse.frame("staging").count() == 0
    assert result.config_hash == config.digest()
    undo(warehouse, result.image_id)
    assert clean_batch(warehouse, "b", config, RunOptions(), steps).nothing_to_do, "what was undone stays undone"
    assert statuses(warehouse)["3.png"] == "restored"
    roll_back(warehouse, "b")
    assert statuses(warehouse) == {}


def test_new_rows_become_a_layer_and_the_models_run_once_per_image(
    warehouse, ingested, pictures, config, steps, counting, tmp_path
):
    log = tmp_path / "seen"
    detect = config.detect.model_copy(update={"detectors": (counting,)})
    config = config.model_copy(update={"detect": detect})
    for name in ("x.png", "y.png"):
        Pillow.fromarray(np.zeros((9, 9, 3), np.uint8)).save(pictures[0] / name)
    ingested("x.png", prompt=str(log))
    assert clean_batch(warehouse, "b", config, RunOptions(), steps).cleaned_now == 7
    assert clean_batch(warehouse, "b", config, RunOptions(), steps).nothing_to_do
    ingested("y.png", prompt=str(log))
    report = clean_batch(warehouse, "b", config, RunOptions(), steps)
    assert (report.run_id, report.cleaned_now) == ("b-r0002", 1)
    assert len(statuses(warehouse)) == 8
    runs = [run.run_id for run in Ledger(warehouse).last("b").active_runs]
    assert runs == ["b-r0001", "b-r0002"]
    assert Counter(log.read_text().split()) == {"x": 1, "y": 1}


@pytest.mark.parametrize(
    "moment", ["amid the fan-out", pytest.param("before staging is dropped", marks=pytest.mark.slow)]
)
def test_an_interrupted_wave_leaves_what_an_undisturbed_one_leaves(
    warehouse, ingested, config, steps, monkeypatch, moment
):
    def cut_amid(warehouse, batch_id, run_id, staged):
        predicate = where(batch_id=batch_id, run_id=run_id, wave=staged)
        warehouse.replace(warehouse.frame("staging").select(*RESULTS.fieldNames()), "results", predicate)
        raise Cut

    with monkeypatch.context() as patch:
        if moment == "amid the fan-out":
            patch.setattr(waves, "fan_out", cut_amid)
        else:
            patch.setattr(waves, "drop_staging", cut)
        with pytest.raises(Cut):
            clean_batch(warehouse, "b", config, RunOptions(), steps)
    assert statuses(warehouse) == {}
    report = clean_batch(warehouse, "b", config, RunOptions(), steps)
    assert (report.run_id, report.state) == ("b-r0001", "published")
    for table in ("results", "masks", "diffs"):
        found = keys_of(warehouse, table)
        assert len(found) == 6
        assert set(found.values()) == {1}
    assert warehouse.frame("staging").count() == 0


@pytest.mark.slow
def test_an_open_run_goes_on_only_with_the_same_work(warehouse, ingested, config, steps, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(waves, "fan_out", cut)
        with pytest.raises(Cut):
            clean_batch(warehouse, "b", config, RunOptions(), steps)
    other = config.model_copy(update={"seed": 1})
    with pytest.raises(ContractError, match=r"its configuration changed since it started.*abort.*--new-run"):
        clean_batch(warehouse, "b", other, RunOptions(), steps)
    report = clean_batch(warehouse, "b", other, RunOptions(new_run=True), steps)
    assert (report.run_id, report.state) == ("b-r0002", "published")
    assert [event.action for event in Ledger(warehouse).events("b")] == ["start", "abort", "start", "publish"]


@pytest.mark.slow
def test_a_held_run_shows_nothing_until_it_is_approved(warehouse, ingested, config, steps):
    report = clean_batch(warehouse, "b", config, RunOptions(no_publish=True), steps)
    assert report.state == "held"
    assert statuses(warehouse) == {}
    assert warehouse.preview("results").count() == 6
    with pytest.raises(HeldError, match="is held"):
        clean_batch(warehouse, "b", config, RunOptions(), steps)
    approve(warehouse, "b")
    assert len(statuses(warehouse)) == 6


@pytest.mark.slow
def test_a_limited_run_lies_on_top_and_the_rest_follows(warehouse, ingested, config, steps):
    assert clean_batch(warehouse, "b", config, RunOptions(limit=2), steps).cleaned_now == 2
    assert len(statuses(warehouse)) == 2
    assert clean_batch(warehouse, "b", config, RunOptions(), steps).cleaned_now == 4
    assert len(statuses(warehouse)) == 6


@pytest.mark.slow
def test_what_storage_lost_is_pending_again_and_a_changed_source_is_not(warehouse, ingested, pictures, config, steps):
    hidden = pictures[0] / "2.png"
    data = hidden.read_bytes()
    hidden.unlink()
    Pillow.fromarray(np.zeros((9, 9, 3), np.uint8)).save(pictures[0] / "4.png")
    first = clean_batch(warehouse, "b", config, RunOptions(), steps)
    assert dict(first.counts) == {"cleaned": 4, "failed": 2}
    rows = {row.image_id: row for row in warehouse.current("results").where("status = 'failed'").collect()}
    assert (rows["2"].error_stage, rows["2"].error_class, rows["2"].retryable) == ("read", "StorageError", True)
    assert "has changed since it was ingested" in rows["4"].error_message
    assert rows["4"].retryable is False
    hidden.write_bytes(data)
    second = clean_batch(warehouse, "b", config, RunOptions(), steps)
    assert second.cleaned_now == 1
    assert statuses(warehouse)["2.png"] == "cleaned"


def test_an_empty_batch_says_what_to_do(warehouse, config, steps):
    with pytest.raises(ContractError, match="has no images; `cleanplate ingest"):
        clean_batch(warehouse, "nothing", config, RunOptions(), steps)
