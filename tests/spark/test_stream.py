"""Rows through a worker: what fails costs its own row, and nothing is decoded far ahead."""

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as Pillow

from cleanplate.errors import StorageError
from cleanplate.records import Box, ErrorInfo, GivenRegion, Outcome
from cleanplate.spark.stream import SourceRow, ahead, clean_stream, image_seed, is_retryable

BOX = GivenRegion(Box(10, 10, 30, 25), "object")


def clean_one(plan, row):
    (cleaned,) = clean_stream([row], plan)
    return cleaned


def test_a_given_box_is_cleaned_and_the_rest_untouched(given_plan, write_picture):
    path = write_picture("a.png")
    with Pillow.open(path) as picture:
        pixels = np.array(picture)
    outcome = clean_one(given_plan, SourceRow("a", str(path), regions=(BOX,))).outcome
    assert outcome.status == "cleaned"
    after = given_plan.codec.decode(outcome.data).rgb
    changed = np.argwhere((after != pixels).any(axis=2))
    assert changed.min() >= 1
    assert after[12:20, 14:26].min() > 80
    assert outcome.metrics["changed_outside_share"] == 0.0


def test_nothing_to_remove_keeps_the_bytes(given_plan, write_picture):
    cleaned = clean_one(given_plan, SourceRow("a", str(write_picture("a.png"))))
    assert cleaned.outcome.status == "unchanged"
    assert cleaned.outcome.data is None
    assert cleaned.source_sha256 == hashlib.sha256(cleaned.before.data).hexdigest()


def test_every_bad_row_is_a_row_that_says_why(given_plan, write_picture, tmp_path):
    good = write_picture("good.png")
    mask = write_picture("mask.png", 8, 8)
    empty = tmp_path / "empty.png"
    empty.write_bytes(b"")
    one = write_picture("one.png", 1, 1)
    rows = [
        SourceRow("fine", str(good), regions=(BOX,)),
        SourceRow("missing", str(tmp_path / "nothing.png")),
        SourceRow("empty", str(empty)),
        SourceRow("changed", str(good), sha256="0" * 64),
        SourceRow("mask", str(good), mask_uri=str(mask)),
        SourceRow("outside", str(good), regions=(GivenRegion(Box(50, 40, 90, 47)),)),
        SourceRow("hollow", str(good), regions=(GivenRegion(Box(9, 9, 9, 12)),)),
        SourceRow("scale", str(good), upscale=3),
        SourceRow("one", str(one)),
        SourceRow("also fine", str(good), regions=(BOX,)),
    ]
    found = {item.row.image_id: item.outcome for item in clean_stream(rows, given_plan)}
    assert list(found) == [row.image_id for row in rows]
    said = {name: (o.status, o.error.stage, o.error.error_class) for name, o in found.items() if o.error}
    assert said == {
        "missing": ("failed", "read", "StorageError"),
        "empty": ("failed", "decode", "DecodeError"),
        "changed": ("failed", "read", "ContractError"),
        "mask": ("failed", "request", "ContractError"),
        "outside": ("failed", "request", "ContractError"),
        "hollow": ("failed", "request", "ContractError"),
        "scale": ("failed", "request", "ContractError"),
    }
    assert "8x8 px" in found["mask"].error.message
    assert "64x48" in found["mask"].error.message
    assert found["fine"].status == found["also fine"].status == "cleaned"
    assert found["one"].status == "unchanged"


def test_an_engine_that_breaks_on_one_image_costs_that_row_only(given_plan, write_picture):
    class Brittle:
        def __init__(self, engine):
            self.spec, self._engine = engine.spec, engine

        def fill(self, requests):
            if any(request.crop.max() > 200 for request in requests):
                raise MemoryError("out of memory")
            return self._engine.fill(requests)

    engines = {name: Brittle(engine) for name, engine in given_plan.engines.items()}
    limits = given_plan.config.run.model_copy(update={"batch_megapixels": 5.0})
    config = given_plan.config.model_copy(update={"run": limits})
    plan = replace(given_plan, engines=engines, config=config)
    rows = [
        SourceRow(str(number), str(write_picture(f"{number}.png", value=210 if number == 2 else 90)), regions=(BOX,))
        for number in range(5)
    ]
    found = [item.outcome for item in clean_stream(rows, plan)]
    assert [outcome.status for outcome in found] == ["cleaned", "cleaned", "failed", "cleaned", "cleaned"]
    assert (found[2].error.stage, found[2].error.error_class) == ("fill", "MemoryError")


def test_the_same_row_gives_the_same_bytes_alone_and_in_company(given_plan, write_picture):
    rows = [SourceRow(f"{n}", str(write_picture(f"{n}.png", value=60 + 9 * n)), regions=(BOX,)) for n in range(4)]
    together = [item.outcome.data for item in clean_stream(rows, given_plan)]
    alone = [clean_one(given_plan, row).outcome.data for row in rows]
    assert together == alone
    assert None not in together


def test_the_seed_is_of_the_image_not_of_the_moment():
    assert image_seed(4412, "a") == image_seed(4412, "a") != image_seed(4412, "b")
    assert image_seed(4413, "a") != image_seed(4412, "a")
    assert 0 <= image_seed(4412, "a") < 2**63


def test_reading_ahead_is_bounded_and_in_order():
    started, lock = [], threading.Lock()

    def note(number):
        with lock:
            started.append(number)
        return number

    with ThreadPoolExecutor(2) as pool:
        found = ahead(pool, note, range(100), depth=4)
        assert next(found) == 0
        assert len(started) <= 4
        assert list(found) == list(range(1, 100))


@pytest.mark.parametrize(
    ("error", "retryable"), [("StorageError", True), ("TimeoutError", True), ("DecodeError", False)]
)
def test_storage_and_time_may_be_tried_again(error, retryable):
    assert is_retryable(Outcome("a", "failed", error=ErrorInfo("read", error, ""))) is retryable


def test_a_reader_that_raises_something_else_is_not_hidden(given_plan, monkeypatch):
    def explode(uri, limits):
        raise RuntimeError("a bug")

    monkeypatch.setattr("cleanplate.spark.stream.read_source", explode)
    with pytest.raises(RuntimeError, match="a bug"):
        clean_one(given_plan, SourceRow("a", "x.png"))
    assert issubclass(StorageError, Exception)
