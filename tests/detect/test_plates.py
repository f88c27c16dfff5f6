"""Plates by their edges: of any colour, opacity and turn, with round corners, cut off by the picture; and none."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageDraw

from cleanplate.detect.components import group_strokes
from cleanplate.detect.plate_edges import _agreement, _Edges, find_plate
from cleanplate.detect.plate_shapes import Block, Outline, Plate
from cleanplate.detect.plates import Plates

SHAPE = (240, 320)
NO_STROKES = np.zeros(SHAPE, np.float32)


def ground(seed=0, strength=45.0):
    """A photograph's likeness: soft spots of all sizes."""
    rng = np.random.default_rng(seed)
    spots = [cv2.resize(rng.normal(0, 1, (n, n, 3)), SHAPE[::-1], interpolation=cv2.INTER_CUBIC) for n in (4, 12, 40)]
    return np.clip(120 + strength * np.sum(spots, axis=0) / 2, 0, 255)


def drawn(polygon, rounding_px=0.0):
    """A polygon's coverage, float32, by another way than the plate's own mask: four times as large, then averaged."""
    canvas = np.zeros((4 * SHAPE[0], 4 * SHAPE[1]), np.uint8)
    cv2.fillPoly(canvas, [np.round((np.asarray(polygon) + 0.5) * 4 - 0.5).astype(np.int32)], 255)
    if rounding_px:
        size = 2 * round(4 * rounding_px) + 1
        canvas = cv2.morphologyEx(canvas, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
    return cv2.resize(canvas, SHAPE[::-1], interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def laid_over(picture, coverage, opacity, colour):
    alpha = (opacity * coverage)[..., None]
    return np.clip(np.rint((1 - alpha) * picture + alpha * np.array(colour)), 0, 255).astype(np.uint8)


def seen_by_the_network(coverage, level=0.8):
    """A ragged map of a plate."""
    noise = cv2.resize(np.random.default_rng(3).random((30, 40)).astype(np.float32), SHAPE[::-1])
    return np.clip(cv2.GaussianBlur(coverage, (0, 0), 4) * level * (0.6 + 0.6 * noise), 0, 1)


def turned(low, high, degrees):
    """Corners of a rectangle turned about its middle, clockwise."""
    (left, top), (right, bottom) = low, high
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], float)
    angle, middle = np.radians(degrees), corners.mean(axis=0)
    return (corners - middle) @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) + middle


def block(polygon, shrunk=0.7, height_px=30.0):
    """A line of text in the middle of a plate."""
    middle = polygon.mean(axis=0)
    return Block.of([(middle + shrunk * (polygon - middle)).astype(np.float32)], [height_px])


def overlap(plate, coverage):
    found, truth = plate.mask(SHAPE) >= 0.5, coverage >= 0.5
    return (found & truth).sum() / (found | truth).sum()


@pytest.mark.parametrize(
    ("opacity", "colour", "degrees", "rounding_px"),
    [(1.0, (250, 210, 20), 0, 0), (0.45, (20, 20, 20), 0, 0), (0.7, (230, 40, 60), 12, 0),
     (0.6, (250, 250, 250), -7, 12),
     (0.9, (20, 90, 200), 0, 29)],
)  # fmt: skip
def test_a_plate_is_found_by_its_edges(opacity, colour, degrees, rounding_px):
    polygon = turned((90, 80), (240, 140), degrees)
    coverage = drawn(polygon, rounding_px)
    picture = laid_over(ground(), coverage, opacity, colour)
    plate = find_plate(picture, NO_STROKES, seen_by_the_network(coverage), block(polygon))
    assert overlap(plate, coverage) > 0.94


def test_one_seen_at_a_slant_too():
    polygon = np.array([[88, 86], [236, 76], [246, 150], [84, 138]], float)
    coverage = drawn(polygon)
    picture = laid_over(ground(1), coverage, 0.8, (240, 240, 60))
    assert overlap(find_plate(picture, NO_STROKES, seen_by_the_network(coverage), block(polygon)), coverage) > 0.93


