"""The screen: its regression against scikit-learn's, who is judged by which, and what the packaged judges say."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from cleanplate.config import ModelsConfig
from cleanplate.detect import screen
from cleanplate.detect.appearance import SIZE, Appearance
from cleanplate.detect.components import group_strokes
from cleanplate.detect.screen import Forest, Judge, Looks, chances, load_screen, table
from cleanplate.detect.terms import TERMS, Seen
from cleanplate.models.registry import Registry
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


def look(picture, groups):
    return np.zeros((len(groups), SIZE), np.float32)


def always(chance):
    leaf = np.zeros((1, 1), np.int32)
    odds = np.full((1, 1), np.log(chance / (1 - chance)), np.float32)
    return Forest(leaf - 1, np.zeros((1, 1), np.float32), leaf, leaf, odds, np.zeros(1, np.float32))


def only_group(seen):
    (group,) = group_strokes(seen.maps[0], seen.threshold, 3)
    return group


def test_no_groups_no_chances_and_a_line_without_ink_has_none(seen):
    assert [len(found) for found in chances([], [], seen, look)] == [0, 0]
    group = only_group(seen)
    of_lines, of_marks = chances([group, group], [], Seen(seen.picture, seen.line_map, seen.maps, 0.95), look)
    assert of_lines.tolist() == [0.0, 0.0]
    assert not len(of_marks)


def test_lines_and_marks_are_judged_by_their_own_judge(seen, monkeypatch):
    blind = Looks(np.zeros(SIZE, np.float32), np.zeros(1, np.float32))
    judges = {"lines": Judge(always(0.25), blind), "marks": Judge(always(0.15), blind)}
    monkeypatch.setattr(screen, "load_screen", lambda: judges)
    group = only_group(seen)
    of_lines, of_marks = chances([group], [group, group], seen, look)
    assert of_lines.tolist() == pytest.approx([0.25])
    assert of_marks.tolist() == pytest.approx([0.15, 0.15])


def test_only_of_likely_groups_the_look_is_asked_and_their_odds_are_averaged(seen, monkeypatch):
    asked = []

    def recorded(picture, groups):
        asked.extend(groups)
        return np.ones((len(groups), 2), np.float32)

    looks = Looks(np.array([1.0, 1.5], np.float32), np.array([-0.5], np.float32))  # odds of 2, in natural logarithms
    group = only_group(seen)
    for of_line, expected in ((0.2, 0.2), (0.5, 1 / (1 + np.exp(-(0.0 + 0.7 * 2.0) / 1.7)))):
        judges = {"lines": Judge(always(of_line), looks), "marks": Judge(always(0.9))}
        monkeypatch.setattr(screen, "load_screen", lambda judges=judges: judges)
        of_lines, of_marks = chances([group], [group], seen, recorded)
        assert of_lines == pytest.approx([expected])
        assert of_marks == pytest.approx([0.9]), "marks are not looked at"
    assert len(asked) == 1


def test_looks_answer_as_a_logistic_regression_does():
    rng = np.random.default_rng(8)
    features = rng.normal(size=(200, 5)).astype(np.float32)
    fitted = LogisticRegression().fit(features, features[:, 0] + features[:, 1] > 0.3)
    looks = Looks(fitted.coef_[0].astype(np.float32), fitted.intercept_.astype(np.float32))
    assert looks.chances(features) == pytest.approx(fitted.predict_proba(features)[:, 1], abs=1e-5)


def test_the_table_leaves_out_what_has_too_few_strokes(seen):
    maps = seen.maps.copy()
    maps[0, 5:8, 5:8] = 0.9
    dotted = Seen(seen.picture, seen.line_map, maps, 0.25)
    dot, bar = group_strokes(maps[0], 0.25, 3)
    inked, terms = table([dot], [bar], dotted)
    assert inked.tolist() == [1]
    assert terms.shape == (1, len(TERMS))


def test_the_packaged_forests_trust_sure_ink_more_than_faint(seen):
    faint = np.where(seen.maps > 0, np.float32(0.3), seen.maps)
    look = Appearance.build(Registry.load(ModelsConfig()), "cpu").features
    sure = chances([], [only_group(seen)], seen, look)[1][0]
    unsure = Seen(seen.picture, seen.line_map, faint, seen.threshold)
    assert sure > chances([], [only_group(unsure)], unsure, look)[1][0] + 0.05


def test_forests_of_other_terms_are_refused(monkeypatch):
    load_screen.cache_clear()
    monkeypatch.setattr(screen, "TERMS", (*TERMS, "another"))
    with pytest.raises(screen.ModelError, match="other terms"):
        load_screen()
    load_screen.cache_clear()
