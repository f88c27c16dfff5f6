"""The screen: its forests against scikit-learn's own, the terms by hand, and what the packaged ones say."""

import math

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from cleanplate.detect import screen
from cleanplate.detect.components import group_strokes
from cleanplate.detect.screen import TERMS, Forest, Seen, line_chances, load_screen, mark_chances, terms_of
from cleanplate.models.stroke_net import CHANNELS

HEIGHT, WIDTH = 90, 140
INK = (slice(30, 50), slice(40, 100))


@pytest.fixture
def seen():
    """A bar of one colour on a smooth ground, which the network takes for a stamp."""
    picture = np.full((HEIGHT, WIDTH, 3), 100, np.uint8)
    picture[INK] = (180, 40, 40)
    maps = np.zeros((len(CHANNELS), HEIGHT, WIDTH), np.float32)
    maps[(0, *INK)], maps[(CHANNELS.index("stamp"), *INK)] = 0.8, 0.6
    return Seen(picture, np.zeros((HEIGHT, WIDTH), np.float32), maps, 0.25)


def only_group(seen):
    (group,) = group_strokes(seen.maps[0], seen.threshold, 3)
    return group


def test_the_terms_are_what_they_say(seen):
    found = dict(zip(TERMS, terms_of(only_group(seen), seen), strict=True))
    assert found["score"] == pytest.approx(0.8)
    assert found["area"] == pytest.approx(math.log(20 * 60))
    assert found["long_side"] == pytest.approx(math.log(60), abs=0.05)
    assert found["fill"] == pytest.approx(1, abs=0.05)
    assert found["share_stamp"] == pytest.approx(0.75, abs=0.01)
    assert found["share_watermark"] == 0
    assert found["on_lines"] == 0
    assert found["own_spread"] == found["ring_spread"] == pytest.approx(math.log(2))
    assert found["contrast"] == pytest.approx(math.log(math.hypot(80, 60, 60) + 2), abs=0.01)
    assert found["rim"] > 2, "its rim is sharper than what surrounds it"


def test_a_group_that_fills_the_picture_has_finite_terms():
    picture = np.random.default_rng(1).integers(0, 256, (24, 24, 3), np.uint8)
    maps = np.full((len(CHANNELS), 24, 24), 0.9, np.float32)
    everything = Seen(picture, np.ones((24, 24), np.float32), maps, 0.25)
    assert np.isfinite(terms_of(only_group(everything), everything)).all()


def test_a_forest_answers_as_scikit_learn_does():
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(300, len(TERMS))).astype(np.float32).astype(np.float64)
    truth = rows[:, 0] + rows[:, 1] * rows[:, 2] > 0
    grown = RandomForestClassifier(7, min_samples_leaf=5, random_state=0).fit(rows, truth)
    trees = [one.tree_ for one in grown.estimators_]
    most = max(tree.node_count for tree in trees)

    def padded(name, kind):
        return np.stack([np.pad(getattr(tree, name), (0, most - tree.node_count)).astype(kind) for tree in trees])

    shares = [tree.value[:, 0, 1] / tree.value[:, 0].sum(axis=1) for tree in trees]
    chance = np.stack([np.pad(share, (0, most - len(share))) for share in shares]).astype(np.float32)
    children = padded("children_left", np.int32), padded("children_right", np.int32)
    forest = Forest(np.maximum(padded("feature", np.int32), -1), padded("threshold", np.float32), *children, chance)
    assert forest.chances(rows) == pytest.approx(grown.predict_proba(rows)[:, 1], abs=1e-5)


def test_no_groups_no_chances_and_a_line_without_ink_has_none(seen):
    assert mark_chances([], seen) == []
    group = only_group(seen)
    assert line_chances([group, group], Seen(seen.picture, seen.line_map, seen.maps, 0.95)) == [0.0, 0.0]


def test_the_packaged_forests_trust_sure_ink_more_than_faint_texture(seen):
    noise = np.random.default_rng(5).integers(0, 256, seen.picture.shape, np.uint8)
    faint = np.where(seen.maps > 0, np.float32(0.3), seen.maps)
    sure = mark_chances([only_group(seen)], seen)[0]
    unsure = Seen(noise, seen.line_map, faint, seen.threshold)
    assert sure > mark_chances([only_group(unsure)], unsure)[0] + 0.05


def test_forests_of_other_terms_are_refused(monkeypatch):
    load_screen.cache_clear()
    monkeypatch.setattr(screen, "TERMS", (*TERMS, "another"))
    with pytest.raises(screen.ModelError, match="other terms"):
        load_screen()
    load_screen.cache_clear()
