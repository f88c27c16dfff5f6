"""A recurring mark: its place in pictures of any size, whether a picture carries it, its way through a table."""

import pickle
from dataclasses import replace

import cv2
import numpy as np
import pytest

from cleanplate.errors import ContractError
from cleanplate.marks.recurring import (
    ANCHORS,
    RecurringMark,
    agreement,
    anchor_point,
    from_pngs,
    to_pngs,
    without_doubles,
)
from cleanplate.records import Box, KnownMark, Template

from .conftest import INK, INSET_PX, MARK_PX, corner, marked, opacity, scene


def template(alpha=None, ink=INK):
    alpha = opacity() if alpha is None else alpha
    return Template(alpha, np.full((*alpha.shape, 3), ink, np.float32), np.full_like(alpha, 3.5))


@pytest.fixture
def mark():
    left, top = -INSET_PX[1] - MARK_PX[1], -INSET_PX[0] - MARK_PX[0]
    return RecurringMark("m-1", "watermark", "bottom_right", left, top, template())


@pytest.mark.parametrize("size", [(280, 190), (281, 333), (120, 64)])
def test_its_place_counts_from_its_corner(mark, size):
    width, height = size
    rows, columns = corner(height, width)
    assert mark.place(width, height) == Box(columns.start, rows.start, columns.stop, rows.stop)


def test_anchors_lie_on_halves():
    points = {anchor: anchor_point(anchor, 101, 60) for anchor in ANCHORS}
    assert points["top_left"] == (0, 0)
    assert points["middle"] == (50, 30)
    assert points["bottom_right"] == (101, 60)
    assert points["right"] == (101, 30)


def test_pictures_with_it_are_told_from_those_without(mark, clean, carrying):
    for without, with_it in zip(clean, carrying, strict=True):
        known, agreed = mark.found_on(with_it)
        assert known.box == mark.place(with_it.shape[1], with_it.shape[0])
        assert agreed > 0.3
        assert mark.found_on(np.rint(without).astype(np.uint8)) is None


def test_it_is_found_a_pixel_away(mark):
    picture = scene(3, 190, 280)
    whole = np.rint(np.roll(marked(picture), (1, -1), (0, 1))).astype(np.uint8)
    known, _ = mark.found_on(whole)
    assert known.box == mark.place(280, 190).moved(-1, 1)


@pytest.mark.parametrize("alpha", [0.15, 0.6, 1.0])
@pytest.mark.parametrize("ink", [(255, 255, 255), (0, 0, 0), (200, 30, 40)])
def test_any_ink_and_opacity_agree_where_they_are(alpha, ink):
    own = template(opacity() / opacity().max() * np.float32(alpha), ink)
    place = Box(20, 15, 20 + MARK_PX[1], 15 + MARK_PX[0])
    agreed = []
    for seed in range(8):
        picture = scene(seed, 90, 150)
        with_it = picture.copy()
        part = with_it[place.slices]
        part += own.alpha[..., None] * (own.colour - part)
        agreed.append([agreement(own, np.rint(each).astype(np.uint8), place) for each in (with_it, picture)])
    there, not_there = np.array(agreed).T
    assert there.min() > 0.12 > not_there.max()


def test_nothing_is_said_of_what_cannot_be_seen():
    white = np.full((90, 150, 3), 255, np.uint8)
    own = template(ink=(255, 255, 255))
    assert agreement(own, white, Box(20, 15, 20 + MARK_PX[1], 15 + MARK_PX[0])) == 0
    assert agreement(own, marked(scene(0, 190, 280)), Box(260, 180, 260 + MARK_PX[1], 180 + MARK_PX[0])) == 0


def test_a_window_shows_its_part_of_a_template():
    own = template()
    known = KnownMark("m-1", own, Box(-10, 5, MARK_PX[1] - 10, 5 + MARK_PX[0]))
    part = known.within(Box(0, 0, 50, 20))
    assert part.alpha.shape == (20, 50)
    assert np.array_equal(part.alpha[5:], own.alpha[:15, 10:60])
    assert np.array_equal(part.colour[5:], own.colour[:15, 10:60])
    assert not part.alpha[:5].any()
    assert not known.within(Box(300, 300, 310, 310)).alpha.any()


def test_it_comes_back_from_its_pngs_to_half_a_thousandth():
    own = template(ink=(250.3, 12.7, 99.5))
    back = from_pngs(*to_pngs(own))
    assert np.abs(back.alpha - own.alpha).max() < 1e-4
    assert np.abs(back.colour - own.colour).max() < 1e-2
    assert np.abs(back.error - own.error).max() < 1e-2
    assert [each.dtype for each in (back.alpha, back.colour, back.error)] == [np.float32] * 3


def test_it_travels_as_pngs_and_arrives_as_it_was(mark):
    stored = replace(mark, template=from_pngs(*to_pngs(mark.template)))
    data = pickle.dumps(stored)
    back = pickle.loads(data)
    assert len(data) < stored.template.colour.nbytes / 3
    assert replace(back, template=None) == replace(stored, template=None)
    for name in ("alpha", "colour", "error"):
        assert np.array_equal(getattr(back.template, name), getattr(stored.template, name))


def test_of_marks_at_one_place_the_more_common_stays(mark):
    rare = replace(mark, mark_id="m-2", support=0.4, left=mark.left + 3)
    beside = replace(mark, mark_id="m-3", support=0.2, top=mark.top - 60)
    kept = without_doubles([rare, beside, mark], [(280, 190), (300, 200)])
    assert [each.mark_id for each in kept] == ["m-1", "m-3"]


def test_damaged_pngs_are_said():
    good = to_pngs(template())
    shallow = cv2.imencode(".png", np.zeros(MARK_PX, np.uint8))[1].tobytes()
    small = cv2.imencode(".png", np.zeros((4, 4), np.uint16))[1].tobytes()
    for damaged in ((b"", *good[1:]), (b"abc", *good[1:]), (shallow, *good[1:]), (good[0], good[1], small)):
        with pytest.raises(ContractError, match="--new-run"):
            from_pngs(*damaged)
