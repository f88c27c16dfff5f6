"""The exemplar fill: what it restores, what it never looks at, and when it gives up."""

import cv2
import numpy as np
import pytest

from cleanplate.config import Config, ModelsConfig
from cleanplate.fill import patch
from cleanplate.fill.base import FillRequest
from cleanplate.fill.patch import FALLBACK_NOTE, PatchEngine
from cleanplate.fill.patchmatch import CHANNELS, Level, Matches, best_sources, search, vote
from cleanplate.fill.pde import diffuse
from cleanplate.metrics.psnr import psnr
from cleanplate.models.registry import Registry


@pytest.fixture
def engine():
    return PatchEngine.build(Config(), Registry.load(ModelsConfig()), "cpu")


@pytest.fixture
def bricks():
    """A pattern of 12 x 16 pixels, repeated over 120 x 144."""
    tile = np.random.default_rng(3).integers(40, 216, (12, 16, 3))
    return np.tile(tile, (10, 9, 1)).astype(np.uint8)


@pytest.fixture
def gap():
    """A hole larger than the pattern, 120 x 144, that is no rectangle."""
    gap = np.zeros((120, 144), np.uint8)
    cv2.ellipse(gap, (70, 62), (26, 17), 20, 0, 360, 1, -1)
    return gap


def notes_of(engine):
    return [remark.note for remark in engine.remarks]


def _noise(height, width, seed=0):
    picture = np.random.default_rng(seed).normal(128, 40, (height, width, 3)).astype(np.float32)
    return np.clip(cv2.GaussianBlur(picture, (0, 0), 1.2) * 2 - 128, 0, 255).astype(np.uint8)


def _level(height=26, width=31, patch_px=5, seed=0, smooth=0.0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, CHANNELS)).astype(np.uint8)
    if smooth:  # as in photographs, what is near the best match is good too
        pixels = cv2.GaussianBlur(pixels, (0, 0), smooth)
    target = np.zeros((height, width), bool)
    target[9:15, 12:19] = True
    target[0:3, width - 7 :] = True  # a hole in the corner
    level = Level.build(pixels, target, patch_px)
    level.pixels[target] = pixels[target]  # a guess, so that there is something to compare
    return level


def _brute_force(pixels, target, patch_px):
    """{centre of a patch that touches the hole: least sum of squares to a patch that does not}, pixel by pixel."""
    radius, (height, width) = patch_px // 2, target.shape
    centres = [(y, x) for y in range(radius, height - radius) for x in range(radius, width - radius)]

    def part(array, y, x):
        return array[y - radius : y + radius + 1, x - radius : x + radius + 1]

    sources = [part(pixels, *centre).astype(np.int64) for centre in centres if not part(target, *centre).any()]
    return {
        centre: min(int(((part(pixels, *centre) - source) ** 2).sum()) for source in sources)
        for centre in centres
        if part(target, *centre).any()
    }


def test_a_periodic_texture_is_restored_where_diffusion_fails(engine, request_of, bricks, gap):
    filled = engine.fill([request_of(bricks, gap)])[0]
    assert notes_of(engine) == [""]
    assert psnr(filled, bricks, gap) > 40
    assert psnr(diffuse(bricks, gap, "telea"), bricks, gap) < 18


