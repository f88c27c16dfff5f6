"""Votes: where pictures agree, wherever their corners lie, and where they do not."""

import numpy as np
import pytest

from cleanplate.marks.votes import agrees, distinct, frames_for, no_votes, overlap, patterns, votes_of
from cleanplate.records import Box

from .conftest import corner, opacity, scene


def votes(pictures, frame):
    total = no_votes(frame)
    for picture in pictures:
        own = votes_of(picture, frame)
        total = total if own is None else total + own
    return total


def found_in(pictures, fewest=12):
    sizes = [picture.shape[1::-1] for picture in pictures]
    each = [patterns(votes(pictures, frame), frame, fewest) for frame in frames_for(sizes)]
    return distinct([pattern for found in each for pattern in found], sizes)


def test_a_mark_is_found_from_its_own_corner_only(carrying):
    found = found_in(carrying)
    assert [pattern.frame.anchor for pattern in found] == ["bottom_right"]
    pattern = found[0]
    assert pattern.share > 0.7
    for picture in carrying[:4]:
        place = pattern.place(picture.shape[1], picture.shape[0])
        rows, columns = corner(*picture.shape[:2])
        assert place.left <= columns.start
        assert place.right >= columns.stop
        mask = pattern.mask[rows.start - place.top : rows.stop - place.top, columns.start - place.left :][:, :92]
        assert mask[opacity() > 0.05].mean() > 0.98
        assert pattern.mask.sum() < 4 * (opacity() > 0.05).sum()


def test_pictures_without_a_mark_agree_nowhere(clean):
    assert found_in([np.rint(picture).astype(np.uint8) for picture in clean]) == []


def test_pictures_of_one_size_are_compared_whole(clean):
    sizes = [(300, 200)] * 5
    frames = frames_for(sizes)
    assert [(frame.anchor, frame.width, frame.height, frame.scale) for frame in frames] == [("top_left", 300, 200, 1)]
    assert frames[0].box(300, 200) == Box(0, 0, 300, 200)
    assert frames[0].box(299, 400) is None


def test_large_pictures_are_looked_at_smaller_and_tiny_ones_not_at_all():
    (frame,) = frames_for([(3072, 2048)] * 3)
    assert (frame.scale, frame.shape) == (0.25, (512, 768))
    assert frames_for([(40, 300)] * 9) == frames_for([]) == []


def test_one_small_picture_among_many_does_not_make_the_frames_small():
    sizes = [(800, 600)] * 9 + [(90, 70)]
    assert max(frame.width for frame in frames_for(sizes)) == 800


@pytest.mark.parametrize("share", [0.5])
def test_a_mark_that_only_some_pictures_carry_is_found(clean, carrying, share):
    more = [scene(seed, 190, 280) for seed in range(100, 124)]
    found = found_in([*carrying, *(np.rint(picture).astype(np.uint8) for picture in more)])
    assert [pattern.frame.anchor for pattern in found] == ["bottom_right"]
    with_it = [agrees(picture, found[0]) for picture in carrying]
    without = [agrees(np.rint(picture).astype(np.uint8), found[0]) for picture in more]
    assert min(with_it) > 0.4 > max(without)


def test_two_marks_near_each_other_stay_two(clean):
    """Their boxes overlap, for the ground around them; what they are does not."""
    both = []
    for picture in clean[:16]:
        two = picture.copy()
        for top in (20, 105):
            part = two[top : top + 34, 60:152]
            part += opacity()[..., None] * (250 - part)
        both.append(np.rint(two).astype(np.uint8))
    found = found_in(both)
    assert len(found) == 2
    assert found[0].box.intersects(found[1].box)


def test_masks_share_what_lies_in_both_boxes():
    one, other = np.ones((10, 20), np.uint8), np.ones((6, 6), np.uint8)
    other[0] = 0
    assert overlap(one, Box(0, 0, 20, 10), other, Box(17, 7, 23, 13)) == 3 * 2
    assert overlap(one, Box(0, 0, 20, 10), other, Box(20, 0, 26, 6)) == 0


def test_too_few_pictures_say_nothing(carrying):
    assert found_in(carrying[:11]) == []
    assert found_in(carrying[:12]) != []


def test_votes_of_parts_add_up(carrying):
    frame = frames_for([picture.shape[1::-1] for picture in carrying])[-1]
    whole, parts = votes(carrying, frame), votes(carrying[:7], frame) + votes(carrying[7:], frame)
    assert whole.pictures == parts.pictures == 24
    assert np.array_equal(whole.surplus, parts.surplus)
    assert np.array_equal(whole.cast, parts.cast)


def test_a_margin_that_all_pictures_have_is_no_mark(clean):
    framed = []
    for picture in clean:
        whole = np.full((picture.shape[0] + 40, picture.shape[1] + 40, 3), 255, np.uint8)
        whole[20:-20, 20:-20] = np.rint(picture)
        framed.append(whole)
    assert found_in(framed) == []
