"""From agreeing pictures to a mark: confirmed by a detector, its template true, refused where it is none."""

from dataclasses import replace

import numpy as np
import pytest

from cleanplate.config import MarksConfig
from cleanplate.detect.base import Look
from cleanplate.marks.discover import discover, is_small_enough
from cleanplate.marks.votes import distinct, frames_for, no_votes, patterns, votes_of
from cleanplate.records import Box, Detection

from .conftest import INK, INSET_PX, MARK_PX, corner, image_of, opacity, scene

CONFIG = MarksConfig()


def place_of(pictures):
    sizes = [picture.shape[1::-1] for picture in pictures]
    found = []
    for frame in frames_for(sizes):
        total = no_votes(frame)
        for picture in pictures:
            own = votes_of(picture, frame)
            total = total if own is None else total + own
        found += patterns(total, frame, CONFIG.fewest_images)
    return distinct(found, sizes)[0]


def sees(kind="watermark", every=1):
    """A detector that sees the mark in every so many-th picture that it is shown."""
    count = 0

    def see(image):
        nonlocal count
        count += 1
        if count % every:
            return Look([])
        rows, columns = corner(image.height, image.width)
        box = Box(columns.start, rows.start, columns.stop, rows.stop)
        strokes = (opacity() > 0.1).astype(np.float32)
        return Look([Detection(kind, 0.9, box, strokes, "test", strokes=strokes)])

    return see


@pytest.fixture(scope="module")
def place(carrying):
    return place_of(carrying)


def listed(pictures):
    return lambda: [(str(number), image_of(picture)) for number, picture in enumerate(pictures)]


def test_a_mark_is_what_was_laid_on(place, carrying):
    mark = discover(place, listed(carrying), sees(every=3), CONFIG)
    assert (mark.kind, mark.anchor, mark.support) == ("watermark", "bottom_right", 1.0)
    assert mark.images == tuple(str(number) for number in range(24))
    height, width = carrying[0].shape[:2]
    right, bottom = width - INSET_PX[1], height - INSET_PX[0]
    window = Box(right - MARK_PX[1], bottom - MARK_PX[0], right, bottom)
    known, _ = mark.found_on(carrying[0])
    alpha = known.within(window).alpha
    assert np.abs(alpha - opacity())[opacity() > 0].mean() < 0.05
    assert np.abs(known.within(window).colour[opacity() > 0.3] - INK).mean() < 12


def test_the_same_pictures_make_the_same_mark(place, carrying):
    first, second = (discover(place, listed(carrying), sees(), CONFIG) for _ in range(2))
    assert first.mark_id == second.mark_id
    assert np.array_equal(first.template.alpha, second.template.alpha)


def test_a_mark_of_some_pictures_is_whole_and_of_those_only(carrying):
    more = [np.rint(scene(seed, 190, 280)).astype(np.uint8) for seed in range(100, 130)]
    mixed = [*carrying, *more]
    mark = discover(place_of(mixed), listed(mixed), sees(), CONFIG)
    assert set(mark.images) <= {str(number) for number in range(24)}
    assert len(mark.images) >= 20
    assert mark.template.alpha.shape[1] > 0.9 * np.ptp(np.nonzero(opacity().any(axis=0))[0])


def test_what_no_detector_sees_is_no_mark(place, carrying):
    assert discover(place, listed(carrying), sees(every=4), CONFIG) is None
    assert discover(place, listed(carrying), lambda image: Look([]), CONFIG) is None


def unsure(along, elsewhere=0.01, every=1):
    """A detector that is sure of nothing, but somewhat confident along the mark in every so many-th picture."""
    count = 0

    def see(image):
        nonlocal count
        count += 1
        confidence = np.full((image.height, image.width), elsewhere, np.float32)
        if not count % every:
            confidence[corner(image.height, image.width)] += along * (opacity() > 0.05)
        return Look([], confidence)

    return see


def test_what_no_picture_alone_is_sure_of_all_may_be(place, carrying):
    mark = discover(place, listed(carrying), unsure(0.6, every=2), CONFIG)
    assert mark.kind == "watermark"
    assert discover(place, listed(carrying), unsure(0.6, every=6), CONFIG) is None
    assert discover(place, listed(carrying), unsure(0.6, 0.2), CONFIG) is None


def test_print_on_paper_is_no_mark():
    """All pictures have the same ground: what is common to them may as well be a form's, whoever calls it a mark."""
    rng = np.random.default_rng(1)
    pages = [np.full((190, 280, 3), 235.0) + rng.normal(0, 2, (190, 280, 3)) for _ in range(14)]
    ink = 2.4 * opacity()[..., None]
    for page in pages:
        page[corner(190, 280)] = page[corner(190, 280)] * (1 - ink) + ink * 30
    pages = [np.clip(np.rint(page), 0, 255).astype(np.uint8) for page in pages]
    assert discover(place_of(pages), listed(pages), unsure(0.6), CONFIG) is None
    assert discover(place_of(pages), listed(pages), sees(), CONFIG) is None


def test_a_kind_that_the_rights_gate_knows_goes_before(place, carrying):
    """One picture in five says stamp, the others that it is a caption; what the ground shows through is a watermark."""
    kinds = iter(["overlay_text", "overlay_text", "stamp", "overlay_text", "overlay_text"] * 10)
    assert discover(place, listed(carrying), lambda image: sees(next(kinds))(image), CONFIG).kind == "stamp"
    assert discover(place, listed(carrying), sees("overlay_text"), CONFIG).kind == "watermark"


def test_writing_of_the_scene_is_no_mark(place, carrying):
    assert discover(place, listed(carrying), sees("scene_text"), CONFIG) is None


def test_too_few_or_too_large_is_no_mark(place, carrying):
    assert discover(place, listed(carrying[:11]), sees(), CONFIG) is None
    assert discover(place, listed(carrying), sees(), CONFIG.model_copy(update={"template_images": 11})) is None
    large = replace(place, mask=np.ones((600, 600), np.uint8))
    assert not is_small_enough(large, CONFIG)
    assert is_small_enough(place, CONFIG)


def test_pictures_that_are_alike_everywhere_have_no_mark():
    """A fixed camera's: all outlines agree, and all of the frame is outline."""
    still = scene(0, 190, 280)
    rng = np.random.default_rng(3)
    alike = [np.clip(np.rint(still + rng.normal(0, 2, still.shape)), 0, 255).astype(np.uint8) for _ in range(14)]
    place = place_of(alike)
    assert discover(place, listed(alike), lambda image: Look([]), CONFIG) is None
    covered = replace(place, mask=np.ones_like(place.mask))
    assert discover(covered, listed([]), sees(), CONFIG) is None
