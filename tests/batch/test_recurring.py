"""Recurring marks of a batch: found before the run, kept with it, told to every worker, found again after a kill."""

import json

import cv2
import numpy as np
import pytest

from cleanplate.batch.recurring import known_marks, look_for_marks, looking_arm, write_marks
from cleanplate.batch.run import RunOptions, clean_batch, open_scope, scope_of
from cleanplate.config import load_config
from cleanplate.errors import StorageError
from cleanplate.marks.recurring import RecurringMark
from cleanplate.records import Template
from cleanplate.warehouse.ledger import Ledger
from cleanplate.warehouse.schemas import where

DETECTOR = '''
import numpy as np
from cleanplate.records import Box, Detection


class Corner:
    """Sees a watermark in the lower right corner of pictures whose red is above 95 on average, about every second."""

    name = "corner"

    @classmethod
    def build(cls, config, registry, device):
        return cls()

    def detect(self, jobs):
        return [self._look(job.image) for job in jobs]

    def _look(self, image):
        if image.rgb[..., 0].mean() < 95:
            return []
        box = Box(image.width - 80, image.height - 36, image.width - 6, image.height - 6)
        patch = image.rgb[box.slices].astype(np.float32)
        strokes = (patch.min(axis=2) > np.median(patch.min(axis=2)) + 12).astype(np.float32)
        return [Detection("watermark", 0.9, box, strokes, "corner", strokes=strokes)]
'''
SIZE = (120, 170)


@pytest.fixture(scope="module")
def detector(ship):
    """A detector of the user's own, shipped to the workers."""
    ship("corner_detector", DETECTOR)
    return "corner_detector:Corner"


@pytest.fixture
def marked_config(detector):
    overrides = [
        f"detect.detectors=['{detector}']", "source.guard=none", "metrics.lpips=false", "models.device=cpu",
        "models.threads=1", "verify.min_confidence=0.3",
    ]  # fmt: skip
    return load_config(overrides=overrides)


def opacity():
    canvas = np.zeros(SIZE, np.uint8)
    cv2.putText(canvas, "Br&d", (94, 106), cv2.FONT_HERSHEY_SIMPLEX, 0.9, 255, 3, cv2.LINE_AA)
    return 0.45 * canvas.astype(np.float32) / 255


def scene(seed):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : SIZE[0], 0 : SIZE[1]].astype(np.float32)
    base, tilt = rng.uniform(50, 140, 3), rng.uniform(-0.3, 0.3, (2, 3))
    grain = cv2.GaussianBlur(rng.normal(0, 1, (*SIZE, 3)).astype(np.float32), (0, 0), 1.5) * 40
    picture = base + (x[..., None] - 85) * tilt[0] + (y[..., None] - 60) * tilt[1] + grain
    return np.clip(picture, 5, 245)


@pytest.fixture
def branded(ingested, pictures, warehouse):
    """Batch "b": sixteen pictures with one mark; returns their truths by name."""
    folder, _ = pictures
    warehouse.delete("manifest", "batch_id = 'b'")
    truths = {}
    for number in range(16):
        truth = scene(number)
        alpha = opacity()[..., None]
        with_it = np.rint(truth * (1 - alpha) + alpha * 250).astype(np.uint8)
        cv2.imwrite(str(folder / f"p{number:02d}.png"), with_it[..., ::-1])
        truths[f"p{number:02d}"] = np.rint(truth).astype(np.uint8)
    ingested(*(f"{name}.png" for name in truths), width=SIZE[1], height=SIZE[0])
    return truths


def test_a_mark_is_found_once_and_taken_off_every_picture(warehouse, branded, marked_config, steps):
    report = clean_batch(warehouse, "b", marked_config, RunOptions(), steps)
    assert dict(report.counts) == {"cleaned": 16}
    (row,) = warehouse.frame("marks").collect()
    assert (row.kind, row.run_id, row.support, len(row.images)) == ("watermark", report.run_id, 1.0, 16)
    assert json.loads(Ledger(warehouse).events("b")[0].scope)["marks"] == [row.mark_id]
    masks = warehouse.current("masks").collect()
    assert len(masks) == 16
    assert {mask.mark_id for mask in masks} == {row.mark_id}
    assert all(mask.reason.startswith(f"recurring mark {row.mark_id}, ") for mask in masks)
    inside = opacity() > 0.05
    gains = []
    for result in warehouse.current("results").collect():
        after = cv2.imread(result.result_uri.removeprefix("file:"))[..., ::-1].astype(float)
        before = cv2.imread(result.uri)[..., ::-1].astype(float)
        truth = branded[result.image_id]
        gains.append(np.abs(before - truth)[inside].mean() / np.abs(after - truth)[inside].mean())
    assert np.median(gains) > 6


