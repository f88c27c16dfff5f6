"""Fusion of lines and strokes: kinds, what is kept as part of the scene, tails, plates and marks that are no line."""

import cv2
import numpy as np
import pytest

from cleanplate.config import DetectConfig
from cleanplate.detect import db, screen
from cleanplate.detect.appearance import SIZE
from cleanplate.detect.fuse import fuse as fuse_lines
from cleanplate.detect.fuse import vote
from cleanplate.models.stroke_net import CHANNELS

HEIGHT, WIDTH = 120, 300
LINE = (slice(45, 61), slice(40, 200))
LENIENT = DetectConfig(overlay_score=0)  # these pictures show no ink; what the forests make of ink is not tested here


def look(picture, groups):
    return np.zeros((len(groups), SIZE), np.float32)


def fuse(line_map, maps, config, picture=None):
    lines = db.lines(line_map, config.threshold, config.box_score, config.min_side_px)
    plain = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    return fuse_lines(plain if picture is None else picture, lines, line_map, maps, config, look)


@pytest.fixture
def scene():
    """No line, no stroke: a line map and the network's maps."""
    return np.zeros((HEIGHT, WIDTH), np.float32), np.zeros((len(CHANNELS), HEIGHT, WIDTH), np.float32)


def draw(maps, channel, where, value=0.9):
    maps[(CHANNELS.index(channel), *where)] = value


def letters(maps, kind, rows=LINE[0], columns=LINE[1], value=0.9):
    """Upright bars along the line, each four pixels wide, of a kind."""
    for left in range(columns.start + 4, columns.stop - 4, 12):
        where = (rows, slice(left, left + 4))
        draw(maps, "overlay", where, value)
        draw(maps, kind, where, value)


def judge(monkeypatch, of_line=lambda ink: 0.0, of_mark=lambda mark: 0.0):
    """Lets the screen say of each line and of each mark what these make of its strokes."""

    def chances(inks, marks, seen, look):
        return np.array([of_line(ink) for ink in inks]), np.array([of_mark(mark) for mark in marks])

    monkeypatch.setattr(screen, "chances", chances)


def test_a_line_with_strokes_is_an_overlay_of_the_kind_that_they_speak_for(scene):
    line_map, maps = scene
    line_map[LINE] = 0.95
    letters(maps, "handwriting")
    (found,) = fuse(line_map, maps, LENIENT)
    assert found.kind == "handwriting"
    assert found.source == "text"
    assert found.strokes.shape == found.confidence.shape == (found.box.height, found.box.width)
    assert (found.strokes >= 0.5).sum() == (maps[0] >= 0.5).sum()


def test_a_line_without_strokes_belongs_to_the_scene(scene):
    line_map, maps = scene
    line_map[LINE] = 0.95
    draw(maps, "scene_text", LINE)
    (found,) = fuse(line_map, maps, LENIENT)
    assert found.kind == "scene_text"
    assert found.strokes is None


def test_strokes_without_a_line_are_a_mark(scene):
    line_map, maps = scene
    where = (slice(20, 60), slice(230, 270))
    draw(maps, "overlay", where)
    draw(maps, "stamp", where)
    (found,) = fuse(line_map, maps, DetectConfig(strokes_score=0))  # whatever the screen thinks of ink without a colour
    assert found.kind == "stamp"
    assert (found.strokes >= 0.5).sum() == 40 * 40


def test_uncertain_strokes_make_no_mark(scene):
    line_map, maps = scene
    draw(maps, "overlay", (slice(20, 60), slice(230, 270)), 0.55)
    (found,) = fuse(line_map, maps, DetectConfig(strokes_score=0))
    assert fuse(line_map, maps, DetectConfig(strokes_score=min(1.0, found.score + 0.01))) == []
    assert len(fuse(line_map, maps, DetectConfig(strokes_score=found.score - 0.01))) == 1


def test_a_tail_that_leaves_the_line_stays_with_it(scene):
    line_map, maps = scene
    line_map[LINE] = 0.95
    letters(maps, "handwriting")
    tail = (slice(61, 84), slice(104, 108))
    draw(maps, "overlay", tail)
    draw(maps, "handwriting", tail)
    (found,) = fuse(line_map, maps, LENIENT)
    assert found.box.bottom >= 84
    assert (found.strokes >= 0.5).sum() == (maps[0] >= 0.5).sum()


def test_a_mast_beside_a_line_is_none_of_its_letters(scene):
    """What stands close to a caption but does not touch it is judged by itself."""
    line_map, maps = scene
    line_map[LINE] = 0.95
    letters(maps, "overlay_text")
    lettered = (maps[0] >= 0.5).sum()
    draw(maps, "overlay", (slice(4, 116), slice(228, 231)), 0.6)
    found = fuse(line_map, maps, DetectConfig(overlay_score=0, strokes_score=1, part_score=1))
    assert [each.kind for each in found] == ["overlay_text"]
    assert (found[0].strokes >= 0.5).sum() == lettered


def test_what_grows_far_out_of_a_line_is_cut_off(scene):
    line_map, maps = scene
    line_map[LINE] = 0.95
    letters(maps, "overlay_text")
    draw(maps, "overlay", (slice(53, 116), slice(104, 106)))
    (found,) = fuse(line_map, maps, DetectConfig(overlay_score=0.2, strokes_score=1))
    assert found.box.bottom <= 105


@pytest.mark.parametrize(("below", "kinds"), [(66, {"overlay_text"}), (104, {"overlay_text", "scene_text"})])
def test_the_lines_of_a_block_share_a_verdict(scene, monkeypatch, below, kinds):
    line_map, maps = scene
    lower = slice(below, below + 16)
    for rows in (LINE[0], lower):
        line_map[rows, LINE[1]] = 0.95
        letters(maps, "overlay_text", rows)
    judge(monkeypatch, lambda ink: 0.9 if ink.box.top < 50 else 0.3)
    found = fuse(line_map, maps, DetectConfig(overlay_score=0.5))
    assert len(found) == 2
    assert {each.kind for each in found} == kinds