def test_letters_that_reach_its_edge_are_in_nobodys_way():
    polygon = turned((90, 80), (240, 140), 0)
    coverage = drawn(polygon)
    picture = laid_over(ground(), coverage, 0.8, (30, 30, 160))
    strokes = NO_STROKES.copy()
    strokes[60:160, 100:230:12] = strokes[60:160, 101:230:12] = strokes[60:160, 102:230:12] = 0.9
    picture[strokes > 0] = (250, 250, 90)
    assert overlap(find_plate(picture, strokes, seen_by_the_network(coverage), block(polygon)), coverage) > 0.94


def test_one_that_the_picture_cuts_off_is_found_to_its_end():
    polygon = turned((-60, 80), (150, 140), 0)
    coverage = drawn(polygon)
    picture = laid_over(ground(), coverage, 1.0, (90, 20, 120))
    lines = Block.of([np.array([[2, 92], [130, 92], [130, 128], [2, 128]], np.float32)], [36.0])
    plate = find_plate(picture, NO_STROKES, seen_by_the_network(coverage), lines)
    assert overlap(plate, coverage) > 0.94
    assert (plate.mask(SHAPE)[84:136, 0] > 0.5).all()


@pytest.mark.parametrize("seed", range(6))
def test_where_only_the_network_sees_one_there_is_none(seed):
    polygon = turned((90, 80), (240, 140), 0)
    picture = np.rint(ground(seed)).astype(np.uint8)
    assert find_plate(picture, NO_STROKES, seen_by_the_network(drawn(polygon), 0.6), block(polygon)) is None


def test_a_line_of_huge_letters_is_looked_at_too():
    """More places for a side than OpenCV takes columns at once."""
    picture = np.rint(cv2.resize(ground(), (1400, 1200))).astype(np.uint8)
    line = Block.of([np.array([[100, 300], [1300, 300], [1300, 800], [100, 800]], np.float32)], [500.0])
    assert find_plate(picture, np.zeros((1200, 1400), np.float32), np.full((1200, 1400), 0.3, np.float32), line) is None


@pytest.mark.parametrize(("opacity", "degrees"), [(1.0, 0), (0.6, 0), (0.8, 8)])
def test_a_plate_that_shows_all_its_sides_needs_no_network(opacity, degrees):
    polygon = turned((90, 80), (240, 140), degrees)
    coverage = drawn(polygon)
    picture = laid_over(ground(), coverage, opacity, (250, 210, 20))
    unseen = np.full(SHAPE, 0.05, np.float32)
    assert overlap(find_plate(picture, NO_STROKES, unseen, block(polygon)), coverage) > 0.94


def test_one_that_lacks_a_side_is_the_scenes_where_the_network_sees_nothing():
    coverage = drawn(np.array([[-60, 80], [150, 80], [150, 140], [-60, 140]], float))
    picture = laid_over(ground(), coverage, 1.0, (250, 210, 20))
    lines = Block.of([np.array([[2, 92], [130, 92], [130, 128], [2, 128]], np.float32)], [36.0])
    assert find_plate(picture, NO_STROKES, seen_by_the_network(coverage), lines) is not None
    assert find_plate(picture, NO_STROKES, np.full(SHAPE, 0.05, np.float32), lines) is None


@pytest.mark.parametrize("seed", range(6))
def test_where_nobody_sees_a_plate_and_no_edge_is_one_there_is_none(seed):
    picture = np.rint(ground(seed)).astype(np.uint8)
    polygon = turned((90, 80), (240, 140), 0)
    assert find_plate(picture, NO_STROKES, np.zeros(SHAPE, np.float32), block(polygon)) is None


def test_a_horizon_is_no_plate():
    """One edge, beyond which the picture goes on in one colour to all its rims."""
    coverage = np.zeros(SHAPE, np.float32)
    coverage[:150] = 1
    picture = laid_over(ground(), coverage, 1.0, (130, 170, 220))
    lines = Block.of([np.array([[30, 60], [290, 60], [290, 110], [30, 110]], np.float32)], [50.0])
    assert find_plate(picture, NO_STROKES, seen_by_the_network(coverage, 1.0), lines) is None