def test_a_look_that_fails_costs_no_more_than_the_marks(warehouse, branded, marked_config, monkeypatch, caplog):
    def fails(*args):
        raise StorageError("the sample is out of reach")

    monkeypatch.setattr("cleanplate.batch.run.look_for_marks", fails)
    scope = open_scope(warehouse, "b", marked_config, RunOptions())
    assert scope.marks == ()
    assert known_marks(warehouse, scope, marked_config) == ()
    assert "recurring marks could not be looked for: the sample is out of reach" in caplog.text


def test_the_arm_that_wants_marks_has_them_looked_for(marked_config):
    off = marked_config.model_copy(update={"marks": marked_config.marks.model_copy(update={"enabled": False})})
    rollout = {"arm_b_share": 0.5, "arm_b_settings": {"marks": {"enabled": True}}}
    both = off.model_copy(update={"rollout": off.rollout.model_copy(update=rollout)})
    assert looking_arm(marked_config) is marked_config
    assert looking_arm(off) is None
    assert looking_arm(both).marks.enabled


def test_pictures_that_share_nothing_have_no_marks(warehouse, ingested, pictures, marked_config):
    folder, _ = pictures
    warehouse.delete("manifest", "batch_id = 'b'")
    for number in range(14):
        cv2.imwrite(str(folder / f"p{number:02d}.png"), np.rint(scene(number)).astype(np.uint8))
    ingested(*(f"p{number:02d}.png" for number in range(14)), width=SIZE[1], height=SIZE[0])
    assert look_for_marks(warehouse, "b", warehouse.version("manifest"), marked_config) == []


def test_where_nothing_could_confirm_it_nobody_looks(warehouse, branded, marked_config, config):
    version = warehouse.version("manifest")
    off = marked_config.model_copy(update={"marks": marked_config.marks.model_copy(update={"enabled": False})})
    more = marked_config.model_copy(update={"marks": marked_config.marks.model_copy(update={"fewest_images": 17})})
    assert [look_for_marks(warehouse, "b", version, each) for each in (config, off, more)] == [[], [], []]


def test_marks_that_a_kill_kept_from_the_table_are_found_again(warehouse, branded, marked_config):
    scope = open_scope(warehouse, "b", marked_config, RunOptions())
    mine = where(batch_id="b", run_id=scope.run_id)
    before = warehouse.frame("marks").where(mine).collect()
    warehouse.delete("marks", mine)
    (mark,) = known_marks(warehouse, scope, marked_config)
    assert scope_of(Ledger(warehouse).last("b")).marks == (mark.mark_id,)
    after = warehouse.frame("marks").where(mine).collect()
    assert [(row.mark_id, row.alpha_png, row.error_png) for row in after] == [
        (row.mark_id, row.alpha_png, row.error_png) for row in before
    ]


def test_marks_that_cannot_be_found_again_stop_the_run(warehouse, branded, marked_config):
    scope = open_scope(warehouse, "b", marked_config, RunOptions())
    warehouse.delete("marks", where(batch_id="b", run_id=scope.run_id))
    off = marked_config.model_copy(update={"marks": marked_config.marks.model_copy(update={"enabled": False})})
    with pytest.raises(StorageError, match="clean --batch b --new-run"):
        known_marks(warehouse, scope, off)


def test_what_is_written_comes_back(warehouse):
    rng = np.random.default_rng(0)
    alpha = rng.uniform(0, 1, (9, 14)).astype(np.float32)
    template = Template(alpha, rng.uniform(0, 255, (9, 14, 3)).astype(np.float32), 5 * alpha)
    mark = RecurringMark("m-7", "stamp", "middle", -3, 4, template, 0.75, ("a", "b"))
    facts = {"waves": 1, "limit": None, "below": None, "marks": ["m-7"]}
    run = Ledger(warehouse).start_run("c", scope=json.dumps(facts))
    write_marks(warehouse, "c", run.run_id, [mark])
    write_marks(warehouse, "c", run.run_id, [mark])
    (back,) = known_marks(warehouse, scope_of(run), load_config())
    assert (back.mark_id, back.kind, back.anchor, back.left, back.top) == ("m-7", "stamp", "middle", -3, 4)
    assert (back.support, back.images) == (0.75, ("a", "b"))
    assert np.abs(back.template.alpha - alpha).max() < 1e-4
    assert warehouse.frame("marks").count() == 1