def test_a_name_and_its_price_in_one_row_share_a_verdict(scene, monkeypatch):
    line_map, maps = scene
    for columns in (slice(40, 140), slice(220, 280)):
        line_map[LINE[0], columns] = 0.95
        letters(maps, "overlay_text", columns=columns)
    judge(monkeypatch, lambda ink: 0.95 if ink.box.left < 100 else 0.4)
    assert [each.kind for each in fuse(line_map, maps, DetectConfig(overlay_score=0.5))] == ["overlay_text"] * 2


def test_the_plate_under_a_line_goes_with_it_and_another_stays(scene):
    line_map, maps = scene
    line_map[LINE] = 0.95
    letters(maps, "overlay_text")
    draw(maps, "plate", (slice(35, 75), slice(30, 210)), 0.8)
    draw(maps, "plate", (slice(90, 110), slice(250, 290)), 0.8)
    (found,) = fuse(line_map, maps, LENIENT)
    assert (found.strokes >= 0.5).sum() == 40 * 180
    assert found.box.bottom < 90


def test_a_plate_that_lets_the_photograph_through_goes_too(scene):
    line_map, maps = scene
    line_map[LINE] = 0.95
    letters(maps, "overlay_text")
    draw(maps, "plate", (slice(35, 75), slice(30, 210)), 0.8)
    photograph = np.random.default_rng(1).integers(60, 200, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    (found,) = fuse(line_map, maps, LENIENT, photograph)
    assert (found.strokes >= 0.5).sum() >= 40 * 180


def plates_taken(scene, plate):
    """How many pixels of a plate's map, float32 (60, 180), go with the line that lies on it."""
    line_map, maps = scene
    line_map[LINE] = 0.95
    letters(maps, "overlay_text")
    bare = (maps[0] >= 0.5).sum()
    maps[CHANNELS.index("plate"), 25:85, 30:210] = plate
    (found,) = fuse(line_map, maps, LENIENT)
    return (found.strokes >= 0.5).sum() - bare


def test_a_plate_is_one_that_the_network_is_sure_of(scene):
    """One that sees a plate where brushes and sky are must not have them taken away."""
    assert plates_taken(scene, np.full((60, 180), 0.8, np.float32)) > 8000
    assert plates_taken(scene, np.full((60, 180), 0.7, np.float32)) == 0


def test_a_round_thing_is_no_plate_and_one_with_round_corners_is(scene):
    y, x = np.mgrid[-1:1:60j, -1:1:180j]
    assert plates_taken(scene, np.where(np.hypot(x, y) <= 1, 0.9, 0).astype(np.float32)) == 0
    rounded = cv2.GaussianBlur(np.pad(np.ones((44, 164), np.float32), 8), (0, 0), 6) > 0.5
    assert plates_taken(scene, rounded * np.float32(0.9)) > 5000


def test_a_tilted_plate_is_one(scene):
    corners = cv2.boxPoints(((90, 30), (150, 34), 8)).astype(np.int32)
    tilted = cv2.fillConvexPoly(np.zeros((60, 180), np.float32), corners, 0.9)
    assert plates_taken(scene, tilted) > 3000


def test_a_vote_weighs_pixels_by_confidence():
    maps = np.zeros((len(CHANNELS), 1, 3), np.float32)
    maps[CHANNELS.index("stamp"), 0] = (0.9, 0, 0)
    maps[CHANNELS.index("watermark"), 0] = (0, 0.6, 0.6)
    confidence = np.array([[1.0, 0.2, 0.2]], np.float32)
    assert vote(maps, confidence, ("stamp", "watermark")) == "stamp"
    assert vote(maps, np.ones_like(confidence), ("stamp", "watermark")) == "watermark"


def middle(box):
    return (box.left + box.right) // 2


@pytest.mark.parametrize(
    ("column", "colour", "chance", "columns"),
    [
        (112, (180, 20, 20), 0.4, [55, 112]),  # part of the mark beside it
        (112, (180, 20, 20), 0.3, [55]),  # too unlike a mark
        (112, (20, 20, 180), 0.4, [55]),  # of other ink
        (250, (180, 20, 20), 0.4, [55]),  # too far away
    ],
)
def test_what_lies_beside_a_mark_and_has_its_ink_is_part_of_it(scene, monkeypatch, column, colour, chance, columns):
    line_map, maps = scene
    picture = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    for place, ink in ((55, (180, 20, 20)), (column, colour)):
        where = (slice(20, 50), slice(place - 15, place + 15))
        draw(maps, "overlay", where)
        draw(maps, "stamp", where)
        picture[where] = ink
    judge(monkeypatch, of_mark=lambda mark: {55: 0.7, column: chance}[middle(mark.box)])
    config = DetectConfig(strokes_score=0.6, part_score=0.35)
    assert sorted(middle(found.box) for found in fuse(line_map, maps, config, picture)) == columns


def test_a_line_of_text_is_nobodys_part(scene, monkeypatch):
    line_map, maps = scene
    line_map[LINE] = 0.95
    letters(maps, "overlay_text")
    draw(maps, "overlay", (slice(80, 110), LINE[1]))
    draw(maps, "stamp", (slice(80, 110), LINE[1]))
    judge(monkeypatch, lambda ink: 0.6, lambda mark: 0.9)
    found = fuse(line_map, maps, DetectConfig(overlay_score=0.8, strokes_score=0.6, part_score=0.1))
    assert sorted(each.kind for each in found) == ["scene_text", "stamp"]