def test_what_the_network_sees_beyond_a_plates_edges_is_not_taken():
    polygon = turned((90, 80), (240, 140), 0)
    coverage = drawn(polygon)
    picture = laid_over(ground(), coverage, 1.0, (250, 210, 20))
    seen = np.zeros(SHAPE, np.float32)
    seen[70:160, 80:270] = 0.9  # a rectangle, so that it would pass for a plate of its own
    strokes = np.zeros(SHAPE, np.float32)
    strokes[100:120, 110:265] = 0.9
    (group,) = group_strokes(strokes, 0.25, 3)
    plates = Plates.of(picture, NO_STROKES, seen, [block(polygon)])
    box, confidence, taken = plates.joined(group, group.box, group.confidence, group.confidence)
    mask = np.zeros(SHAPE, np.float32)
    mask[box.slices] = np.where(confidence > 0.5, taken, 0)
    beyond = (mask > 0.5) & (coverage < 0.1) & (strokes == 0)
    assert beyond.sum() < 100
    assert (mask > 0.5)[coverage > 0.9].mean() > 0.97


def test_lines_beyond_the_picture_have_no_plate():
    polygon = turned((900, 80), (990, 140), 0)
    picture = np.rint(ground()).astype(np.uint8)
    assert find_plate(picture, NO_STROKES, np.ones(SHAPE, np.float32), block(polygon)) is None


def test_a_line_of_a_list_is_no_plate_of_its_own():
    """The list is: one line alone has uniform colours to both sides too."""
    polygon = turned((60, 40), (260, 200), 0)
    coverage = drawn(polygon)
    picture = laid_over(ground(), coverage, 1.0, (20, 120, 70))
    line = Block.of([np.array([[80, 60], [240, 60], [240, 76], [80, 76]], np.float32)], [16.0])
    assert overlap(find_plate(picture, NO_STROKES, seen_by_the_network(coverage, 1.0), line), coverage) > 0.94


def test_a_line_within_a_plate_goes_with_it_and_one_beside_stays():
    polygon = turned((60, 40), (260, 200), 0)
    coverage = drawn(polygon)
    picture = laid_over(ground(), coverage, 1.0, (20, 120, 70))
    plates = Plates.of(picture, NO_STROKES, seen_by_the_network(coverage), [block(polygon), block(polygon, 0.4)])
    inside, beside = turned((80, 170), (200, 190), 0), turned((80, 205), (200, 225), 0)
    assert plates.holds(inside.astype(np.float32))
    assert not plates.holds(beside.astype(np.float32))
    assert not Plates.of(picture, NO_STROKES, seen_by_the_network(coverage), []).holds(inside.astype(np.float32))


@pytest.mark.parametrize("rounding", [0.0, 0.25, 0.5])
def test_the_mask_is_that_of_a_rounded_rectangle(rounding):
    plate = Plate.upright((0.0, 0.0), 0.0, np.array([40.0, 30.0]), np.array([200.0, 110.0]))
    picture = Pillow.new("L", (4 * SHAPE[1], 4 * SHAPE[0]))
    place = (4 * 40 + 2, 4 * 30 + 2, 4 * 200 + 1, 4 * 110 + 1)  # pixel 40 has its middle at 40
    ImageDraw.Draw(picture).rounded_rectangle(place, 4 * rounding * 80, fill=255)
    expected = np.asarray(picture.resize(SHAPE[::-1], Pillow.Resampling.BOX), np.float32) / 255
    found = Plate(plate.origin, plate.angle, plate.corners, rounding).mask(SHAPE)
    assert np.abs(found - expected).mean() < 0.004
    assert ((found >= 0.5) != (expected >= 0.5)).sum() < 0.02 * (expected >= 0.5).sum()


def test_the_longest_line_says_how_a_block_is_turned():
    lines = [turned((0, 0), (100, 20), 15).astype(np.float32), turned((0, 30), (30, 50), -40).astype(np.float32)]
    found = Block.of(lines, [20.0, 24.0])
    assert np.degrees(found.angle) == pytest.approx(15, abs=0.5)
    assert (found.points.shape, found.height_px) == ((8, 2), 22.0)


