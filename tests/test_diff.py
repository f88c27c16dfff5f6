"""Diffs: forth and back bit for bit, and never applied to other samples."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from cleanplate.diff import apply_diff, changed_boxes, diff_hashes, invert_diff, make_diff
from cleanplate.errors import ContractError
from cleanplate.records import Box

SHAPES = [((70, 91), np.uint8), ((70, 91, 3), np.uint8), ((33, 47, 4), np.uint16), ((1, 1), np.uint16)]
SHAPES += [((50, 40, 2), np.uint8)]


def samples(shape, dtype, seed=4412):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)


@pytest.mark.parametrize(("shape", "dtype"), SHAPES)
@pytest.mark.parametrize("share", [0.001, 0.05, 1.0])
def test_forth_and_back(shape, dtype, share):
    before = samples(shape, dtype)
    mask = np.random.default_rng(1).random(shape[:2]) < share
    after = np.where(mask if before.ndim == 2 else mask[..., None], samples(shape, dtype, 2), before).astype(dtype)
    kept = before.copy(), after.copy()
    blob = make_diff(before, after)
    assert np.array_equal(apply_diff(before, blob), after)
    assert np.array_equal(invert_diff(after, blob), before)
    assert np.array_equal(before, kept[0])
    assert np.array_equal(after, kept[1])
    inside = np.zeros(shape[:2], bool)
    for box in changed_boxes(blob):
        inside[box.slices] = True
    changed = before != after if before.ndim == 2 else (before != after).any(axis=2)
    assert not (changed & ~inside).any()


def test_boxes_are_tight():
    before = np.zeros((300, 400, 3), np.uint8)
    after = before.copy()
    after[10:20, 30:200] = 7
    after[250, 390] = 255
    boxes = changed_boxes(make_diff(before, after))
    assert boxes == [Box(30, 10, 200, 20), Box(390, 250, 391, 251)]


def test_overlapping_boxes_add_up():
    """An L and a square in its corner: their boxes overlap, no pixel is changed twice."""
    before = np.zeros((400, 400), np.uint8)
    after = before.copy()
    after[:, :5] = 3
    after[395:] = 3
    after[100:110, 200:210] = 9
    blob = make_diff(before, after)
    assert len(changed_boxes(blob)) == 2
    assert np.array_equal(apply_diff(before, blob), after)
    assert np.array_equal(invert_diff(after, blob), before)


def test_equal_samples_give_a_diff_without_boxes():
    before = samples((20, 20, 3), np.uint8)
    blob = make_diff(before, before)
    assert changed_boxes(blob) == []
    assert np.array_equal(apply_diff(before, blob), before)


def test_hashes_are_those_of_the_bytes():
    before, after = samples((9, 8, 3), np.uint16), samples((9, 8, 3), np.uint16, 2)
    expected = tuple(hashlib.sha256(a.astype("<u2").tobytes()).hexdigest() for a in (before, after))
    assert diff_hashes(make_diff(before, after)) == expected


def test_a_local_edit_is_small():
    before = samples((1500, 2000, 3), np.uint8)
    after = before.copy()
    after[700:760, 500:900] = 128
    assert len(make_diff(before, after)) < 1.02 * 60 * 400 * 3 + 300


def test_turned_and_sliced_arrays_are_taken():
    before = samples((60, 50, 3), np.uint8)[::-1].swapaxes(0, 1)
    after = before.copy()
    after[3, 4] += 1
    assert np.array_equal(apply_diff(before, make_diff(before, after)), after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (np.zeros((4, 4), np.uint8), np.zeros((4, 5), np.uint8)),
        (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.uint8)),
        (np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint16)),
        (np.zeros((4, 4), np.float32), np.zeros((4, 4), np.float32)),
    ],
)
def test_unlike_arrays_break_the_contract(before, after):
    with pytest.raises(ContractError, match="a diff needs"):
        make_diff(before, after)


def test_other_samples_are_told():
    before, after = samples((40, 40), np.uint8), samples((40, 40), np.uint8, 2)
    blob = make_diff(before, after)
    with pytest.raises(ContractError, match="sha256"):
        apply_diff(after, blob)
    with pytest.raises(ContractError, match="sha256"):
        invert_diff(before, blob)
    with pytest.raises(ContractError, match="was made for uint8"):
        apply_diff(before[:20], blob)


def test_damage_is_told():
    before, after = samples((40, 40), np.uint8), samples((40, 40), np.uint8, 2)
    blob = make_diff(before, after)
    with pytest.raises(ContractError, match="no diff"):
        apply_diff(before, b"PNG" + blob[3:])
    with pytest.raises(ContractError, match="version 9"):
        apply_diff(before, blob[:4] + b"\x09" + blob[5:])
    for length in (0, 3, 20, len(blob) // 2, len(blob) - 1):
        with pytest.raises(ContractError, match="damaged"):
            apply_diff(before, blob[:length])
    for position in range(9, len(blob), 7):
        with pytest.raises(ContractError):
            apply_diff(before, blob[:position] + bytes([blob[position] ^ 0x55]) + blob[position + 1 :])
