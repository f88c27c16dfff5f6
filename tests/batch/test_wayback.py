"""The way back of one image: what must be there, and what a damage of each part is called."""

import hashlib

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from cleanplate.batch.wayback import Reference, check_way_back
from cleanplate.config import SourceConfig
from cleanplate.diff import diff_hashes, make_diff
from cleanplate.guard import DirectCodec
from cleanplate.warehouse.objects import ObjectStore

LIMITS = SourceConfig(guard="none")
CODEC = DirectCodec(LIMITS)


@pytest.fixture(params=["png", "jpg", "tiff"])
def edited(tmp_path, request):
    """An original, its result in the store, and their reference."""
    pixels = np.random.default_rng(4).integers(0, 255, (40, 56, 3), np.uint8)
    source = tmp_path / f"photo.{request.param}"
    Pillow.fromarray(pixels).save(source)
    pixels[8:20, 10:30] = 128
    changed = tmp_path / f"changed.{request.param}"
    Pillow.fromarray(pixels).save(changed)
    store = ObjectStore(str(tmp_path / "wh"))
    before, after = source.read_bytes(), changed.read_bytes()
    patch = make_diff(CODEC.decode(before).native, CODEC.decode(after).native)
    first, second = diff_hashes(patch)
    row = Reference(
        "b-r0001", "photo", str(source), hashlib.sha256(before).hexdigest(), store.put("b", "b-r0001", after, "png"),
        hashlib.sha256(after).hexdigest(), "local", first, second, patch,
    )  # fmt: skip
    return row, store


def steps(row, store):
    return [failure.step for failure in check_way_back(row, store, CODEC, LIMITS)]


def changed(row, **values):
    return Reference(**{**vars(row), **values})


def test_an_untouched_image_goes_back(edited):
    assert steps(*edited) == []


def test_a_lost_or_changed_file_is_named(edited, tmp_path):
    row, store = edited
    (failure,) = check_way_back(changed(row, uri=str(tmp_path / "gone.png")), store, CODEC, LIMITS)
    assert (failure.step, failure.image_id, failure.where) == ("original", "photo", str(tmp_path / "gone.png"))
    assert steps(changed(row, result_uri=f"{store.root}/objects/b/b-r0001/none.png"), store) == ["result"]
    (failure,) = check_way_back(changed(row, source_sha256="0" * 64), store, CODEC, LIMITS)
    assert "recorded is 000000000000…" in failure.error
    assert steps(changed(row, result_sha256="0" * 64), store) == ["result"]


def test_a_diff_that_does_not_invert_is_found(edited):
    row, store = edited
    assert steps(changed(row, patch=None), store) == ["diff"]
    assert steps(changed(row, patch=row.patch[:-9]), store) == ["diff"]
    assert steps(changed(row, before_sha256="0" * 64), store) == ["diff"]
    other = make_diff(np.zeros((40, 56, 3), np.uint8), np.ones((40, 56, 3), np.uint8))
    plain = changed(row, before_sha256=None, after_sha256=None)
    assert steps(changed(plain, patch=other), store) == ["back", "forth"]
    half = make_diff(CODEC.decode(cv2.imencode(".png", np.zeros((40, 56, 3), np.uint8))[1].tobytes()).native,
                     CODEC.decode(store.get(row.result_uri)).native)  # fmt: skip
    assert steps(changed(plain, patch=half), store) == ["back", "forth"], "it ends at the result, but starts elsewhere"


def test_what_has_no_local_diff_needs_its_original(edited, tmp_path):
    row, store = edited
    whole = changed(row, diff_kind="whole", patch=None, before_sha256=None, after_sha256=None)
    assert steps(whole, store) == []
    assert steps(changed(whole, uri=str(tmp_path / "gone.png")), store) == ["original"]
    unread = Reference("b-r0001", "photo", str(tmp_path / "never-there.png"))
    assert steps(unread, store) == [], "what nobody could ever read has no way back that could close"
    assert steps(changed(unread, source_sha256="0" * 64), store) == ["original"]