def some_plate(rounding, slanted=True):
    """A turned plate, one of whose corners perspective has pulled out."""
    plate = Plate.upright((160.0, 120.0), 0.3, np.array([-90.0, -40.0]), np.array([90.0, 40.0]))
    moved = plate.with_corner(1, (14.0, -9.0)) if slanted else plate
    return Plate(moved.origin, moved.angle, moved.corners, rounding)


@pytest.mark.parametrize("rounding", [0.0, 0.25, 0.5])
def test_what_a_plate_covers_is_where_its_mask_is(rounding):
    plate = some_plate(rounding)
    down, across = np.mgrid[: SHAPE[0], : SHAPE[1]]
    covered, mask = plate.covers(np.stack([across, down], axis=-1).astype(float)), plate.mask(SHAPE)
    assert covered[mask > 0.95].all()
    assert not covered[mask < 0.05].any()
    assert (mask > 0.95).sum() > 0.9 * covered.sum() > 5000


@pytest.mark.parametrize("rounding", [0.0, 0.25, 0.5])
def test_an_outline_lies_on_the_rim_and_goes_all_round_it(rounding):
    plate = some_plate(rounding)
    outline = Outline.of(plate)
    within, at, beyond = outline.beside([plate], (-3.0, 0.0, 3.0))[:, 0]
    assert plate.covers(within).all()
    assert not plate.covers(beyond).any()
    shape = (plate.mask(SHAPE) > 0.5).astype(np.uint8)
    contour = cv2.findContours(shape, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0][0]
    assert max(abs(cv2.pointPolygonTest(contour, tuple(map(float, point)), True)) for point in at) < 1.6
    far = np.linalg.norm(contour[:, 0, None] - at[None], axis=2).min(axis=1)
    assert np.quantile(far, 0.95) < 12, "margins at sharp corners, no more"


def test_outlines_of_many_plates_are_those_of_each_alone():
    plate = some_plate(0.25, slanted=False)
    moved = [plate, plate.turned(0.1), plate.with_side(1, 3.0)]
    outline = Outline.of(plate)
    together = outline.beside(moved, (-1.5, 1.5))
    assert together.shape == (2, 3, len(outline.parts), 2)
    for number, one in enumerate(moved):
        assert np.allclose(together[:, number], outline.beside([one], (-1.5, 1.5))[:, 0])


def test_a_plate_holds_most_lines_of_its_block():
    """A rectangle beside which most of the lines begin is something else: a window in their ground, perhaps."""
    polygon = turned((90, 60), (240, 110), 0)
    coverage = drawn(polygon)
    picture = laid_over(ground(), coverage, 1.0, (250, 210, 20))
    seen = seen_by_the_network(coverage, 1.0)
    own = (polygon.mean(axis=0) + 0.6 * (polygon - polygon.mean(axis=0))).astype(np.float32)
    beside = [turned((242, top), (249, top + 12), 0).astype(np.float32) for top in (62, 79, 96)]
    for others, found in ((beside[:0], True), (beside, False)):
        plate = find_plate(picture, NO_STROKES, seen, Block.of([own, *others], [30.0] * (1 + len(others))))
        assert (plate is not None) == found


def test_corners_that_make_no_plate_are_scored_beside_those_that_do():
    """A step may turn a side over or make it vanish; nothing fails, and the others are scored as alone."""
    polygon = turned((90, 80), (240, 140), 0)
    picture = laid_over(ground(), drawn(polygon), 1.0, (250, 210, 20))
    edges = _Edges.of(picture, NO_STROKES)
    plate = Plate.upright((165.0, 110.0), 0.0, np.array([-75.0, -30.0]), np.array([75.0, 30.0]))
    nothing = replace(plate, corners=np.zeros((4, 2)))
    over = plate.with_corner(0, (160.0, 70.0))
    found = edges.scored([nothing, plate, over])
    assert [one.score for one in found] == [-1.0, edges.scored([plate])[0].score, -1.0]
    assert found[1].score > 0.9
    assert [one.score for one in edges.scored([nothing])] == [-1.0]
    assert [_agreement(one, np.ones(SHAPE, np.float32)) > 0 for one in (nothing, plate)] == [False, True]