def test_the_search_finds_the_best_that_there_is():
    level, rng = _level(20, 24, smooth=2.0), np.random.default_rng(1)
    expected = _brute_force(level.pixels, level.target, 5)
    sources = np.flatnonzero(level.is_source)
    matches = Matches.of(level, rng.choice(sources, len(level.at)))
    for _ in range(200):
        search(level, matches, 16, rng)
    width = level.target.shape[1]
    found = {(int(at) // width, int(at) % width): cost for at, cost in zip(level.at, matches.cost, strict=True)}
    assert found == expected
    assert level.is_source[matches.to].all()
    assert np.array_equal(matches.cost, level.distances(level.at, matches.to))


def test_a_search_only_ever_lowers_costs_and_leaves_the_picture_alone():
    level, rng = _level(seed=2), np.random.default_rng(1)
    pixels = level.pixels.copy()
    matches = Matches.of(level, rng.choice(np.flatnonzero(level.is_source), len(level.at)))
    before = matches.cost.copy()
    search(level, matches, 16, rng)
    assert (matches.cost <= before).all()
    assert matches.cost.sum() < 0.9 * before.sum()
    assert np.array_equal(level.pixels, pixels)


def test_propagation_carries_one_good_match_to_its_neighbours():
    level, rng = _level(height=40, width=60, seed=4), np.random.default_rng(1)
    shift = 20  # the left hole shows what lies twenty columns to its right
    level.pixels[7:17, 10:21] = level.pixels[7:17, 10 + shift : 21 + shift]
    sources = np.flatnonzero(level.is_source)
    to = rng.choice(sources, len(level.at))
    lucky = level.slot[12 * 60 + 15]
    to[lucky] = level.at[lucky] + shift
    matches = Matches.of(level, to)
    for _ in range(5):
        search(level, matches, 0, rng)  # no random search
    inner = level.slot[(np.arange(9, 15)[:, None] * 60 + np.arange(12, 19)).ravel()]
    assert (matches.to[inner] == level.at[inner] + shift).all()
    assert (matches.cost[inner] == 0).all()


def test_a_vote_is_the_weighted_mean_of_the_overlapping_sources():
    level, rng = _level(patch_px=5, seed=6), np.random.default_rng(1)
    matches = Matches.of(level, rng.choice(np.flatnonzero(level.is_source), len(level.at)))
    before, width = level.pixels.copy(), level.target.shape[1]
    vote(level, matches, 0.0)
    for row, column in (11, 15), (9, 12), (0, 30):
        total, weights = np.zeros(CHANNELS), 0.0
        for at, to, trust in zip(level.at, matches.to, level.trust, strict=True):
            down, right = row - at // width, column - at % width
            if max(abs(down), abs(right)) <= 2:
                total += trust * before[to // width + down, to % width + right].astype(float)
                weights += trust
        assert np.abs(level.pixels[row, column] - total / weights).max() <= 0.51
    assert np.array_equal(level.pixels[~level.target], before[~level.target])


def test_a_sharp_vote_follows_the_better_patches():
    level, rng = _level(seed=7), np.random.default_rng(1)
    matches = Matches.of(level, rng.choice(np.flatnonzero(level.is_source), len(level.at)))
    matches.cost[:] = 10_000
    centre = 12 * 31 + 15
    matches.cost[level.slot[centre]] = 0
    vote(level, matches, 20.0)
    copied = level.pixels.reshape(-1, CHANNELS)[matches.to[level.slot[centre]]]
    assert np.abs(level.pixels[12, 15].astype(int) - copied).max() <= 1
    assert best_sources(level, matches)[centre] == matches.to[level.slot[centre]]


def test_sources_of_pixels_are_never_in_the_hole():
    level, rng = _level(seed=8), np.random.default_rng(1)
    matches = Matches.of(level, rng.choice(np.flatnonzero(level.is_source), len(level.at)))
    sources, hole = best_sources(level, matches), level.target.ravel()
    assert not hole[sources].any()
    assert np.array_equal(sources[~hole], np.flatnonzero(~hole))


def test_the_fill_keeps_its_texture(engine, request_of):
    clean, gap = _noise(240, 288), np.zeros((240, 288), np.uint8)
    cv2.ellipse(gap, (140, 124), (52, 34), 20, 0, 360, 1, -1)
    filled = engine.fill([request_of(clean, gap)])[0]
    detail = cv2.Laplacian(filled.astype(np.float32), cv2.CV_32F)
    assert 0.75 < detail[gap > 0].var() / detail[gap == 0].var() < 1.25


def test_a_first_guess_is_near_its_surroundings():
    pixels, target = np.zeros((40, 50, CHANNELS), np.uint8), np.zeros((40, 50), bool)
    pixels[:] = (np.arange(50)[:, None] * 2 + (60, 100, 20, 140)).astype(np.uint8)
    target[12:24, 20:32] = True
    level = Level.build(pixels, target, 7)
    patch.guess(level)
    assert np.abs(level.pixels.astype(int) - pixels).max() <= 12
    assert np.array_equal(level.pixels[~target], pixels[~target])


def test_a_hole_does_not_count_as_black(request_of):
    clean = np.clip(_noise(120, 120).astype(int) // 2 + 90, 0, 255).astype(np.uint8)
    clean[:, :40] = 0
    hole = np.zeros((120, 120), np.uint8)
    cv2.circle(hole, (82, 60), 24, 1, -1)
    filled = PatchEngine(most_rounds=1).fill([request_of(clean, hole)])[0]
    assert filled[hole > 0].min() > 40


def test_what_is_not_levelled_is_copied(engine, request_of, monkeypatch):
    monkeypatch.setattr(patch, "_SEAM_STEP", -1.0)
    clean, hole = _noise(96, 96), np.zeros((96, 96), np.uint8)
    hole[36:60, 30:60] = 1
    filled = engine.fill([request_of(clean, hole)])[0]
    there = {tuple(colour) for colour in clean[hole == 0].tolist()}
    assert {tuple(colour) for colour in filled[hole > 0].tolist()} <= there


def test_patches_of_different_brightness_meet_without_a_seam():
    pixels = np.full((40, 60, CHANNELS), 100, np.uint8)
    pixels[:20] += (np.arange(60) // 30 * 20).astype(np.uint8)[:, None]  # two areas that differ by 20
    target = np.zeros((40, 60), bool)
    target[26:38, 20:40] = True
    level = Level.build(pixels, target, 7)
    sources = np.arange(40 * 60)
    rows, columns = np.nonzero(target)
    sources[target.ravel()] = (rows - 24) * 60 + np.where(columns < 30, columns - 15, columns + 15)
    seam = level.pixels.reshape(-1, CHANNELS)[sources].reshape(pixels.shape).astype(int)
    assert np.abs(np.diff(seam[25:39], axis=1)).max() == 20
    levelled = patch.level_seams(level, sources).astype(int)
    assert np.abs(np.diff(levelled[25:39], axis=1)).max() <= 4
    assert np.abs(np.diff(levelled[25:39], axis=0)).max() <= 4
    edge = level.pixels.copy()
    edge[:20, 30:] = 200  # too much for a seam
    kept = patch.level_seams(Level.build(edge, target, 7), sources).astype(int)
    assert np.abs(np.diff(kept[27:37], axis=1)).max() > 80


def test_the_seed_alone_decides(engine):
    clean = _noise(96, 96)
    hole = np.zeros((96, 96), np.uint8)
    hole[30:60, 34:58] = 1

    def filled(seed):
        return engine.fill([FillRequest(clean, hole.astype(np.float32), hole, hole, seed=seed)])[0]

    first = filled(7)
    np.random.seed(0)
    assert np.array_equal(filled(7), first)
    assert not np.array_equal(filled(8), first)
    assert filled(-1).shape == filled(2**70).shape == clean.shape


def test_a_batch_is_filled_as_one_by_one(engine, request_of, hole, bricks, gap):
    requests = [request_of(_noise(64, 80), hole), request_of(bricks, gap), request_of(bricks[:9, :9], gap[:9, :9] + 1)]
    together = engine.fill(requests)
    assert notes_of(engine) == ["", "", FALLBACK_NOTE]
    alone = [engine.fill([request])[0] for request in requests]
    assert all(np.array_equal(*pair) for pair in zip(together, alone, strict=True))
    assert notes_of(engine) == [FALLBACK_NOTE]
    assert engine.fill([]) == notes_of(engine) == []


@pytest.mark.parametrize("kept", ["patches", "fallback"])
def test_what_is_hidden_never_leaks_in(kept, gap):
    engine = PatchEngine() if kept == "patches" else PatchEngine(fewest_sources=10**6)
    clean = _noise(120, 144)
    alpha = cv2.GaussianBlur(gap.astype(np.float32), (0, 0), 2)
    alpha[alpha < 0.01] = 0
    invalid = gap.copy()
    invalid[10:30, 100:130] = 1  # another region
    outcomes = []
    for colour in (0, 255, 0), (255, 0, 255):
        crop = clean.copy()
        crop[(alpha > 0) | (invalid > 0)] = colour
        outcomes.append(engine.fill([FillRequest(crop, alpha, gap, invalid, seed=1)])[0])
        assert notes_of(engine) == ["" if kept == "patches" else FALLBACK_NOTE]
    assert np.array_equal(*outcomes)
    untouched = (alpha == 0) & (invalid == 0)
    assert np.array_equal(outcomes[0][untouched], clean[untouched])
    assert outcomes[0].dtype == np.uint8


def test_the_request_is_left_alone(engine, request_of, bricks, gap):
    request = request_of(bricks, gap)
    before = [array.copy() for array in (request.crop, request.alpha, request.core, request.invalid)]
    engine.fill([request])
    after = (request.crop, request.alpha, request.core, request.invalid)
    assert all(np.array_equal(*pair) for pair in zip(before, after, strict=True))


def test_without_enough_to_copy_from_it_diffuses_and_says_so(engine, request_of):
    clean = _noise(96, 96)
    hole = np.zeros((96, 96), np.uint8)
    hole[12:84, 12:84] = 1
    everything, tiny, none = np.ones((96, 96), np.uint8), np.zeros((5, 7), np.uint8), np.zeros((96, 96), np.uint8)
    tiny[2, 3] = 1
    requests = [request_of(clean, hole), request_of(clean, everything), request_of(clean[:5, :7], tiny)]
    filled = engine.fill([*requests, request_of(clean, none)])
    assert notes_of(engine) == [FALLBACK_NOTE, FALLBACK_NOTE, FALLBACK_NOTE, ""]
    assert np.array_equal(filled[0], diffuse(requests[0].crop, hole, "telea"))
    assert (filled[1] == 128).all()
    assert np.array_equal(filled[3], clean)
    assert [part.shape for part in filled] == [request.crop.shape for request in requests] + [clean.shape]
    small = np.zeros((96, 96), np.uint8)
    small[40:56, 40:56] = 1
    assert PatchEngine(sources_per_target=30).fill([request_of(clean, small)])[0].shape == clean.shape
    engine.fill([request_of(clean, small)])
    assert notes_of(engine) == [""]


def test_holes_at_the_border_and_thin_ones(engine, request_of, bricks):
    corner, lines = np.zeros((120, 144), np.uint8), np.zeros((120, 144), np.uint8)
    corner[90:, 100:] = 1
    lines[20:23, 5:140] = 1
    lines[:, 70:72] = 1
    filled = engine.fill([request_of(bricks, corner), request_of(bricks, lines)])
    assert notes_of(engine) == ["", ""]
    assert psnr(filled[0], bricks, corner) > 30
    assert psnr(filled[1], bricks, lines) > 40


def test_a_patch_whose_squares_could_not_be_summed_exactly_is_refused():
    with pytest.raises(ValueError, match="a patch of 9 px cannot be compared: make it 5 or 7"):
        PatchEngine(patch_px=9)
